// What becomes of `data` and `json`.
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { newTransport, origin, until } from '../transport/lab.ts';
import { arrival, call, encode, file, openFiles, refusal } from './content-lab.ts';

const BYTES = Uint8Array.from([0, 1, 254, 255]);

async function* chunks(): AsyncGenerator<string | Uint8Array> {
  yield 'a';
  yield Buffer.from('bc');
}

test('nothing is no body', () => {
  for (const options of [{}, { data: null }, { data: undefined, json: undefined, files: undefined }])
    expect(encode(options)).toEqual({ body: null, headers: {}, renew: null });
});

describe('json', () => {
  test.each([
    ['an object', { a: [1, 'ü', null] }, '{"a":[1,"ü",null]}'],
    ['null', null, 'null'],
    ['false', false, 'false'],
    ['an empty text', '', '""'],
    ['what has toJSON', new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ])('of %s is sent with its type', async (_, json, body) => {
    const request = await arrival(encode({ json }));
    expect(String(request.body)).toBe(body);
    expect(request.headers).toMatchObject({ 'content-type': 'application/json' });
  });

  const circle: Record<string, unknown> = {};
  circle.itself = circle;
  test.each([
    ['a circle', circle, 'Converting circular structure to JSON'],
    ['a BigInt', { n: 1n }, 'BigInt'],
    ['a function', () => 1, 'is function, which JSON has no word for'],
    ['a symbol', Symbol('s'), 'is symbol, which JSON has no word for'],
  ])('of %s is refused', (_, json, says) => {
    const error = refusal({ json });
    expect(error.option).toBe('json');
    expect(error.message).toContain(says);
    expect(error.message).not.toContain('\n');
  });

  test.each([
    ['data', { data: '' }],
    ['files', { files: {} }],
  ])('contradicts %s', (other, options) => {
    expect(refusal({ json: null, ...options })).toMatchObject({
      option: 'json',
      reason: `contradicts ${other}; give one of them`,
    });
  });
});

describe('data in memory', () => {
  test.each<[string, unknown, string | Uint8Array]>([
    ['text', 'grüße', 'grüße'],
    ['an empty text', '', ''],
    ['a Uint8Array', BYTES, BYTES],
    ['a Buffer', Buffer.from(BYTES), BYTES],
    ['an ArrayBuffer', BYTES.slice().buffer, BYTES],
    ['a SharedArrayBuffer', shared(), BYTES],
    ['a view of two-byte numbers', new Uint16Array(Uint8Array.from([9, 9, ...BYTES, 9, 9]).buffer, 2, 2), BYTES],
  ])('that is %s goes out as it is, without a type', async (_, data, bytes) => {
    const content = encode({ data });
    expect(content.renew).toBeNull();
    const request = await arrival(content);
    expect(request.body).toEqual(Buffer.from(bytes));
    expect(request.headers).not.toHaveProperty('content-type');
    expect(request.headers['content-length']).toBe(String(request.body.length));
  });
});

function shared(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(BYTES.length);
  new Uint8Array(buffer).set(BYTES);
  return buffer;
}

describe('data that is a stream', () => {
  test.each([
    ['of Node', () => Readable.from(['a', 'bc'])],
    ['of the web', () => Readable.toWeb(Readable.from([Buffer.from('abc')]))],
    ['an async iterable', chunks],
  ])('%s goes out in chunks, and only once', async (_, data) => {
    const stream = data();
    const content = encode({ data: stream });
    expect(content).toEqual({ body: stream, headers: {}, renew: null });
    const request = await arrival(content);
    expect(String(request.body)).toBe('abc');
    expect(request.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
    expect(request.headers).not.toHaveProperty('content-type');
  });

  const locked = Readable.toWeb(Readable.from(['x']));
  locked.getReader();
  test.each([
    ['was destroyed', Readable.from(['x']).destroy()],
    ['somebody else reads', locked],
  ])('that %s is refused', (_, data) => {
    expect(refusal({ data }).message).toContain('give a fresh one');
    expect(refusal({ files: { f: data } }).option).toBe('files.f');
    expect(refusal({ data: () => data }).option).toBe('data');
  });

  test('is open no longer when the call is aborted', async () => {
    const path = await file('big', Buffer.alloc(8 << 20));
    const server = await origin('http', { recordBodies: false, handler: () => {} });
    const aborter = new AbortController();
    const sent = newTransport().send({
      ...call(server, encode({ data: () => createReadStream(path) })),
      signal: aborter.signal,
    });
    await server.waitForRequests(1);
    aborter.abort(new RangeError('enough'));
    await expect(sent).rejects.toThrow('enough');
    await until(() => openFiles().length === 0);
  });
});

describe('a function', () => {
  test.each<[string, () => unknown]>([
    ['text', () => 'abc'],
    ['bytes', () => Buffer.from('abc')],
    ['a stream', () => Readable.from(['a', 'bc'])],
    ['an async iterable', chunks],
  ])('that makes %s is called for each sending', async (_, make) => {
    let calls = 0;
    const content = encode({
      data: () => {
        calls += 1;
        return make();
      },
    });
    expect(calls).toBe(1);
    expect(String((await arrival(content)).body)).toBe('abc');
    const again = content.renew?.() ?? null;
    expect(calls).toBe(2);
    expect(String((await arrival({ ...content, body: again })).body)).toBe('abc');
  });

  test.each<[string, () => unknown, string]>([
    ['nothing', () => undefined, 'is a function whose result is a undefined'],
    ['a promise', async () => 'x', 'is a function whose result is a promise, which was not awaited'],
    ['fields', () => ({ a: 1 }), 'is a function whose result is of the class Object'],
  ])('that makes %s is refused', (_, data, says) => {
    const error = refusal({ data });
    expect(error.option).toBe('data');
    expect(error.reason).toContain(says);
  });
});

describe('a Blob', () => {
  test.each([
    ['with its type', new Blob(['a', BYTES], { type: 'text/x-test' }), 'text/x-test'],
    ['without one', new Blob(['a', BYTES]), undefined],
  ])('%s has a length and can be sent again', async (_, data, type) => {
    const content = encode({ data });
    const whole = Buffer.concat([Buffer.from('a'), BYTES]);
    for (const body of [content.body, content.renew?.() ?? null]) {
      const request = await arrival({ ...content, body });
      expect(request.body).toEqual(whole);
      expect(request.headers).toMatchObject({ 'content-length': '5' });
      expect(request.headers['content-type']).toBe(type);
    }
  });
});

class Account {
  readonly id = 1;
}

test.each<[string, unknown, string]>([
  ['a number', 7, 'is a number'],
  ['true', true, 'is a boolean'],
  ['a list', [['a', 'b']], 'is a list'],
  ['a Map', new Map(), 'is of the class Map'],
  ['a promise', Promise.resolve(''), 'is a promise, which was not awaited'],
  ['an object of a class', new Account(), 'is of the class Account'],
  ['a Date', new Date(), 'is of the class Date'],
])('data that is %s is refused, and told what to write', (_, data, says) => {
  for (const options of [{ data }, { data, files: {} }]) {
    const { option, reason } = refusal(options);
    expect(option).toBe('data');
    expect(reason).toContain(`${says}; `);
    expect(reason).toMatch(/it must be/);
  }
});
