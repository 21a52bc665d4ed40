// A way that works only from a certain try on.
import { connect, createServer } from 'node:net';
import { Writable } from 'node:stream';
import type { RequestOptions } from '@cloudlane/session';
import { closedPort, type LabOrigin } from '@cloudlane/testing';
import { closeAfterTest } from '../support/resources.ts';
import type { RouteLab } from './lab.ts';

/** What a call needs to take it. */
export interface LateWay {
  /** Of the origin, or of what refuses connections in front of it. */
  readonly url: string;
  readonly options: Pick<RequestOptions, 'http_proxy' | 'verbose'>;
  /** How many requests have set out. */
  tries(): number;
}

/** A route whose first hop refuses connections until the try with that number, from 1, sets out. */
export async function lateWay(route: RouteLab, target: LabOrigin, opensAt: number): Promise<LateWay> {
  const setting = await route.setting();
  const port = await closedPort();
  const door = createServer((client) => {
    const onwards = connect(route.isProxied ? route.proxy.port : target.port, '127.0.0.1');
    client.on('error', () => onwards.destroy()).pipe(onwards);
    onwards.on('error', () => client.destroy()).pipe(client);
  });
  closeAfterTest({ [Symbol.asyncDispose]: async () => void door.close() });
  let tries = 0;
  const verbose = new Writable({
    write(_chunk, _encoding, callback) {
      tries += 1;
      if (tries === opensAt) door.listen(port, '127.0.0.1');
      callback();
    },
  });
  const url = new URL(target.url);
  if (typeof setting === 'string') {
    const late = new URL(setting);
    late.port = String(port);
    return { url: target.url, options: { verbose, http_proxy: late.href }, tries: () => tries };
  }
  url.port = String(port);
  return { url: url.origin, options: { verbose }, tries: () => tries };
}
