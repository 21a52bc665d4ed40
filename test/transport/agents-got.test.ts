import { text } from 'node:stream/consumers';
import { describe, expect, test } from '@jest/globals';
import got from 'got';
import { makeGot } from './agents-clients.ts';
import { failsWell } from './agents-faults.ts';
import { goesEveryWay, store } from './agents-lab.ts';
import { ca, newTransport, proxy } from './lab.ts';

describe('got', () => {
  goesEveryWay(makeGot);
  failsWell(makeGot, 'cause', { name: 'AbortError', code: 'ERR_ABORTED' });

  test('takes its JSON, and its own authority and timeout', async () => {
    const [server, through] = [await store('https'), await proxy()];
    const agent = newTransport({ tls: {} }).agents({ http_proxy: through.url });
    const url = `${server.url}/bucket/json`;
    await expect(got.put(url, { agent, json: { a: 1 } })).rejects.toMatchObject({ code: 'ERR_TLS' });
    const https = { certificateAuthority: ca.certificate };
    await got.put(url, { agent, json: { a: 1 }, https });
    expect(await got(url, { agent, https }).json()).toEqual({ a: 1 });
    expect(await text(got.stream(url, { agent, https }))).toBe('{"a":1}');
    expect(through.hops).toHaveLength(2);
    through.misbehave({ kind: 'hang' });
    const other = newTransport().agents({ http_proxy: through.url });
    // It counts the wait for a socket from 'socket' on; `request` counts it all.
    const late = got(url, { agent: other, timeout: { request: 100 } });
    await expect(late).rejects.toMatchObject({ code: 'ETIMEDOUT', event: 'request' });
    await through.waitForHops(3);
  });
});
