// Forms without files, and forms that other libraries have made.
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { PassThrough, Readable, Stream } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import NpmFormData from 'form-data';
import * as undici from 'undici';
import { expectNothingLeft, newTransport, origin, until } from '../transport/lab.ts';
import { arrival, call, encode, file, formIn, openFiles, refusal } from './content-lab.ts';

describe('an object of fields', () => {
  test.each<[string, object, string]>([
    ['has + for a blank and UTF-8 in percent', { 'a b': 'c d&=+ü' }, 'a+b=c+d%26%3D%2B%C3%BC'],
    [
      'writes numbers and booleans as text',
      { n: 1.5, yes: true, no: false, zero: 0 },
      'n=1.5&yes=true&no=false&zero=0',
    ],
    ['repeats the name of a list', { a: ['x', 1, true], b: 'y' }, 'a=x&a=1&a=true&b=y'],
    ['leaves null, undefined and empty lists out', { a: null, b: undefined, c: [], d: '', e: [null, 'f'] }, 'd=&e=f'],
    ['without a prototype is one too', Object.assign(Object.create(null), { a: 1 }), 'a=1'],
    [
      'may be URLSearchParams',
      new URLSearchParams([
        ['a', 'x y'],
        ['b', ''],
        ['a', '2'],
      ]),
      'a=x+y&b=&a=2',
    ],
  ])('%s', async (_, data, body) => {
    const content = encode({ data });
    expect(content.renew).toBeNull();
    const request = await arrival(content);
    expect(String(request.body)).toBe(body);
    expect(request.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
    });
  });

  test('comes back as it was, whatever is in it', () => {
    const texts = fc.string({ unit: 'grapheme' });
    const fields = fc.dictionary(texts, fc.oneof(texts, fc.array(texts)));
    fc.assert(
      fc.property(fields, (data) => {
        const expected = Object.entries(data).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
        const { body } = encode({ data });
        expect([...new URLSearchParams(String(body))]).toEqual(expected);
      }),
    );
  });

  test.each<[string, unknown, string]>([
    ['an object', { b: 1 }, 'is of type object'],
    ['a list in a list', [['b']], 'is a list in a list'],
    ['a Date', new Date(), 'is of type object'],
    ['a Blob', new Blob(['b']), 'is a file'],
    ['a function', () => 'b', 'is of type function'],
    ['a BigInt', 1n, 'is of type bigint'],
  ])('with %s as a value is refused', (_, value, says) => {
    for (const options of [{ data: { a: value } }, { data: { a: [value] }, files: {} }]) {
      const { option, reason } = refusal(options);
      expect(option).toBe('data.a');
      if (!Array.isArray(value)) expect(reason).toContain(says);
    }
  });
});

describe('a FormData', () => {
  function filled<F extends { append(name: string, value: string | Blob, filename?: string): void }>(form: F): F {
    form.append('a "b"\r\n', 'one\ntwo\r\nthree\rfour');
    form.append('a "b"\n', 'ü');
    form.append('file', new File(['{"x":1}'], 'dä"ta\n.json', { type: 'application/json' }));
    form.append('blob', new Blob([Uint8Array.from([0, 255])]));
    form.append('untyped', new File(['{}'], 'untyped.json'));
    form.append('empty', new File([], 'empty.txt', { type: 'text/plain' }));
    return form;
  }

  test('is written as fetch writes it, with its length', async () => {
    const form = filled(new FormData());
    const fetched = new Response(form);
    const boundaryOfFetch = String(fetched.headers.get('content-type')).split('boundary=')[1] ?? '';
    const request = await arrival(encode({ data: form }));
    const boundary = String(request.headers['content-type']).split('boundary=')[1] ?? '';
    const expected = Buffer.from(await fetched.arrayBuffer())
      .toString('latin1')
      .replaceAll(boundaryOfFetch, boundary);
    // After the last boundary a line break may follow or not (RFC 2046 §5.1.1).
    expect(request.body.toString('latin1').trimEnd()).toBe(expected.trimEnd());
    expect(request.headers['content-length']).toBe(String(request.body.length));
    expect(request.headers).not.toHaveProperty('transfer-encoding');
  });

  test('is the same when it is sent again', async () => {
    const content = encode({ data: filled(new FormData()) });
    const first = await arrival(content);
    const second = await arrival({ ...content, body: content.renew?.() ?? null });
    expect(first.body.length).toBeGreaterThan(600);
    expect(second.body).toEqual(first.body);
  });

  test('of undici is one too', async () => {
    const request = await arrival(encode({ data: filled(new undici.FormData() as FormData) }));
    expect((await formIn(request)).map(({ name, filename }) => [name, filename])).toEqual([
      ['a "b"\r\n', null],
      ['a "b"\r\n', null],
      ['file', 'dä"ta\n.json'],
      ['blob', 'blob'],
      ['untyped', 'untyped.json'],
      ['empty', 'empty.txt'],
    ]);
  });

  test('with a file that is no Blob is refused', () => {
    const data = {
      [Symbol.toStringTag]: 'FormData',
      *[Symbol.iterator]() {
        yield ['a', { name: 'x' }];
      },
    };
    expect(refusal({ data })).toMatchObject({ option: 'data.a' });
  });
});

describe('a form of the package form-data', () => {
  test('brings its type, and its length if it knows it', async () => {
    const form = new NpmFormData();
    form.append('a', 'ü');
    form.append('f', Buffer.from('{}'), 'f.json');
    const content = encode({ data: form });
    expect(content.renew).toBeNull();
    const request = await arrival(content);
    expect(request.headers).toMatchObject({
      'content-type': `multipart/form-data; boundary=${form.getBoundary()}`,
      'content-length': String(request.body.length),
    });
    expect(await formIn(request)).toEqual([
      { name: 'a', filename: null, type: null, bytes: Buffer.from('ü').toString('latin1') },
      { name: 'f', filename: 'f.json', type: 'application/json', bytes: '{}' },
    ]);
  });

  test('with streams goes out in chunks, slowly read ones too', async () => {
    const bytes = Buffer.alloc(3 << 20, 'x');
    const path = await file('big.bin', bytes);
    const form = new NpmFormData();
    form.append('f', createReadStream(path));
    form.append('g', Readable.from([Buffer.from('g')]), { filename: 'g' });
    const request = await arrival(encode({ data: form }));
    expect(request.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
    expect((await formIn(request)).map(({ name, bytes }) => [name, bytes.length])).toEqual([
      ['f', bytes.length],
      ['g', 1],
    ]);
  });

  test('does not run ahead of a reader that waits', async () => {
    let made = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        made += 1;
        yield Buffer.alloc(16 << 10);
      }
    }
    const form = new NpmFormData();
    form.append('f', Readable.from(endless()), 'f');
    const { body } = encode({ data: form });
    if (!(body instanceof Readable)) throw new Error('not a stream');
    // Its first chunks are there, and nobody takes them.
    body.on('readable', () => {});
    for (let turn = 0; turn < 200; turn += 1) await new Promise(setImmediate);
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(30);
    body.destroy();
  });

  test('closes its files when the call is aborted', async () => {
    const [one, two] = [await file('one', Buffer.alloc(8 << 20)), await file('two', 'x')];
    const form = new NpmFormData();
    form.append('one', createReadStream(one));
    form.append('two', createReadStream(two));
    const server = await origin('http', { recordBodies: false, handler: () => {} });
    const aborter = new AbortController();
    const sent = newTransport().send({ ...call(server, encode({ data: form })), signal: aborter.signal });
    await server.waitForRequests(1);
    aborter.abort(new RangeError('enough'));
    await expect(sent).rejects.toThrow('enough');
    await until(() => openFiles().length === 0);
  });

  test('fails with the error of its file', async () => {
    const path = await file('gone', 'x');
    await rm(path);
    const form = new NpmFormData();
    form.append('f', createReadStream(path));
    const server = await origin();
    const transport = newTransport();
    await expect(transport.send(call(server, encode({ data: form })))).rejects.toMatchObject({ code: 'ENOENT' });
    await expectNothingLeft(transport, server);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('fails with the error of a stream of the oldest kind', async () => {
    const old = Object.assign(new Stream(), {
      readable: true,
      pause: () => {},
      resume: () => process.nextTick(() => old.emit('error', new RangeError('the source broke'))),
    });
    const form = new NpmFormData();
    form.append('f', old, 'f');
    const server = await origin();
    await expect(newTransport().send(call(server, encode({ data: form })))).rejects.toThrow('the source broke');
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('fails if one of its streams is closed before its end', async () => {
    const broken = new PassThrough();
    broken.write('half');
    const form = new NpmFormData();
    form.append('f', broken, 'f');
    const server = await origin('http', { recordBodies: false });
    const sent = newTransport().send(call(server, encode({ data: form })));
    await server.waitForRequests(1);
    broken.destroy();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });
});
