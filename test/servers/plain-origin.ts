// The origin behind the proxies of a file's tests: it answers with the address it was reached from, and the path.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll } from '@jest/globals';

/** Runs during the tests of the file; returns the way to its port. */
export function runPlainOrigin(): () => number {
  const origin = createServer((incoming, outgoing) => outgoing.end(`${incoming.socket.remoteAddress} ${incoming.url}`));
  let port = 0;
  beforeAll(async () => {
    await once(origin.listen(0, '127.0.0.1'), 'listening');
    port = (origin.address() as AddressInfo).port;
  });
  afterAll(() => {
    origin.close();
  });
  return () => port;
}
