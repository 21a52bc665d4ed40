import { PassThrough, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { PreparedRequest } from '../../packages/session/src/prepared-request.ts';
import { verboseObserver } from '../../packages/session/src/verbose.ts';
import type { WireRequest } from '../../packages/session/src/wire-observer.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';

const PASSWORD = encodeURIComponent(SECRETS.proxyPassword);
const TOKEN = encodeURIComponent(SECRETS.token);
const STARTED = Date.UTC(2030, 0, 2, 3, 4, 5, 6);

function wireRequest(transported: TransportRequest): WireRequest {
  const init = { method: 'GET', url: new URL('http://api.example'), target: null, headers: {} };
  const request = new PreparedRequest({ ...init, content: { body: null, headers: {}, renew: null } }, () =>
    Promise.reject(new Error('is not sent this way')),
  );
  return { request, transported, startedAt: STARTED };
}

/** What is written of these requests. */
function linesOf(showRoute: boolean | undefined, ...requests: readonly TransportRequest[]): string {
  const to = new PassThrough();
  const observer = verboseObserver(showRoute === undefined ? to : { to, showRoute });
  for (const request of requests) observer.sending?.(wireRequest(request));
  return String(to.read() ?? '');
}

test('each request is one line of time, method and URL', () => {
  const requests = [{ url: 'http://api.example' }, { url: new URL('https://api.example:81/a?b=c#d'), method: 'POST' }];
  const expected = ['GET   http://api.example/', 'POST   https://api.example:81/a?b=c'];
  expect(linesOf(undefined, ...requests)).toBe(expected.map((line) => `2030-01-02T03:04:05.006Z   ${line}\n`).join(''));
  expect(linesOf(false, ...requests)).toBe(linesOf(undefined, ...requests));
});

test.each<[TransportRequest['http_proxy'], string]>([
  [null, 'direct'],
  ['http://p.example', 'tunnel http://p.example:80'],
  [`http://user:${PASSWORD}@p.example:3128`, 'tunnel http://user:***@p.example:3128'],
  [`socks5h://user:${PASSWORD}@[::1]`, 'socks socks5h://user:***@[::1]:1080'],
  [{ http: 'http://p.example' }, 'direct'],
  ['nonsense://x', 'no route'],
])('with showRoute the proxy %j is told as %s', (http_proxy, route) => {
  const line = linesOf(true, { url: 'https://api.example', http_proxy, trustEnv: false });
  expect(line).toBe(`2030-01-02T03:04:05.006Z   GET   https://api.example/   ${route}\n`);
  expect(linesOf(true, { url: 'http://api.example', http_proxy: 'http://p.example' })).toMatch(
    / {3}forward http:\S+\n$/,
  );
});

test.each<[TransportRequest, string]>([
  [{ url: `https://user:${PASSWORD}@api.example/` }, 'https://user:***@api.example/'],
  [{ url: `https://${TOKEN}@api.example/` }, 'https://***@api.example/'],
  [
    { url: `https://api.example//a@b?x=1&X-Amz-Signature=${TOKEN}&y=%20` },
    'https://api.example//a@b?x=1&X-Amz-Signature=***&y=%20',
  ],
  [{ url: `https://api.example/?private%5Ftoken=${TOKEN}` }, 'https://api.example/?private%5Ftoken=***'],
  [{ url: 'https://api.example/a', target: `/b'?token=${TOKEN}` }, "https://api.example/b'?token=***"],
])('secrets in %j are masked', (request, url) => {
  const line = linesOf(true, { ...request, http_proxy: null });
  expect(line.split('   ')[2]).toBe(url);
  expect(secretsIn(line)).toEqual([]);
});

test('nothing in a request can begin another line', () => {
  const request = {
    method: 'GET\r\n2030-01-01',
    url: 'http://api.example/\n',
    target: '/\u2028\u001b[2J\n',
    http_proxy: null,
  };
  expect(linesOf(true, request).match(/[\p{Cc}\p{Zl}\p{Zp}]/gu)).toEqual(['\n']);
});

describe('a request is not disturbed', () => {
  test('by a stream that has ended or was destroyed', async () => {
    for (const finish of ['end', 'destroy'] as const) {
      const to = new PassThrough();
      const failures: unknown[] = [];
      to.on('error', (error) => failures.push(error));
      to[finish]();
      verboseObserver(to).sending?.(wireRequest({ url: 'http://api.example' }));
      await nextTurn();
      expect([to.errored, failures]).toEqual([null, []]);
    }
  });

  test('by a stream that throws', () => {
    const to = Object.assign(new Writable(), {
      write: () => {
        throw new Error('is full');
      },
    });
    expect(() => verboseObserver(to).sending?.(wireRequest({ url: 'http://api.example' }))).not.toThrow();
  });
});

test.each<[unknown, string]>([
  [undefined, 'verbose'],
  [null, 'verbose'],
  [true, 'verbose'],
  [{ showRoute: true }, 'verbose'],
  [{ to: 'stderr' }, 'verbose'],
  [{ to: new PassThrough(), showRoute: 1 }, 'verbose.showRoute'],
  [{ to: new PassThrough(), showroute: true }, 'verbose.showroute'],
])('%p is refused', (options, option) => {
  let refused: unknown = null;
  try {
    Reflect.apply(verboseObserver, undefined, [options]);
  } catch (error) {
    refused = error;
  }
  expect(refused).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
});
