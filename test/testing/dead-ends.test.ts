import { connect } from 'node:net';
import { blackHole, closedPort } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

describe('dead ends', () => {
  test('a closed port refuses', async () => {
    const port = await closedPort();
    await expect(Wire.to({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('a black hole neither accepts nor refuses', async () => {
    const { host, port } = await use(blackHole());
    const socket = connect({ host, port });
    // The one thing that only time can show.
    const happened = await new Promise((resolve) => {
      for (const event of ['connect', 'error', 'close']) socket.once(event, () => resolve(event));
      setTimeout(resolve, 100, 'nothing');
    });
    socket.destroy();
    expect(happened).toBe('nothing');
  });

  test('a black hole closes, and again', async () => {
    const hole = await blackHole();
    await Promise.all([hole.close(), hole.close()]);
    await expect(Wire.to(hole)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
