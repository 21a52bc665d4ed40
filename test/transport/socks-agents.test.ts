// SOCKS under somebody else's client, which knows nothing of it: Node's own.
import { once } from 'node:events';
import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import type { SocksPhase } from '@cloudlane/testing';
import { SocksError, TimeoutError, type Transport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, SOCKS_SCHEMES, socks, until } from './lab.ts';

const PHASES: readonly SocksPhase[] = ['greeting', 'auth', 'request'];
const SEEN = { greeting: 'methods', auth: 'username', request: 'addressType' } as const;

/** Without `protocol`, as some SDKs leave it out. */
function start(
  transport: Transport,
  http_proxy: string,
  url: string,
  options: http.RequestOptions = {},
): ClientRequest {
  const { hostname: host, port, protocol } = new URL(url);
  const agents = transport.agents({ http_proxy });
  if (protocol === 'https:') return https.get({ host, port, agent: agents.https, ...options });
  return http.get({ host, port, agent: agents.http, ...options });
}

/** What its 'error' event tells. */
async function errorOf(request: ClientRequest): Promise<never> {
  const [error] = await once(request, 'error');
  throw error;
}

describe.each(['http', 'https'] as const)('for an %s origin', (scheme) => {
  test.each(SOCKS_SCHEMES)('a request arrives by %s, and the next one over the same connection', async (by) => {
    const [server, through] = [await origin(scheme), await socks({ auth: AUTH, userId: 'user' })];
    const [transport, http_proxy] = [newTransport(), through.urlFor(by, { credentials: true })];
    for (let call = 0; call < 2; call += 1) {
      const [response] = await once(start(transport, http_proxy, server.url), 'response');
      expect(await text(response)).toContain('"method":"GET"');
    }
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1]);
    expect(through.hops).toMatchObject([{ authorized: true, target: new URL(server.url).host }]);
  });

  test.each(PHASES)('S3 destroying it while the proxy stalls in the %s closes the socket', async (phase) => {
    const [server, through] = [await origin(scheme), await socks({ auth: AUTH })];
    through.misbehave({ kind: 'hang', in: phase });
    const transport = newTransport();
    const request = start(transport, through.urlWithCredentials, server.url);
    const failure = errorOf(request);
    failure.catch(() => {});
    await until(() => Boolean(through.hops[0]?.[SEEN[phase]]));
    request.destroy(new Error('enough'));
    await expect(failure).rejects.toThrow('enough');
    await expectNothingLeft(transport, through);
  });

  test.each(PHASES)('S4 its timeout covers the %s', async (phase) => {
    const [server, through] = [await origin(scheme), await socks({ auth: AUTH })];
    through.misbehave({ kind: 'hang', in: phase });
    const transport = newTransport();
    const sent = start(transport, through.urlWithCredentials, server.url, { timeout: 150 });
    const error = await failureOf(errorOf(sent), TimeoutError);
    expect(error).toMatchObject({ deadline: 'handshake', milliseconds: 150, phase: 'proxy-handshake', hop: 'proxy' });
    await expectNothingLeft(transport, through);
  });

  test('S8 with one connection allowed all requests fail that the proxy refuses', async () => {
    const [server, through] = [await origin(scheme), await socks({ misbehaviour: { kind: 'reply', code: 2 } })];
    const transport = newTransport({ maxSockets: 1 });
    const requests = [1, 2, 3].map(() => start(transport, through.url, server.url));
    const errors = await Promise.all(requests.map((request) => failureOf(errorOf(request), SocksError)));
    expect(errors.map(({ replyCode, step }) => [replyCode, step])).toEqual(Array(3).fill([2, 'request']));
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.connectionCount]).toEqual([3, 0]);
  });
});
