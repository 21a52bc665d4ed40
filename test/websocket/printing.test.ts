// What a WebSocket and its errors can be made to print: no password, no token, no signature, no cookie.
import { inspect } from 'node:util';
import { CloudlaneError } from '@cloudlane/transport';
import { connectWebSocket, openWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, failureOf, newTransport, proxy, socks } from '../transport/lab.ts';
import { answer, closeOf, connect, type EchoOrigin, SOCKET_SCHEMES, type SocketScheme, startEcho } from './lab.ts';

const DEEP = { depth: Number.POSITIVE_INFINITY, showHidden: true } as const;
const WAYS = ['none', 'http', 'https', 'socks5h'] as const;
type Way = (typeof WAYS)[number];
const ROWS = SOCKET_SCHEMES.flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

const startWay = async (way: Way) =>
  way === 'none' ? null : way === 'socks5h' ? await socks({ auth: AUTH }) : await proxy(way, { auth: AUTH });

/** With a secret in every place that a URL has for one. */
function secretUrl({ url }: Pick<EchoOrigin, 'url'>): URL {
  const secret = new URL(`${url}/console?room=1&access_token=${SECRETS.token}&X-Amz-Signature=${SECRETS.token}`);
  secret.username = 'me';
  secret.password = SECRETS.originPassword;
  return secret;
}

const headers = { Cookie: `sid=${SECRETS.token}`, 'X-Auth-Token': SECRETS.token } as const;

async function start(scheme: SocketScheme, way: Way, instead: () => string | null = () => null) {
  const server = await startEcho(scheme, { instead });
  const station = await startWay(way);
  const transport = newTransport();
  return { server, url: secretUrl(server), transport, http_proxy: station?.urlWithCredentials ?? null };
}

/** As people and log libraries print it. */
const shownOf = (value: object): string =>
  [inspect(value), inspect({ value }, { depth: null }), inspect(value, DEEP), JSON.stringify(value), `${value}`].join(
    '\n',
  );

describe.each(ROWS)('of a %s origin through the proxy "%s"', (scheme, way) => {
  test('a WebSocket shows where it leads and its state, and nothing else', async () => {
    const { server, url, transport, http_proxy } = await start(scheme, way);
    const socket = await connect(url, { http_proxy, transport, headers });
    const masked = `${server.url}/console?room=1&access_token=***&X-Amz-Signature=***`;
    const through = http_proxy === null ? '' : ` through ${http_proxy.replace(/:[^:@]*@/, ':***@')}`;
    expect(inspect(socket)).toBe(`<WebSocket ${masked}${through}, OPEN>`);
    expect(inspect(socket, DEEP)).toBe(inspect(socket));
    const { route, explanation, timings, connection } = socket;
    const shown = shownOf({ socket, route, explanation, timings, connection, transport });
    expect(secretsIn(shown)).toEqual([]);
    expect(secretsIn(shownOf(socket))).toEqual([]);
    await closeOf(socket);
    expect(inspect(socket)).toBe(`<WebSocket ${masked}${through}, CLOSED>`);
  });

  test('a handshake shows no secret, whatever its answer', async () => {
    const { url, transport, http_proxy } = await start(scheme, way, () =>
      answer(401, { 'Set-Cookie': `sid=${SECRETS.token}`, Location: `/?sig=${SECRETS.token}` }, SECRETS.secretKey),
    );
    const refused = await openWebSocket(transport, { url, http_proxy, headers });
    expect(refused).toMatchObject({ socket: null, response: { status: 401 } });
    expect(secretsIn(`${inspect(refused, { depth: null })} ${JSON.stringify(refused)}`)).toEqual([]);
    refused.response.body.resume();
  });

  test.each<[string, () => string]>([
    ['a refusal', () => answer(403, { 'Set-Cookie': `sid=${SECRETS.token}` }, SECRETS.secretKey)],
    [
      'a redirect to nowhere',
      () => answer(302, { Location: `ftp://me:${SECRETS.plainPassword}@x/?sig=${SECRETS.token}` }),
    ],
    [
      'a redirect without TLS',
      () => answer(302, { Location: `ws://me:${SECRETS.plainPassword}@127.0.0.1:9/?sig=${SECRETS.token}` }),
    ],
    [
      'a wrong 101',
      () => `HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSet-Cookie: ${SECRETS.token}\r\n\r\n`,
    ],
    ['garbage', () => `HTTP/1.1 ${SECRETS.token}\r\n`],
    ['an end', () => ''],
  ])('the error for %s shows no secret, nor does what it stands for', async (_, text) => {
    const { url, transport, http_proxy } = await start(scheme, way, text);
    const opened = connectWebSocket(url, { http_proxy, transport, headers, maxRedirects: 1 });
    const error = await failureOf(opened, CloudlaneError);
    for (let each: unknown = error; each !== undefined; each = Reflect.get(Object(each), 'cause')) {
      const { stack, message } = Object(each);
      const printed = [
        inspect(each),
        inspect(each, { depth: null }),
        JSON.stringify(each),
        String(each),
        stack,
        message,
      ];
      expect(secretsIn(printed.join('\n'))).toEqual([]);
    }
    const { route, explanation, timings } = Object(error);
    expect(secretsIn(shownOf({ route, explanation, timings }))).toEqual([]);
  });
});
