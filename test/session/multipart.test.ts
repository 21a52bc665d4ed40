// Forms with files, read on the other side by the platform's own parser.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RequestOptions } from '@cloudlane/session';
import { ProtocolError, type RequestBody } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { expectNothingLeft, failureOf, newTransport, origin, until } from '../transport/lab.ts';
import { arrival, call, directory, encode, file, formIn, openFiles, refusal } from './content-lab.ts';

const BYTES = Uint8Array.from([13, 10, 0, 255, 45, 45]);
const LATIN = Buffer.from(BYTES).toString('latin1');

async function* chunks(): AsyncGenerator<string | Uint8Array> {
  yield '\r\n';
  yield BYTES.subarray(0, 0);
  yield BYTES.subarray(2);
}

function streamOf(body: RequestBody | null | undefined): Readable {
  if (body instanceof Readable) return body;
  if (body instanceof Uint8Array) return Readable.from([body]);
  throw new Error('the body is neither a stream nor bytes');
}

describe('a form whose files are all in memory', () => {
  const filesOf = (bytes: number) => ({ files: { f: ['f.bin', Buffer.alloc(bytes)] as const } });

  test('is made at once, so that it can be signed and sent again', () => {
    expect(encode(filesOf(1024))).toMatchObject({ body: expect.any(Uint8Array), renew: null });
  });

  test('is a stream beyond a mebibyte', () => {
    expect(encode(filesOf(1024 * 1024)).body).toBeInstanceOf(Readable);
  });
});

describe('a file of a form', () => {
  const plain = { name: 'f', filename: 'f', type: 'application/octet-stream', bytes: LATIN };
  test.each<[string, unknown, object, 'length' | 'chunked']>([
    ['bytes', BYTES, plain, 'length'],
    ['a Buffer', Buffer.from(BYTES), plain, 'length'],
    ['an ArrayBuffer', BYTES.slice().buffer, plain, 'length'],
    ['a Blob', new Blob([BYTES]), plain, 'length'],
    ['a Blob with a type', new Blob([BYTES], { type: 'image/png' }), { ...plain, type: 'image/png' }, 'length'],
    ['a File', new File([BYTES], 'a.gif'), { ...plain, filename: 'a.gif', type: 'image/gif' }, 'length'],
    ['a stream', Readable.from([BYTES]), plain, 'chunked'],
    ['a stream of the web', Readable.toWeb(Readable.from([BYTES])), plain, 'chunked'],
    ['an async iterable', chunks(), plain, 'chunked'],
    ['a stream with a size', { content: Readable.from([BYTES]), size: BYTES.length }, plain, 'length'],
    ['text', { content: 'ü' }, { ...plain, bytes: Buffer.from('ü').toString('latin1') }, 'length'],
    ['empty', { content: '' }, { ...plain, bytes: '' }, 'length'],
    ['an empty stream', Readable.from([]), { ...plain, bytes: '' }, 'chunked'],
    ['a tuple', ['a.txt', BYTES], { ...plain, filename: 'a.txt', type: 'text/plain' }, 'length'],
    ['a tuple with text', ['a.csv', 'a,b'], { ...plain, filename: 'a.csv', type: 'text/csv', bytes: 'a,b' }, 'length'],
    ['a tuple with a type', ['a.txt', BYTES, 'x/y'], { ...plain, filename: 'a.txt', type: 'x/y' }, 'length'],
    [
      'named',
      { content: BYTES, filename: '../secret/a.txt' },
      { ...plain, filename: 'a.txt', type: 'text/plain' },
      'length',
    ],
    ['typed', { content: new Blob([BYTES], { type: 'a/b' }), contentType: 'x/y' }, { ...plain, type: 'x/y' }, 'length'],
    [
      'without a name',
      [null, 'ü'],
      { ...plain, filename: null, type: null, bytes: Buffer.from('ü').toString('latin1') },
      'length',
    ],
  ])('can be %s', async (_, f, seen, framing) => {
    const request = await arrival(encode({ files: { f } }));
    expect(await formIn(request)).toEqual([seen]);
    expect(request.headers['content-length']).toBe(framing === 'length' ? String(request.body.length) : undefined);
    expect(request.headers['transfer-encoding']).toBe(framing === 'length' ? undefined : 'chunked');
  });

  test('can be one on disk, and a stream of one', async () => {
    const path = await file('dä"ta.json', '{}');
    const files = { a: { path }, b: { path, filename: 'b', contentType: 'x/y' }, c: createReadStream(path) };
    const request = await arrival(encode({ files }));
    const json = { filename: 'dä"ta.json', type: 'application/json', bytes: '{}' };
    expect(await formIn(request)).toEqual([
      { name: 'a', ...json },
      { name: 'b', filename: 'b', type: 'x/y', bytes: '{}' },
      { name: 'c', ...json },
    ]);
    expect(openFiles()).toEqual([]);
  });

  test('can have headers of its own', async () => {
    const files = {
      f: { content: 'x', headers: { 'Content-ID': '<1>', 'X-Name': 'grüße' } },
      g: ['g', 'y', undefined, { 'X-G': '1' }],
    };
    const lines = String((await arrival(encode({ files }))).body).split('\r\n');
    expect(lines).toEqual(expect.arrayContaining(['Content-ID: <1>', 'X-Name: grüße', 'X-G: 1']));
  });

  test('comes after the fields, several under one name in their order', async () => {
    const data = { b: ['1', 2], a: true, none: null };
    const files = { f: [['1.txt', 'one'], { content: 'two' }, Buffer.from('three')], e: [], b: new Blob(['four']) };
    const request = await arrival(encode({ data, files }));
    expect((await formIn(request)).map(({ name, filename, bytes }) => [name, filename, bytes])).toEqual([
      ['b', null, '1'],
      ['b', null, '2'],
      ['a', null, 'true'],
      ['f', '1.txt', 'one'],
      ['f', 'f', 'two'],
      ['f', 'f', 'three'],
      ['b', 'b', 'four'],
    ]);
    const pairs = new URLSearchParams([
      ['x', '1'],
      ['x', '2'],
    ]);
    expect(await formIn(await arrival(encode({ data: pairs, files: {} })))).toHaveLength(2);
  });

  test('needs no other to make a form', async () => {
    const { headers, body } = encode({ files: {} });
    expect(headers['Content-Type']).toMatch(/^multipart\/form-data; boundary=-{26}[0-9a-f]{24}$/);
    expect(await text(streamOf(body))).toMatch(/^-{28}[0-9a-f]{24}--\r\n$/);
  });

  test('has a boundary that nobody can foresee', () => {
    const types = [1, 2, 3].map(() => encode({ files: {} }).headers['Content-Type']);
    expect(new Set(types).size).toBe(3);
  });
});

test('names, file names and contents come back as they were', async () => {
  const awkward = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc
      .array(fc.constantFrom('"', '\r', '\n', '\r\n', "'", '\\', ';', ' ', '=', 'ü', '☃', '😀', '--', 'a'))
      .map((all) => all.join('')),
  );
  // %22 in a name cannot be told from a quotation mark (HTML Standard), nor is any directory sent.
  const name = awkward.filter((each) => !/%(22|0a|0d)/i.test(each));
  const filename = name.filter((each) => !each.includes('/') && each !== '');
  const content = fc.uint8Array();
  const parts = fc.array(fc.record({ name, filename, content, how: fc.constantFrom('bytes', 'blob', 'stream') }));
  const fields = fc.array(fc.tuple(name, awkward));
  await fc.assert(
    fc.asyncProperty(fields, parts, async (pairs, list) => {
      const files: Record<string, unknown[]> = Object.create(null);
      for (const part of list) {
        const { content } = part;
        const given = { bytes: content, blob: new Blob([Uint8Array.from(content)]), stream: Readable.from([content]) }[
          part.how
        ];
        files[part.name] = [...(files[part.name] ?? []), [part.filename, given, 'x/y']];
      }
      const { body, headers } = encode({ data: new URLSearchParams(pairs), files });
      const bytes = await buffer(streamOf(body));
      const form = await formIn({ headers: { 'content-type': headers['Content-Type'] ?? '' }, body: bytes });
      const latin = (value: string | Uint8Array): string => Buffer.from(value as string).toString('latin1');
      expect(form.filter(({ filename }) => filename === null)).toEqual(
        pairs.map(([field, value]) => ({ name: field, filename: null, type: null, bytes: latin(value) })),
      );
      expect(form.filter(({ filename }) => filename !== null)).toEqual(
        Object.keys(files).flatMap((each) =>
          list
            .filter((part) => part.name === each)
            .map((part) => ({ name: each, filename: part.filename, type: 'x/y', bytes: latin(part.content) })),
        ),
      );
      if (headers['Content-Length'] !== undefined) expect(bytes).toHaveLength(Number(headers['Content-Length']));
    }),
    { numRuns: 200 },
  );
});

test(
  'the package form-data is loaded only for a form that needs it',
  async () => {
    const source = new URL('../../packages/session/src/request-content.ts', import.meta.url);
    const { output, errors } = await runScript(`
      import { createRequire } from 'node:module';
      import { encodeContent } from '${source}';
      const { cache } = createRequire('${source}');
      const say = () => console.log(Object.keys(cache).some((path) => path.includes('/form-data/')));
      encodeContent({ data: { a: 1 } });
      say();
      encodeContent({ files: { f: { content: '' } } });
      say();
    `);
    expect(errors).toBe('');
    expect(output).toBe('false\ntrue\n');
  },
  PROCESS_TIMEOUT,
);

describe('a form that is sent again', () => {
  test('is the same to the byte', async () => {
    const path = await file('a.bin', Buffer.alloc(200_000, 'ab'));
    const content = encode({ data: { a: 'b' }, files: { p: { path }, b: new Blob(['blob']), m: ['m', BYTES] } });
    const first = await arrival(content);
    const second = await arrival({ ...content, body: content.renew?.() ?? null });
    expect(first.body.length).toBeGreaterThan(200_000);
    expect(second.body).toEqual(first.body);
    expect(openFiles()).toEqual([]);
  });

  test.each([
    ['a stream', () => ({ f: Readable.from(['x']) })],
    ['a stream of known size among others', () => ({ a: BYTES, f: { content: chunks(), size: 6 } })],
    ['what is no regular file', () => ({ f: { path: '/dev/null' } })],
  ])('cannot have %s in it', async (_, files) => {
    const { renew, body } = encode({ files: files() });
    expect(renew).toBeNull();
    streamOf(body).destroy();
  });
});

describe('a file on disk', () => {
  test('of 8 MiB arrives whole, and its progress is told', async () => {
    const bytes = Buffer.alloc(8 << 20);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
    const path = await file('big.bin', bytes);
    const hash = createHash('sha256');
    const server = await origin('http', {
      recordBodies: false,
      handler: async (request, response) => {
        for await (const chunk of request) hash.update(chunk);
        response.end('ok');
      },
    });
    const content = encode({ files: { big: { path } } });
    const total = Number(content.headers['Content-Length']);
    const progress: [number, number | null][] = [];
    const onUploadProgress = (sent: number, of: number | null): void => void progress.push([sent, of]);
    await text((await newTransport().send({ ...call(server, content), onUploadProgress })).body);
    const whole = createHash('sha256').update(await buffer(streamOf(content.renew?.())));
    expect(hash.digest('hex')).toBe(whole.digest('hex'));
    expect(total).toBeGreaterThan(bytes.length);
    expect(progress.at(-1)).toEqual([total, total]);
    expect(progress.length).toBeGreaterThan(100);
    expect(new Set(progress.map(([, of]) => of))).toEqual(new Set([total]));
  });

  test('that cannot be read is refused at once', async () => {
    const path = join(await directory(), 'absent');
    const one = refusal({ files: { doc: { path } } });
    expect(one.option).toBe('files.doc');
    expect(one.reason).toContain(`${path} cannot be read: ENOENT`);
    expect(refusal({ files: { doc: [BYTES, { path }] } }).option).toBe('files.doc[1]');
    expect(refusal({ files: { doc: { path: join(path, '..') } } }).reason).toContain('it is a directory');
  });

  test('is not opened before its turn, nor if nothing is sent', async () => {
    const [one, two] = [await file('one', 'x'), await file('two', 'y')];
    const gate = new PassThrough();
    const { body } = encode({ files: { a: { path: one }, gate, b: { path: two } } });
    await nextTurn();
    expect(openFiles()).toEqual([]);
    const reading = text(streamOf(body));
    await until(() => gate.listenerCount('readable') > 0);
    expect(openFiles()).toEqual([]);
    gate.end();
    expect(await reading).toContain('\r\n\r\ny\r\n');
    expect(openFiles()).toEqual([]);
  });

  test.each([
    ['has gone', (path: string) => rm(path), 'ENOENT'],
    ['has become a directory', (path: string) => rm(path).then(() => mkdir(path)), 'EISDIR'],
  ])('that %s when its turn comes fails the upload with its own error', async (_, change, code) => {
    const path = await file('a', 'x'.repeat(100_000));
    const server = await origin();
    const transport = newTransport();
    const content = encode({ data: { a: 'b' }, files: { f: { path } } });
    await change(path);
    await expect(transport.send(call(server, content))).rejects.toMatchObject({ code });
    await expectNothingLeft(transport, server);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test.each([
    ['grown', (path: string) => appendFile(path, 'more'), 'is longer than the declared'],
    ['shrunk', (path: string) => truncate(path, 99_000), /ended after \d+ of \d+ bytes/],
    ['been emptied', (path: string) => writeFile(path, ''), /ended after \d+ of \d+ bytes/],
  ])('that has %s meanwhile is cut off: no server sees a whole form', async (_, change, says) => {
    const path = await file('a', 'x'.repeat(100_000));
    const server = await origin();
    const transport = newTransport();
    const content = encode({ files: { f: { path } } });
    await change(path);
    const error = await failureOf(transport.send(call(server, content)), ProtocolError);
    expect(error.message).toMatch(says);
    await expectNothingLeft(transport, server);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
    expect(openFiles()).toEqual([]);
  });
});

describe('the streams of a form', () => {
  test('are closed when the call is aborted, also those whose turn has not come', async () => {
    const [one, two] = [await file('one', Buffer.alloc(8 << 20)), await file('two', 'x')];
    const server = await origin('http', { recordBodies: false, handler: () => {} });
    const aborter = new AbortController();
    let isCancelled = false;
    const cancel = (): void => {
      isCancelled = true;
    };
    const web = new ReadableStream({ cancel });
    const content = encode({ files: { one: { path: one }, two: createReadStream(two), web } });
    const sent = newTransport().send({ ...call(server, content), signal: aborter.signal });
    await server.waitForRequests(1);
    await until(() => openFiles().length === 2 || process.platform !== 'linux');
    aborter.abort(new RangeError('enough'));
    await expect(sent).rejects.toThrow('enough');
    await until(() => openFiles().length === 0);
    expect(isCancelled).toBe(true);
  });

  test('are closed though somebody waits for the next chunk of one', async () => {
    const slow = new PassThrough();
    slow.write('some');
    const later = new PassThrough();
    const server = await origin('http', { recordBodies: false });
    const transport = newTransport();
    const aborter = new AbortController();
    const content = encode({ files: { slow, later } });
    const sent = transport.send({ ...call(server, content), signal: aborter.signal });
    await server.waitForRequests(1);
    aborter.abort(new RangeError('enough'));
    await expect(sent).rejects.toThrow('enough');
    await until(() => slow.destroyed && later.destroyed && streamOf(content.body).closed);
    await expectNothingLeft(transport, server);
  });

  test('do not keep a form open whose iterable never goes on', async () => {
    const never = stuck();
    const body = streamOf(encode({ files: { never } }).body);
    body.resume();
    await nextTurn();
    body.destroy();
    await until(() => body.closed);
  });

  test('of the web are cancelled while somebody waits for their next chunk', async () => {
    let cancel: () => void = () => {};
    const cancelled = new Promise<void>((resolve) => {
      cancel = resolve;
    });
    const web = new ReadableStream({ cancel });
    const body = streamOf(encode({ files: { web } }).body);
    body.resume();
    await until(() => web.locked);
    body.destroy();
    await cancelled;
  });

  test.each<[string, () => unknown]>([
    ['the first', () => ({ broken: failing(), rest: BYTES })],
    ['the last', () => ({ first: Buffer.alloc(300_000), broken: failing() })],
    ['an iterable', () => ({ first: BYTES, broken: failingIterable() })],
  ])('that fail cut the form off, and their error is the reason: %s', async (_, files) => {
    const server = await origin();
    const transport = newTransport();
    const content = encode({ files: files() });
    await expect(transport.send(call(server, content))).rejects.toThrow(new RangeError('the source broke'));
    await expectNothingLeft(transport, server);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('that fail before the form is sent harm nobody, and it fails when it is', async () => {
    const gone = await file('gone', 'x');
    await rm(gone);
    const stream = createReadStream(gone);
    const content = encode({ files: { f: stream } });
    await until(() => stream.closed);
    const server = await origin();
    await expect(newTransport().send(call(server, content))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('that are closed before their end cut the form off', async () => {
    const half = new PassThrough();
    half.write('half');
    const server = await origin('http', { recordBodies: false });
    const sent = newTransport().send(call(server, encode({ files: { half } })));
    await server.waitForRequests(1);
    half.destroy();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('that give neither bytes nor text cut the form off', async () => {
    const server = await origin();
    const content = encode({ files: { f: Readable.from([{ a: 1 }]) } });
    await expect(newTransport().send(call(server, content))).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test.each([
    ['shorter', 5],
    ['longer', 3],
  ])('that are %s than their size cut the form off', async (_, size) => {
    const server = await origin();
    const content = encode({ files: { f: { content: Readable.from(['four']), size } } });
    await failureOf(newTransport().send(call(server, content)), ProtocolError);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test('are not read ahead of a reader that waits', async () => {
    let made = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        made += 1;
        yield Buffer.alloc(16 << 10);
      }
    }
    const body = streamOf(encode({ files: { f: endless() } }).body);
    body.on('readable', () => {});
    for (let turn = 0; turn < 200; turn += 1) await nextTurn();
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(30);
    body.destroy();
  });
});

async function* stuck(): AsyncGenerator<string> {
  yield 'some';
  await new Promise(() => {});
}

function failing(): Readable {
  return Readable.from(failingIterable());
}

async function* failingIterable(): AsyncGenerator<string> {
  yield 'some';
  throw new RangeError('the source broke');
}

describe('files are refused', () => {
  test.each<[string, unknown, string, string]>([
    ['as a list', [BYTES], 'files', '{ name: file }'],
    ['as a Map', new Map(), 'files', '{ name: file }'],
    ['as text alone', { f: 'a.txt' }, 'files.f', 'text alone could be a path or a content'],
    ['as text in a list', { f: [BYTES, 'a.txt'] }, 'files.f[1]', 'text alone could be a path or a content'],
    ['as undefined', { f: undefined }, 'files.f', 'must be'],
    ['as a number', { f: 1 }, 'files.f', 'must be'],
    ['as a form', { f: new FormData() }, 'files.f', 'must be'],
    ['as a tuple without a content', { f: ['a.txt'] }, 'files.f', '[filename, content]'],
    ['as a tuple with too much', { f: ['a', 'b', 'c/d', {}, 1] }, 'files.f', '[filename, content]'],
    ['as a tuple of a number', { f: ['a', 1] }, 'files.f', 'neither text, bytes, a Blob nor a stream'],
    ['with path and content', { f: { path: 'a', content: 'b' } }, 'files.f', 'either path or content'],
    ['with neither', { f: { filename: 'a' } }, 'files.f', 'either path or content'],
    ['with an unknown option', { f: { content: '', fileName: 'a' } }, 'files.f.fileName', 'no such option'],
    ['with a path that is none', { f: { path: 7 } }, 'files.f.path', 'path of a file'],
    ['with a size of bytes', { f: { content: 'abc', size: 3 } }, 'files.f.size', 'is for streams'],
    ['with a size of a file', { f: { path: 'a', size: 3 } }, 'files.f.size', 'is for streams'],
    ['with half a byte', { f: { content: chunks(), size: 0.5 } }, 'files.f.size', 'a number of bytes'],
    ['with less than none', { f: { content: chunks(), size: -1 } }, 'files.f.size', 'a number of bytes'],
    ['with an empty name', { f: ['', 'x'] }, 'files.f.filename', 'or null for none'],
    ['with a name that is a root', { f: ['/', 'x'] }, 'files.f.filename', 'or null for none'],
    ['with a type of two lines', { f: ['a', 'x', 'a/b\r\nX-Evil: 1'] }, 'files.f.contentType', 'media type'],
    ['with an empty type', { f: ['a', 'x', ''] }, 'files.f.contentType', 'media type'],
    ['with a header of two lines', { f: { content: '', headers: { a: 'b\nc' } } }, 'files.f.headers', 'line breaks'],
    [
      'with a header name of two lines',
      { f: { content: '', headers: { 'a\n': 'b' } } },
      'files.f.headers',
      'line breaks',
    ],
    ['with a header that is a number', { f: { content: '', headers: { a: 1 } } }, 'files.f.headers', 'texts'],
    ['with headers that are a list', { f: { content: '', headers: [] } }, 'files.f.headers', '{ name: value }'],
    [
      'with a type among the headers',
      { f: { content: '', headers: { 'content-type': 'a/b' } } },
      'files.f.headers',
      'contentType instead',
    ],
  ])('%s', (_, files, option, says) => {
    const error = refusal({ files });
    expect(error.option).toBe(option);
    expect(error.reason).toContain(says);
  });
});

test('what cannot be a file is refused by the types already', () => {
  const options = [
    { f: { path: 'a.txt', filename: null, contentType: 'a/b', headers: { a: 'b' } } },
    { f: ['a.txt', 'text'], g: [null, new Blob([]), 'a/b', { a: 'b' }] },
    { f: [new Blob([]), Buffer.from(''), { content: 'text' }, { content: chunks(), size: 6 }, ['a.txt', 'text']] },
    { f: BYTES, g: new ArrayBuffer(1), h: Readable.from(['x']), i: chunks(), j: new File([], 'x') },
    // @ts-expect-error: a path or a content?
    { f: 'a.txt' },
    // @ts-expect-error: no name
    { f: { path: 'a.txt', fileName: 'b' } },
  ] satisfies RequestOptions['files'][];
  expect(options.slice(-2).map((files) => refusal({ files }).option)).toEqual(['files.f', 'files.f.fileName']);
});
