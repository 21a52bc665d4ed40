// Tunnels that a SOCKS proxy has granted, and that come to nothing.
import type { LabSocksOptions } from '@cloudlane/testing';
import { ResetError, TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  AUTH,
  expectNothingLeft,
  failureOf,
  getText,
  newTransport,
  origin,
  SOCKS_SCHEMES,
  socks,
  until,
} from './lab.ts';

async function start(scheme: 'http' | 'https', options: LabSocksOptions) {
  const server = await origin(scheme);
  const through = await socks({ auth: AUTH, userId: AUTH.username, ...options });
  const transport = newTransport();
  return { server, through, transport };
}

const CASES = (['http', 'https'] as const).flatMap((scheme) => SOCKS_SCHEMES.map((by) => [scheme, by] as const));

describe.each(CASES)('to an %s origin, by %s', (scheme, by) => {
  test.each(['end', 'reset'] as const)('tells a granted tunnel that dies at once by %s', async (how) => {
    const { server, through, transport } = await start(scheme, { misbehaviour: { kind: 'close-after-tunnel', how } });
    const http_proxy = through.urlFor(by, { credentials: true });
    const error = await failureOf(transport.send({ url: server.url, http_proxy }), ResetError);
    expect(error).toMatchObject({
      code: 'ERR_RESET',
      hop: 'origin',
      hasConnectedToProxy: true,
      reusedConnection: false,
    });
    // Within TLS nothing of the request has been sent.
    if (scheme === 'https') expect(error).toMatchObject({ phase: 'origin-tls', retryable: true });
    else expect(error.phase).toMatch(/^re(quest|sponse)$/);
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.connectionCount]).toEqual([1, 0]);
  });

  test('tells a granted tunnel that is silent', async () => {
    const { server, through, transport } = await start(scheme, { misbehaviour: { kind: 'silent-tunnel' } });
    const http_proxy = through.urlFor(by, { credentials: true });
    const sent = transport.send({ url: server.url, http_proxy, timeout: { handshake: 300, firstByte: 60 } });
    const error = await failureOf(sent, TimeoutError);
    expect(error).toMatchObject(
      scheme === 'https'
        ? { deadline: 'handshake', phase: 'origin-tls', hop: 'origin', retryable: true }
        : { deadline: 'firstByte', phase: 'response', hop: 'origin', retryable: false },
    );
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.connectionCount]).toEqual([1, 0]);
  });

  test('keeps no tunnel that is granted after the abort', async () => {
    let grant = (): void => {};
    const granted = new Promise<void>((resolve) => {
      grant = resolve;
    });
    const { server, through, transport } = await start(scheme, {
      misbehaviour: { kind: 'hang-until', in: 'request', until: granted, times: 1 },
    });
    const controller = new AbortController();
    const request = { url: server.url, http_proxy: through.urlFor(by, { credentials: true }) };
    const sent = transport.send({ ...request, signal: controller.signal });
    sent.catch(() => {});
    await until(() => Boolean(through.hops[0]?.target));
    // In the same turn: the reply is on its way when the abort comes.
    grant();
    controller.abort();
    await expect(sent).rejects.toBe(controller.signal.reason);
    await expectNothingLeft(transport, through);
    await getText(transport, request);
    expect([through.connectionCount, server.requests.length]).toEqual([2, 1]);
  });
});
