import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { createCa, startOrigin, startProxy } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const ca = await createCa();
const tls = await ca.issue({ names: ['127.0.0.1', 'o.example'] });
const trusting: ConnectionOptions = { ca: ca.certificate };

describe('a server with TLS', () => {
  test.each([
    [
      'offers two',
      { ALPNProtocols: ['h2', 'http/1.1'], maxVersion: 'TLSv1.2' },
      ['h2', 'http/1.1'],
      'http/1.1',
      'TLSv1.2',
    ],
    ['offers the one', { ALPNProtocols: ['http/1.1'] }, ['http/1.1'], 'http/1.1', 'TLSv1.3'],
    ['offers none', {}, [], null, 'TLSv1.3'],
  ] as const)('records protocol and version of a client that %s', async (_, options, alpnOffered, alpn, tlsVersion) => {
    const [origin, proxy] = [await use(startOrigin({ tls })), await use(startProxy({ tls }))];
    for (const server of [origin, proxy]) {
      const alpnOptions = 'ALPNProtocols' in options ? { ALPNProtocols: [...options.ALPNProtocols] } : {};
      const wire = await use(Wire.to(server, { ...trusting, ...options, ...alpnOptions, servername: 'o.example' }));
      await wire.send('GET / HTTP/1.1', '').until(/HTTP/);
    }
    const seen = { alpnOffered, alpn, tlsVersion, servername: 'o.example', resumed: false };
    expect([origin.requests, proxy.hops]).toMatchObject([[seen], [seen]]);
  });

  test('tells clients at the same time apart', async () => {
    const origin = await use(startOrigin({ tls }));
    const clients = ['a', 'b', 'c'].map(async (name) => {
      const wire = await use(Wire.to(origin, { ...trusting, ALPNProtocols: [name, 'http/1.1'] }));
      await wire.send(`GET /${name} HTTP/1.1`, '').until(/HTTP/);
    });
    await Promise.all(clients);
    for (const { target, alpnOffered } of origin.requests) expect(alpnOffered).toEqual([target.slice(1), 'http/1.1']);
    expect(origin.requests).toHaveLength(3);
  });

  test('takes an end for an end, so that its answer still arrives', async () => {
    const answer = 'z'.repeat(1_000_000);
    const upgrade = (_: unknown, socket: Duplex) =>
      socket.resume().once('end', () => setImmediate(() => socket.end(answer)));
    const origin = await use(startOrigin({ tls, upgrade }));
    const wire = await use(Wire.to(origin, trusting));
    wire.send('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: raw', '').socket.end();
    expect(await wire.all()).toBe(answer);
  });
});

test('without TLS there is nothing of it to record', async () => {
  const origin = await use(startOrigin());
  await (await use(Wire.to(origin))).send('GET / HTTP/1.1', '').until(/HTTP/);
  expect(origin.requests).toMatchObject([{ alpnOffered: [], alpn: null, tlsVersion: null }]);
});

describe('a handshake that fails leaves no connection at the server, though the client keeps its side open', () => {
  const GREETING = Buffer.from('160301000501000001fe', 'hex');

  test.each([
    ['it is not TLS', 'GET / HTTP/1.1\r\n\r\n'],
    ['it is broken', GREETING],
  ])('because %s', async (_, bytes) => {
    const server = await use(startProxy({ tls }));
    const socket = connect({ port: server.port, host: server.host, allowHalfOpen: true });
    socket.on('error', () => {}).resume();
    socket.write(bytes);
    await server.waitForConnections(1);
    await server.waitUntilIdle();
    socket.destroy();
  });

  test.each([
    ['ends', (socket: { end(): unknown }) => socket.end()],
    ['resets', (socket: { resetAndDestroy(): unknown }) => socket.resetAndDestroy()],
  ] as const)('because the client %s in the middle of it', async (_, leave) => {
    const server = await use(startProxy({ tls }));
    const socket = connect({ port: server.port, host: server.host, allowHalfOpen: true });
    socket.on('error', () => {}).resume();
    socket.write(GREETING.subarray(0, 7));
    await server.waitForConnections(1);
    leave(socket);
    await server.waitUntilIdle();
    socket.destroy();
  });

  test.each([
    ['does not trust the server', tls, {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [
      'speaks another protocol',
      tls,
      { ...trusting, ALPNProtocols: ['h2'] },
      'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    ],
    ['speaks an old version', tls, { ...trusting, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }, /ERR_SSL/],
    [
      'shows no certificate',
      { ...tls, clientCa: ca.certificate, requireClientCertificate: true },
      { ...trusting, maxVersion: 'TLSv1.2' },
      /ECONNRESET|ERR_SSL|fin/,
    ],
  ] as const)('because the client %s', async (_, server, options, code) => {
    const origin = await use(startOrigin({ tls: server }));
    const raw = connect({ port: origin.port, host: origin.host, allowHalfOpen: true });
    await once(raw, 'connect');
    const socket = connectTls({ ...options, socket: raw, servername: 'o.example' });
    const ended = new Promise((resolve) => {
      socket.once('error', (error) => resolve('code' in error ? error.code : error.message));
      socket.once('end', () => resolve('fin'));
    });
    expect(await ended).toMatch(code);
    await origin.waitUntilIdle();
    raw.destroy();
    expect(origin.requests).toEqual([]);
  });
});
