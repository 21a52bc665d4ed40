import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { authorize } from '../../examples/session-auth.ts';
import { sendBodies } from '../../examples/session-bodies.ts';
import { signInOnce } from '../../examples/session-cookies.ts';
import { callWithHooks } from '../../examples/session-hooks.ts';
import { checkAll } from '../../examples/session-many.ts';
import { follow } from '../../examples/session-streaming.ts';
import { trace } from '../../examples/session-trace.ts';
import { fetchInside } from '../../examples/session-trust.ts';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, ca, certificate, origin, proxy } from '../transport/lab.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudlane-'));
});

afterAll(() => rm(directory, { recursive: true }));

test('bodies: JSON, a form, a file in a form, a stream that waits for its 100', async () => {
  const target = await origin();
  const archive = join(directory, 'archive.txt');
  await writeFile(archive, 'archived');
  expect(await sendBodies(target.url, archive)).toBe(8);
  const types = target.requests.map(({ headers }) => headers['content-type']);
  expect(types).toEqual([
    'application/json',
    'application/x-www-form-urlencoded',
    expect.stringMatching(/^multipart\/form-data; boundary=/),
    undefined,
  ]);
  expect(target.requests.map(({ body }) => body.toString())).toEqual([
    '{"name":"web-1"}',
    'user=ada&tags=a&tags=b',
    expect.stringContaining('archived'),
    'archived',
  ]);
});

test('streaming: lines until the last one wanted', async () => {
  const target = await origin('http', {
    handler: (_, response) => void response.write('one\r\n\r\ntwo\nthree\n'),
  });
  expect(await follow(target.url, 'two')).toEqual(['one', 'two']);
  await target.waitUntilIdle();
});

test('many: in order, what is kept of each, and the first two', async () => {
  const target = await origin();
  expect(await checkAll(target.url, 5)).toEqual({ statuses: [200, 200, 200, 200, 200], firstTwo: 2 });
});

test('auth: of one’s own, Basic, Digest, a token that is renewed, none', async () => {
  const target = await origin('http', {
    handler: (request, response) => {
      const scheme = String(request.headers.authorization ?? '').split(' ')[0];
      if (request.headers['x-pizza'] !== undefined || scheme !== '') return void response.end();
      const schemes = 'Digest realm="r", qop="auth", nonce="n", Bearer';
      response.writeHead(401, { 'WWW-Authenticate': schemes }).end();
    },
  });
  const statuses = await authorize(target.url, SECRETS.originPassword, async () => SECRETS.token);
  expect(statuses).toEqual([200, 200, 200, 200, 401]);
  const schemes = target.requests.map(({ headers }) => String(headers.authorization ?? '').split(' ')[0]);
  expect(schemes).toEqual(['', 'Basic', '', 'Digest', 'Bearer', '']);
});

test('hooks: the arguments, the request, the answer', async () => {
  const target = await origin('http', {
    handler: ({ headers }: IncomingMessage, response) => void response.end(`${headers.yo} ${headers['x-testing']}`),
  });
  const lines: string[] = [];
  expect(await callWithHooks(target.url, (line) => lines.push(line))).toBe('yes True');
  expect(lines).toEqual([`asked for ${target.url}`, 'answered 200']);
});

test('trace: a line, a command and a HAR file, without the password', async () => {
  const [target, between] = await Promise.all([origin(), proxy('http', { auth: AUTH })]);
  const [lines, commands, path] = [new PassThrough(), new PassThrough(), join(directory, 'session.har')];
  await trace(target.url, between.urlWithCredentials, lines, commands, path);
  const [line, command, har] = await Promise.all([text(lines.end()), text(commands.end()), readFile(path, 'utf8')]);
  expect(line).toMatch(/^\d{4}-.*Z {3}GET {3}http:\/\/127\.0\.0\.1:\d+\/ {3}forward http:\/\/user:\*\*\*@.*\n$/);
  expect(command).toMatch(/^curl .*--proxy/);
  expect(JSON.parse(har).log.entries).toHaveLength(1);
  for (const shown of [line, command, har]) expect(shown).not.toContain(SECRETS.proxyPassword);
});

test('cookies: kept for the next run', async () => {
  const target = await origin('http', {
    handler: (request, response) => {
      if (request.url === '/login') response.setHeader('Set-Cookie', 'sid=1; Path=/; Max-Age=60');
      response.end(request.headers.cookie ?? 'none');
    },
  });
  expect(await signInOnce(target.url, join(directory, 'jar.json'))).toBe('sid=1');
  expect(target.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, 'sid=1; theme=dark', 'sid=1']);
});

test('trust: an authority and a certificate of one’s own, redirects that stay in https', async () => {
  const plain = await origin();
  const places: Record<string, string> = { '/': '/inside', '/out': plain.url };
  const target = await origin('https', {
    handler: ({ url = '' }, response) =>
      void response.writeHead(url in places ? 302 : 200, { Location: places[url] }).end(),
  });
  const paths = ['ca.pem', 'cert.pem', 'key.pem'].map((name) => join(directory, name));
  const [caFile = '', cert = '', key = ''] = paths;
  await Promise.all([
    writeFile(caFile, ca.certificate),
    writeFile(cert, certificate.cert),
    writeFile(key, certificate.key),
  ]);
  expect(await fetchInside(target.url, caFile, cert, key)).toBe('/ → /inside');
  expect(await fetchInside(`${target.url}/out`, caFile, cert, key)).toBe('ERR_REDIRECT_INSECURE');
  expect(plain.requests).toHaveLength(0);
});
