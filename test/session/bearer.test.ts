import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { LabOrigin } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { type BearerTokens, HTTPBearerAuth } from '../../packages/session/src/bearer-auth.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { failureOf, newTransport, origin } from '../transport/lab.ts';
import { prepare, send, sendPrepared } from './auth-loop.ts';

/** Lets in who shows a token of those. */
function guarded(...good: string[]): Promise<LabOrigin> {
  return origin('http', {
    handler: (request, response) => {
      const isGood = good.some((token) => request.headers.authorization === `Bearer ${token}`);
      response
        .writeHead(isGood ? 200 : 401, isGood ? {} : { 'WWW-Authenticate': 'Bearer error="invalid_token"' })
        .end();
    },
  });
}

function shown(target: LabOrigin): string[] {
  return target.requests.map(({ headers }) => String(headers.authorization).replace('Bearer ', ''));
}

/** Gives one after the other, and the last one for ever. */
function counting(...tokens: string[]): { tokens: BearerTokens; calls: () => number } {
  let calls = 0;
  const refresh = () => {
    calls += 1;
    return tokens[Math.min(calls, tokens.length) - 1] ?? '';
  };
  return { tokens: { refresh }, calls: () => calls };
}

describe('a token', () => {
  test('alone is sent with each request; a 401 is the answer', async () => {
    const target = await guarded('good');
    expect(await send(new HTTPBearerAuth('good'), target.url)).toMatchObject({ status: 200 });
    expect(await send(new HTTPBearerAuth({ ...counting().tokens, token: 'good' }), target.url)).toMatchObject({
      status: 200,
    });
    expect(await send(new HTTPBearerAuth('bad'), target.url)).toMatchObject({ status: 401 });
    expect(shown(target)).toEqual(['good', 'good', 'bad']);
  });

  test('is got before the first request if there is none, and kept', async () => {
    const target = await guarded('good');
    const { tokens, calls } = counting('good', 'other');
    const auth = new HTTPBearerAuth(tokens);
    for (let times = 0; times < 3; times += 1) expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect([calls(), shown(target)]).toEqual([1, ['good', 'good', 'good']]);
  });

  test('that is refused is replaced once, and the new one kept', async () => {
    const target = await guarded('new');
    const { tokens, calls } = counting('new');
    const auth = new HTTPBearerAuth({ ...tokens, token: 'old' });
    expect(await send(auth, target.url, { method: 'POST', data: 'again' })).toMatchObject({ status: 200 });
    expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect([calls(), shown(target)]).toEqual([1, ['old', 'new', 'new']]);
    expect(target.requests.map(({ body }) => body.toString())).toEqual(['again', 'again', '']);
  });

  test('that is refused, too, ends it: the second 401 is the answer, each time', async () => {
    const target = await guarded();
    const { tokens, calls } = counting('b', 'c');
    const request = prepare(target.url, { auth: new HTTPBearerAuth({ ...tokens, token: 'a' }) });
    expect(await sendPrepared(request)).toMatchObject({ status: 401 });
    expect(await sendPrepared(request)).toMatchObject({ status: 401 });
    expect([calls(), shown(target)]).toEqual([2, ['a', 'b', 'b', 'c']]);
  });

  test('of several requests at once is got once for all', async () => {
    const target = await guarded('new');
    const { tokens, calls } = counting('new', 'newer');
    const auth = new HTTPBearerAuth({
      token: 'old',
      // Every request waits for it: none of them is answered later than the new token is there.
      refresh: () => target.waitForRequests(5).then(tokens.refresh),
    });
    const transport = newTransport();
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(auth, target.url, { transport })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect([calls(), shown(target)]).toEqual([1, [...Array(5).fill('old'), ...Array(5).fill('new')]]);
  });

  test.each(['new', 'old'])('that another request has replaced by %j meanwhile is not got again', async (token) => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const late = await origin('http', {
      handler: async (request, response) => {
        if (late.requests.length === 1) await held;
        response.writeHead(late.requests.length === 1 ? 401 : 200).end(request.headers.authorization);
      },
    });
    const prompt = await origin('http', {
      handler: (_, response) => void response.writeHead(prompt.requests.length === 1 ? 401 : 200).end(),
    });
    const { tokens, calls } = counting(token, 'never');
    const auth = new HTTPBearerAuth({ ...tokens, token: 'old' });
    const slow = send(auth, late.url);
    await late.waitForRequests(1);
    expect(await send(auth, prompt.url)).toMatchObject({ status: 200 });
    release();
    expect(await slow).toEqual({ status: 200, text: `Bearer ${token}` });
    expect(calls()).toBe(1);
  });

  test('that cannot be got fails the call with the error of who should give it, and is tried again by the next', async () => {
    const target = await guarded('new');
    const refusal = new RangeError('no more tokens');
    let calls = 0;
    const auth = new HTTPBearerAuth({
      token: 'old',
      refresh: async () => {
        calls += 1;
        if (calls === 1) throw refusal;
        return 'new';
      },
    });
    await expect(send(auth, target.url)).rejects.toBe(refusal);
    expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect(calls).toBe(2);
  });

  test.each(['', 'a b', 'a\r\nX-Evil: 1', 'tökén', 'a\u0000', ' a'])('such as %j is refused', async (token) => {
    expect(() => new HTTPBearerAuth(token)).toThrow(InvalidOptionError);
    expect(() => new HTTPBearerAuth({ token, refresh: () => 'good' })).toThrow(InvalidOptionError);
    const target = await guarded();
    const error = await failureOf(send(new HTTPBearerAuth({ refresh: () => token }), target.url), InvalidOptionError);
    expect(error.option).toBe('auth.refresh');
    expect(target.requests).toEqual([]);
  });

  test('is neither printed nor told by an error', async () => {
    const auth = new HTTPBearerAuth({ token: SECRETS.token, refresh: () => SECRETS.token });
    const request = prepare('http://origin.example/');
    await auth.apply(request);
    const error = await failureOf(
      Promise.resolve().then(() => new HTTPBearerAuth(`${SECRETS.token}\n`)),
      InvalidOptionError,
    );
    const text = [auth, request, error].map(
      (each) => inspect(each, { showHidden: true, depth: 9 }) + JSON.stringify(each),
    );
    expect(secretsIn(text.join('\n'))).toEqual([]);
  });
});

test.each([{}, null, { refresh: 'x', token: 'y' }])('%j gives no tokens', (tokens) => {
  expect(() => Reflect.construct(HTTPBearerAuth, [tokens])).toThrow(InvalidOptionError);
});
