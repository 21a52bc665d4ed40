// What a session shows of its requests: `verbose`, `debug` and `har`, over real sockets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { CookieJar, HarRecorder, Session, type SessionOptions } from '@cloudlane/session';
import { closedPort, type LabOrigin } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import { describeReal } from '../support/real-needs.ts';
import { closeAfterTest } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, certificate, newTransport, origin, proxy, trusting } from '../transport/lab.ts';
import { faultsOf } from './har-rules.ts';

function newSession(options: SessionOptions = {}): Session {
  return closeAfterTest(new Session({ transport: newTransport(), http_proxy: null, ...options }));
}

/** Redirects /2 to /1 and that to /0, setting a cookie. */
function redirecting(): Promise<LabOrigin> {
  return origin('http', {
    handler: ({ url = '' }, response) => {
      const left = Number(url.slice(1, 2));
      if (left === 0) return void response.writeHead(200).end('text');
      const location = `/${left - 1}?token=${encodeURIComponent(SECRETS.token)}`;
      response.writeHead(302, { location, 'set-cookie': `s=${SECRETS.token}` }).end();
    },
  });
}

test('verbose writes one line for each hop of a redirect', async () => {
  const server = await redirecting();
  const verbose = new PassThrough();
  await (await newSession({ verbose }).get(`${server.url}/2`)).content();
  const lines = String(verbose.read()).split('\n');
  expect(server.requests).toHaveLength(3);
  expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {3}/, ''))).toEqual([
    `GET   ${server.url}/2`,
    `GET   ${server.url}/1?token=***`,
    `GET   ${server.url}/0?token=***`,
    '',
  ]);
});

test('verbose writes one line for each try, with the proxy if that is wanted', async () => {
  const to = new PassThrough();
  const http_proxy = { url: `http://127.0.0.1:${await closedPort()}`, auth: AUTH };
  const session = newSession({ http_proxy, maxRetries: 2 });
  await expect(session.get('http://api.example', { verbose: { to, showRoute: true } })).rejects.toThrow();
  const lines = String(to.read()).split('\n').slice(0, -1);
  expect(lines).toHaveLength(3);
  for (const line of lines)
    expect(line).toMatch(/ {3}GET {3}http:\/\/api\.example\/ {3}forward http:\/\/user:\*\*\*@127\./);
});

test('a call may write elsewhere, or not at all', async () => {
  const server = await origin();
  const [ofSession, ofCall] = [new PassThrough(), new PassThrough()];
  const session = newSession({ verbose: ofSession, debug: { format: 'curl', to: ofSession } });
  await (await session.get(server.url, { verbose: ofCall, debug: null })).content();
  await (await session.get(server.url, { verbose: null, debug: null })).content();
  expect(ofSession.read()).toBe(null);
  expect(String(ofCall.read()).split('\n')).toHaveLength(2);
});

test('streams that have ended do not disturb a session', async () => {
  const server = await origin();
  const to = new PassThrough();
  to.end();
  const session = newSession({ verbose: to, debug: { format: 'curl', to } });
  expect(await (await session.get(server.url)).json()).toMatchObject({ method: 'GET' });
});

test('debug shows no secret of a session', async () => {
  const server = await redirecting();
  const to = new PassThrough();
  const session = newSession({
    debug: { format: 'curl', to },
    auth: ['user', SECRETS.originPassword],
    params: { api_key: SECRETS.secretKey },
    headers: { 'X-Auth-Token': SECRETS.token },
  });
  await (await session.post(`${server.url}/1`, { json: { nested: [{ password: SECRETS.token }] } })).content();
  const printed = String(to.read());
  expect(printed.split('\n')).toHaveLength(3);
  expect(secretsIn(printed)).toEqual([]);
  expect(printed).toContain(`--data-raw '{"nested":[{"password":"***"}]}'`);
});

describeReal(
  'a command that debug prints',
  [
    { program: 'bash', package: 'bash' },
    { program: 'curl', package: 'curl' },
  ],
  () => {
    test('makes the same request as the session', async () => {
      const server = await origin('https');
      const front = await proxy('https', { auth: AUTH });
      const to = new PassThrough();
      const cookies = new CookieJar();
      cookies.set('c', 'd%20e', { domain: '127.0.0.1', path: '/' });
      const session = newSession({
        ...trusting,
        cookies,
        http_proxy: front.urlWithCredentials,
        auth: ['user', SECRETS.originPassword],
        debug: { format: 'curl', to, showSecrets: ['*'] },
      });
      await (await session.put(`${server.url}/ä?b=c`, { params: { 'd e': ['1', '2'] }, json: { f: 'ü' } })).content();
      const folder = await mkdtemp(join(tmpdir(), 'cloudlane-debug-'));
      closeAfterTest({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
      await writeFile(join(folder, 'script'), String(to.read()));
      const env = { PATH: process.env.PATH, HOME: folder };
      const bash = spawn('bash', [join(folder, 'script')], { env, stdio: 'ignore' });
      expect(await once(bash, 'close')).toEqual([0, null]);
      const [ours, theirs] = server.requests;
      expect({ ...theirs?.headers, connection: '' }).toEqual({ ...ours?.headers, connection: '' });
      for (const name of ['method', 'target', 'body'] as const) expect(theirs?.[name]).toEqual(ours?.[name]);
      expect(ours?.headers.cookie).toBe('c=d%20e');
      expect(front.hops.map(({ kind, username }) => [kind, username])).toEqual([
        ['connect', AUTH.username],
        ['connect', AUTH.username],
      ]);
    });
  },
);

test('har holds every hop of a session, and is saved when the session is closed', async () => {
  const server = await redirecting();
  const front = await proxy('http', { auth: AUTH });
  const folder = await mkdtemp(join(tmpdir(), 'cloudlane-har-'));
  closeAfterTest({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
  const har = new HarRecorder({ path: join(folder, 'a.har'), content: true });
  const session = new Session({ transport: newTransport(), http_proxy: front.urlWithCredentials, har });
  expect(await (await session.get(`${server.url}/2`)).text()).toBe('text');
  const failed = await session.get(`http://127.0.0.1:${await closedPort()}/`, { http_proxy: null, safeMode: true });
  expect(failed.status).toBe(0);
  failed.release();
  await session.close();
  const saved = await readFile(join(folder, 'a.har'), 'utf8');
  expect(faultsOf(JSON.parse(saved))).toEqual([]);
  expect(secretsIn(saved)).toEqual([]);
  const entries = har.toJSON().log.entries;
  expect(entries.map(({ request, response }) => [request.url.replace(/^.*:\d+/, ''), response.status])).toEqual([
    ['/2', 302],
    ['/1?token=***', 302],
    ['/0?token=***', 200],
    ['/', 0],
  ]);
  expect(entries.slice(0, 3).map(({ _route, _reusedConnection }) => [_route, _reusedConnection])).toEqual([
    ['forward', false],
    ['forward', true],
    ['forward', true],
  ]);
  for (const { comment } of entries) expect(comment).toBe(undefined);
  expect(entries[1]?.request.cookies).toEqual([{ name: 's', value: '***' }]);
  expect(entries[2]?.response.content).toMatchObject({ size: 4, text: 'text' });
  expect(entries[3]?._error).toMatch(/ECONNREFUSED/);
});

test('har holds both requests of a challenge', async () => {
  const challenge = 'Digest realm="r", qop="auth", nonce="n", algorithm=SHA-256';
  const server = await origin('https', {
    tls: certificate,
    handler: ({ headers }, response) =>
      void (headers.authorization === undefined
        ? response.writeHead(401, { 'www-authenticate': challenge }).end()
        : response.end('in')),
  });
  const har = new HarRecorder({ content: true });
  const { HTTPDigestAuth } = await import('../../packages/session/src/digest-auth.ts');
  const auth = new HTTPDigestAuth('user', SECRETS.originPassword);
  const session = newSession({ ...trusting, har, auth });
  expect(await (await session.get(server.url)).text()).toBe('in');
  const { entries } = har.toJSON().log;
  expect(entries.map(({ response }) => response.status)).toEqual([401, 200]);
  expect(entries[1]?.request.headers).toContainEqual({ name: 'Authorization', value: '***' });
  expect(faultsOf(har)).toEqual([]);
});
