// Nothing that may be printed shows a password, a token, an Authorization value or a signature.
import { inspect } from 'node:util';
import { type ApiResponse, Connection, KeyConnection, type MutableHeaders } from '@cloudlane/connection';
import type { HttpProxy } from '@cloudlane/proxy';
import { HTTPBasicAuth, Session } from '@cloudlane/session';
import { closedPort } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, newTransport, origin, proxy } from '../transport/lab.ts';

const PASSWORD = encodeURIComponent(SECRETS.proxyPassword);

/** Everything that printing may make of a value. */
function printed(value: unknown): string {
  const forms = [
    inspect(value),
    inspect(value, { depth: 20, showHidden: true, getters: true }),
    inspect({ within: [value] }, { depth: 20 }),
    JSON.stringify(value),
    JSON.stringify({ within: [value] }),
    String(value),
  ];
  if (value instanceof Error) forms.push(value.message, String(value.stack), printed(value.cause));
  return forms.join('\n');
}

const SETTINGS: readonly HttpProxy[] = [
  `http://user:${PASSWORD}@proxy.example:3128`,
  new URL(`https://user:${PASSWORD}@proxy.example`),
  { url: 'http://proxy.example', auth: AUTH },
  { url: 'http://proxy.example', headers: { 'Proxy-Authorization': SECRETS.token } },
  { https: `http://user:${PASSWORD}@proxy.example`, 'all://api.example': null, noProxy: 'internal.example' },
];

test.each(SETTINGS)('a session and a connection with the proxy %#', (http_proxy) => {
  const options = {
    http_proxy,
    headers: { Authorization: SECRETS.token },
    auth: new HTTPBasicAuth('u', SECRETS.originPassword),
  };
  const session = new Session(options);
  const { headers: _, ...rest } = options;
  const connection = new Connection({
    baseUrl: `https://u:${encodeURIComponent(SECRETS.originPassword)}@api.example`,
    ...rest,
  });
  for (const value of [session, connection, session.explain('https://a.example'), connection.explain()]) {
    expect(secretsIn(printed(value))).toEqual([]);
    expect(printed(value)).toContain('proxy.example');
  }
});

class Tokened extends KeyConnection {
  protected override addDefaultHeaders(headers: MutableHeaders): void {
    headers.Authorization = `Bearer ${this.key}`;
    headers['X-Auth-Token'] = this.key;
    headers.Cookie = `session=${this.key}`;
  }
}

/** One call with a secret at every place that has room for one. */
async function callWithSecrets(status: number, raw = false, proxyUrl?: string): Promise<unknown> {
  const [target, guarded] = await Promise.all([
    origin('http', {
      handler: (_, response) => {
        response.writeHead(status, { 'Set-Cookie': `session=${SECRETS.token}`, 'Content-Type': 'application/json' });
        response.end(status === 203 ? '{' : '{"fine":true}');
      },
    }),
    proxy('http', { auth: AUTH }),
  ]);
  const connection = new Tokened(SECRETS.token, {
    baseUrl: target.url,
    transport: newTransport(),
    http_proxy: proxyUrl ?? guarded.urlWithCredentials,
  });
  const params = { 'X-Amz-Signature': SECRETS.secretKey, token: SECRETS.token };
  return connection
    .request('/thing', { method: 'POST', params, data: SECRETS.originPassword, raw })
    .catch((error: unknown) => error);
}

describe('a call with secrets everywhere', () => {
  test('its answer, and what leads from it', async () => {
    const answer = (await callWithSecrets(200)) as ApiResponse;
    expect(answer.object).toEqual({ fine: true });
    const { http } = answer;
    for (const value of [answer, http, http.request, http.explanation, http.route, http.connection]) {
      expect(secretsIn(printed(value))).toEqual([]);
    }
    expect(printed(answer)).toContain('fine');
  });

  test('its raw answer', async () => {
    const answer = (await callWithSecrets(200, true)) as ApiResponse;
    expect(secretsIn(printed(answer))).toEqual([]);
    expect(secretsIn(printed(answer.object))).toEqual([]);
    answer.http.release();
  });

  test.each([
    [203, 'ERR_MALFORMED_RESPONSE'],
    [401, 'ERR_INVALID_CREDENTIALS'],
    [429, 'ERR_RATE_LIMIT'],
    [500, 'ERR_PROVIDER'],
  ])('its error on %d', async (status, code) => {
    const error = await callWithSecrets(status);
    expect(error).toMatchObject({ code });
    expect(secretsIn(printed(error))).toEqual([]);
  });

  test.each(['refused', 'not there', 'not usable'])('its error if the proxy is %s', async (how) => {
    const host = {
      refused: undefined,
      'not there': `127.0.0.1:${await closedPort()}`,
      'not usable': 'proxy.example/path',
    }[how];
    const guarded = await proxy('http', { auth: { username: 'other', password: 'other' } });
    const url = `http://user:${PASSWORD}@${host ?? `127.0.0.1:${guarded.port}`}`;
    const error = await callWithSecrets(200, false, url).catch((each: unknown) => each);
    expect(error).toMatchObject({ code: expect.stringMatching(/PROXY/) });
    expect(secretsIn(printed(error))).toEqual([]);
  });

  test('its errors of the session', async () => {
    const target = await origin('http', { handler: (_, response) => void response.writeHead(500).end() });
    const session = new Session({ transport: newTransport(), headers: { Authorization: SECRETS.token } });
    const response = await session.get(`${target.url}/?sig=${encodeURIComponent(SECRETS.secretKey)}`);
    await response.content();
    for (const work of [() => response.raiseForStatus(), () => response.body]) {
      let error: unknown;
      try {
        work();
      } catch (each) {
        error = each;
      }
      expect(error).toBeInstanceOf(Error);
      expect(secretsIn(printed(error))).toEqual([]);
    }
  });

  test('a prepared request', () => {
    const session = new Session({ auth: new HTTPBasicAuth('u', SECRETS.originPassword) });
    const prepared = session.prepare(
      'PUT',
      `https://u:${encodeURIComponent(SECRETS.originPassword)}@a.example/?token=${SECRETS.token}`,
      {
        headers: { 'X-Api-Key': SECRETS.secretKey, 'X-Plain': 'shown' },
        http_proxy: `http://user:${PASSWORD}@proxy.example`,
      },
    );
    expect(secretsIn(JSON.stringify(prepared) + inspect(prepared) + String(prepared))).toEqual([]);
    expect(inspect(prepared)).toContain('shown');
  });
});
