import diagnostics from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';
import { inspect } from 'node:util';
import { maskHeaders, maskUrl } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, newTransport, origin, proxy, use } from './lab.ts';

const DEEP = { depth: Number.POSITIVE_INFINITY, showHidden: true } as const;

describe.each([
  ['http', null],
  ['https', null],
  ['http', 'http'],
  ['https', 'http'],
  ['https', 'https'],
] as const)('for an %s origin through %s proxy', (scheme, via) => {
  test('neither the transport, nor its agent, nor the answer shows a secret', async () => {
    const requests: ClientRequest[] = [];
    const note = (message: unknown): void => void requests.push(Reflect.get(Object(message), 'request'));
    diagnostics.subscribe('http.client.request.start', note);
    await use({ [Symbol.asyncDispose]: async () => void diagnostics.unsubscribe('http.client.request.start', note) });
    const server = await origin(scheme);
    const through = via && (await proxy(via, { auth: AUTH }));
    const transport = newTransport();
    const url = new URL(`${server.url}/?sig=${SECRETS.token}`);
    url.username = 'me';
    url.password = SECRETS.originPassword;
    const response = await transport.send({
      url,
      http_proxy: through ? { url: through.urlWithCredentials, headers: { 'X-Token': SECRETS.token } } : null,
      headers: { Cookie: SECRETS.token },
    });
    const agents = requests.map((request) => Reflect.get(request, 'agent')).filter((agent) => 'pool' in agent);
    expect(agents).toHaveLength(1);
    const shown = { transport, agents, connections: transport.connections, body: response.body, route: response.route };
    expect(secretsIn(inspect(shown, DEEP))).toEqual([]);
    expect(secretsIn(JSON.stringify({ ...shown, agents: [] }))).toEqual([]);
    expect(secretsIn(`${inspect(response)} ${JSON.stringify(response)} ${response}`)).toEqual([]);
    response.body.resume();
  });
});

test.each([
  ['https://u:p@x.example/a', 'https://u:***@x.example/a'],
  ['https://:p@x.example/a', 'https://:***@x.example/a'],
  // A user name alone is usually an access token.
  ['https://token@x.example/a', 'https://***@x.example/a'],
  ['https://token@x.example/?a=1#part', 'https://***@x.example/?a=1'],
  ['https://x.example/a#part', 'https://x.example/a'],
  ['https://x.example/?a=1&access_token=x&b=2', 'https://x.example/?a=1&access_token=***&b=2'],
  [
    'https://x.example/?X-Amz-Signature=x&x-goog-signature=y&sig=z',
    'https://x.example/?X-Amz-Signature=***&x-goog-signature=***&sig=***',
  ],
  ['https://x.example/?token=1&token=2', 'https://x.example/?token=***'],
  ['https://x.example/?monkey=1', 'https://x.example/?monkey=1'],
])('the URL %s is shown as %s', (url, shown) => {
  expect(maskUrl(new URL(url))).toBe(shown);
});

test('headers that authorize are masked', () => {
  const headers = {
    Authorization: 'x',
    'proxy-authorization': 'x',
    Cookie: 'x',
    'X-Auth-Token': 'x',
    'X-Api-Key': 'x',
    Accept: 'all',
  };
  expect(maskHeaders(headers)).toEqual({
    ...Object.fromEntries(Object.keys(headers).map((name) => [name, '***'])),
    Accept: 'all',
  });
});

test.each([
  ['Location', 'https://u:p@x.example/?access_token=x&b=2', 'https://u:***@x.example/?access_token=***&b=2'],
  ['location', '/there?a=1&X-Amz-Signature=x#part', '/there?a=1&X-Amz-Signature=***#part'],
  ['location', '//token@x.example/', '//***@x.example/'],
  ['location', 'https://u:p@ss@x.example/', 'https://u:***@x.example/'],
  ['location', 'https://app.example/#access_token=x&state=1', 'https://app.example/#access_token=***&state=1'],
  ['Content-Location', '/a?sig=x', '/a?sig=***'],
  ['Referer', 'https://u:@x.example/?a=1', 'https://***@x.example/?a=1'],
  [
    'link',
    '<https://x.example/?page_token=x>; rel=next, <https://u:p@x.example/>; rel=last',
    '<https://x.example/?page_token=***>; rel=next, <https://u:***@x.example/>; rel=last',
  ],
  ['Refresh', '0; url=https://u:p@x.example/?token=x', '0; url=https://u:***@x.example/?token=***'],
  ['refresh', '0; url = "https://u:p@x.example/"', '0; url = "https://u:***@x.example/"'],
  ['location', ['/?sig=x', '/?a=1'], ['/?sig=***', '/?a=1']],
  ['X-Note', 'https://x.example/?sig=x', 'https://x.example/?sig=x'],
  ['Age', 1, 1],
])('the header %s: %j is shown as %j', (name, value, shown) => {
  expect(maskHeaders({ [name]: value })).toEqual({ [name]: shown });
});
