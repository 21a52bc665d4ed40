// Bodies as they come, on a live session: rows R39 and R40 of Requests' "Advanced usage", and what R13 to R15 leave open
// (reference/promises.md §1.5).
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { constants, createGzip, gzipSync } from 'node:zlib';
import { type HttpResponse, Session, StreamConsumedError } from '@cloudlane/session';
import type { OriginHandler } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { failureOf, newTransport, origin, until } from '../transport/lab.ts';
import { answering, newGate, overRoutes, type RouteLab } from './lab.ts';

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

/** Sends a body in pieces, each in a turn of its own. */
function inPieces(body: Buffer, size: number, headers: Readonly<Record<string, string>> = {}): OriginHandler {
  return async (_, response) => {
    response.writeHead(200, headers);
    for (let at = 0; at < body.length; at += size) {
      await new Promise<void>((resolve) => response.write(body.subarray(at, at + size), () => resolve()));
      await nextTurn();
    }
    response.end();
  };
}

/** No connection of the session carries anything. */
async function allFree(session: Session): Promise<void> {
  await until(() => session.transport.connections.every(({ state }) => state === 'IDLE' || state === 'CLOSED'));
}

describe('R39 iterLines gives the lines of a streaming API', () => {
  const CORPUS: readonly (readonly [string, string, readonly string[]])[] = [
    ['every kind of newline', 'a\nb\r\nc\rd\n', ['a', 'b', 'c', 'd']],
    ['the last one without an end', 'a\nb', ['a', 'b']],
    ['characters of many bytes', 'ä€😀\r\nüß\n', ['ä€😀', 'üß']],
    ['what only looks like a newline', 'a\u2028b\u0085c\fd\n', ['a\u2028b\u0085c\fd']],
    ['empty ones', '\n\r\n\ra\n\n', ['', '', '', 'a', '']],
    ['nothing', '', []],
  ];

  overRoutes((route) => {
    test.each(CORPUS)('%s, however they come', async (_, body, expected) => {
      const bytes = Buffer.from(body);
      const session = await route.session();
      for (const size of [1, 2, 3, 5, 1_000]) {
        const target = await route.origin(inPieces(bytes, size));
        expect(await collect((await session.get(target.url)).iterLines())).toEqual(expected);
        const packed = await route.origin(inPieces(gzipSync(bytes), size, { 'Content-Encoding': 'gzip' }));
        expect(await collect((await session.get(packed.url)).iterLines())).toEqual(expected);
      }
    });

    test.each(['plain', 'gzip'])('each before the origin sends the next byte: %s', async (coding) => {
      const lines = ['first', 'zweite €', '', '{"id":4}'];
      const gates = lines.map(() => newGate());
      const target = await route.origin(async (_, response) => {
        response.writeHead(200, coding === 'gzip' ? { 'Content-Encoding': 'gzip' } : {});
        const out = coding === 'gzip' ? createGzip({ flush: constants.Z_SYNC_FLUSH }) : new PassThrough();
        out.pipe(response);
        for (const [index, line] of lines.entries()) {
          out.write(`${line}\n`);
          await gates[index]?.opened;
        }
        out.end();
      });
      const response = await (await route.session()).get(target.url);
      const seen: string[] = [];
      for await (const line of response.iterLines()) {
        seen.push(line);
        gates[seen.length - 1]?.open();
      }
      expect(seen).toEqual(lines);
    });

    test('in the charset of the answer, or the one that is set', async () => {
      const type = { 'Content-Type': 'text/plain; charset=iso-8859-1' };
      const target = await route.origin(inPieces(Buffer.from('ä\nö', 'latin1'), 1, type));
      const session = await route.session();
      expect(await collect((await session.get(target.url)).iterLines())).toEqual(['ä', 'ö']);
      const wrong = await route.origin(inPieces(Buffer.from('ä\nö'), 1, type));
      const response = await session.get(wrong.url);
      response.encoding = 'utf-8';
      expect(await collect(response.iterLines())).toEqual(['ä', 'ö']);
    });

    test('with a delimiter, however it comes', async () => {
      const session = await route.session();
      for (const size of [1, 2, 100]) {
        const target = await route.origin(inPieces(Buffer.from('a||b|c||||d'), size));
        expect(await collect((await session.get(target.url)).iterLines({ delimiter: '||' }))).toEqual([
          'a',
          'b|c',
          '',
          'd',
        ]);
      }
    });

    test('who has enough leaves, and the origin hears of it', async () => {
      const gone = newGate();
      const target = await route.origin((_, response) => {
        const feed = Readable.from(endless());
        response.on('close', () => {
          feed.destroy();
          gone.open();
        });
        feed.pipe(response);
      });
      const session = await route.session();
      for await (const line of (await session.get(target.url)).iterLines()) {
        expect(line).toBe('line');
        break;
      }
      await gone.opened;
      await allFree(session);
    });

    test('an answer that breaks off gives its whole lines, and fails', async () => {
      const target = await route.origin(({ socket }, response) => {
        response.writeHead(200, { 'Content-Length': 100 });
        response.write('one\ntwo\nthr', () => socket.destroy());
      });
      const response = await (await route.session()).get(target.url);
      const seen: string[] = [];
      const reading = (async () => {
        for await (const line of response.iterLines()) seen.push(line);
      })();
      await expect(reading).rejects.toMatchObject({ code: 'ERR_RESET', phase: 'body' });
      expect(seen).toEqual(['one', 'two']);
    });

    test('a signal ends a stream that is silent', async () => {
      const target = await route.origin((_, response) => void response.write('one\n'));
      const controller = new AbortController();
      const response = await (await route.session()).get(target.url, { signal: controller.signal });
      const lines = response.iterLines()[Symbol.asyncIterator]();
      expect(await lines.next()).toEqual({ done: false, value: 'one' });
      const next = lines.next();
      controller.abort(new RangeError('enough'));
      await expect(next).rejects.toBe(controller.signal.reason);
    });
  });
});

describe('R40 newlines that keep a connection alive are empty lines', () => {
  overRoutes((route) => {
    test.each([
      ['a piece that is just a newline', ['\n', 'a\n', '\r\n', 'b\n'], ['', 'a', '', 'b']],
      ['a piece that ends with two', ['a\n\n', 'b\r\n\r\n', 'c'], ['a', '', 'b', '', 'c']],
      ['a newline cut in two', ['a\r', '\n', '\r', '\nb'], ['a', '', 'b']],
    ])('%s', async (_, pieces, expected) => {
      const session = await route.session();
      const target = await route.origin(async (_request, response) => {
        for (const piece of pieces) {
          await new Promise<void>((resolve) => response.write(piece, () => resolve()));
          await nextTurn();
        }
        response.end();
      });
      expect(await collect((await session.get(target.url)).iterLines())).toEqual(expected);
      const filtered = await collect((await session.get(target.url)).iterLines({ skipEmpty: true }));
      expect(filtered).toEqual(expected.filter((line) => line !== ''));
    });

    test('they come while there is nothing else', async () => {
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        response.write('\r\n');
        await gate.opened;
        response.end('data\r\n');
      });
      const response = await (await route.session()).get(target.url);
      const seen: string[] = [];
      for await (const line of response.iterLines()) {
        seen.push(line);
        gate.open();
      }
      expect(seen).toEqual(['', 'data']);
    });
  });
});

describe('R13, R14: what comes and goes is told', () => {
  const BODY = Buffer.from('0123456789'.repeat(30_000));

  /** Each more than the one before, and the last one all of it. */
  function expectRising(
    progress: readonly (readonly [number, number | null])[],
    last: number,
    total: number | null,
  ): void {
    const counts = progress.map(([count]) => count);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(new Set(counts).size).toBe(counts.length);
    expect(counts.at(-1)).toBe(last);
    expect(new Set(progress.map(([, each]) => each))).toEqual(new Set([total]));
  }

  overRoutes((route) => {
    async function download(target: { url: string }, read: (response: HttpResponse) => Promise<unknown>) {
      const progress: [number, number | null][] = [];
      const session = await route.session();
      const onDownloadProgress = (received: number, total: number | null): void =>
        void progress.push([received, total]);
      const response = await session.get(target.url, { onDownloadProgress });
      expect(progress).toEqual([]);
      await read(response);
      return progress;
    }

    const READS: readonly (readonly [string, (response: HttpResponse) => Promise<unknown>])[] = [
      ['content', (response) => response.content()],
      ['pieces', (response) => collect(response.iterContent())],
      ['lines', (response) => collect(response.iterLines())],
      ['body', (response) => buffer(response.body)],
    ];

    test.each(READS)('of a download, read as %s', async (_, read) => {
      const target = await route.origin(answering(BODY, { headers: { 'Content-Length': String(BODY.length) } }));
      const progress = await download(target, read);
      expect(progress.length).toBeGreaterThan(1);
      expectRising(progress, BODY.length, BODY.length);
    });

    test('of one whose length nobody knows', async () => {
      const target = await route.origin(inPieces(BODY, 100_000));
      expectRising(await download(target, (response) => response.content()), BODY.length, null);
    });

    test('of one that is packed: bytes of the wire', async () => {
      const packed = gzipSync(BODY);
      const headers = { 'Content-Encoding': 'gzip', 'Content-Length': String(packed.length) };
      const target = await route.origin(answering(packed, { headers }));
      const read = async (response: HttpResponse): Promise<void> => {
        expect((await response.content()).equals(BODY)).toBe(true);
      };
      expectRising(await download(target, read), packed.length, packed.length);
    });

    test('once, though the content is asked for twice', async () => {
      const target = await route.origin(answering('body'));
      const read = async (response: HttpResponse): Promise<void> => {
        await response.content();
        await response.content();
        await collect(response.iterContent());
      };
      expect(await download(target, read)).toEqual([[4, null]]);
    });

    test('and the body is one stream, however often it is asked for', async () => {
      const target = await route.origin(answering('body'));
      const read = async (response: HttpResponse): Promise<void> => {
        expect(response.body).toBe(response.body);
        expect((await buffer(response.body)).toString()).toBe('body');
      };
      expect(await download(target, read)).toEqual([[4, null]]);
    });

    test('a callback that throws fails the body, and nothing else', async () => {
      const target = await route.origin(answering('body'));
      const session = await route.session();
      const onDownloadProgress = (): never => {
        throw new RangeError('told too much');
      };
      const response = await session.get(target.url, { onDownloadProgress });
      await expect(response.content()).rejects.toThrow('told too much');
      await allFree(session);
    });

    test.each([
      ['bytes', () => BODY, {}, BODY.length],
      ['text', () => BODY.toString(), {}, BODY.length],
      ['a stream', () => Readable.from([BODY.subarray(0, 100_000), BODY.subarray(100_000)]), {}, null],
      [
        'a stream of known length',
        () => Readable.from([BODY.subarray(0, 100_000), BODY.subarray(100_000)]),
        { 'Content-Length': String(BODY.length) },
        BODY.length,
      ],
    ] as const)('of an upload: %s', async (_, data, headers, total) => {
      const target = await route.origin();
      const progress: [number, number | null][] = [];
      const onUploadProgress = (sent: number, of: number | null): void => void progress.push([sent, of]);
      const response = await (await route.session()).put(target.url, { data: data(), headers, onUploadProgress });
      await response.content();
      expect(target.requests[0]?.body.equals(BODY)).toBe(true);
      expectRising(progress, BODY.length, total);
    });

    test.each([
      ['bytes', () => 'body'],
      ['a stream', () => Readable.from([Buffer.from('body')])],
    ])('a callback that throws fails the upload: %s', async (_, data) => {
      const target = await route.origin();
      const session = await route.session();
      const onUploadProgress = (): never => {
        throw new RangeError('told too much');
      };
      await expect(session.put(target.url, { data: data(), onUploadProgress })).rejects.toThrow('told too much');
      await allFree(session);
    });
  });
});

describe('R15: content and streams exclude each other', () => {
  overRoutes((route) => {
    async function answer(): Promise<HttpResponse> {
      const target = await route.origin(answering('line 1\nline 2'));
      return await (await route.session()).get(target.url);
    }

    test('content is read once for all who ask meanwhile', async () => {
      const response = await answer();
      const [one, two, pieces, text] = await Promise.all([
        response.content(),
        response.content(),
        collect(response.iterContent(6)),
        response.text(),
      ]);
      expect(one).toBe(two);
      expect([pieces.map(String), text]).toEqual([['line 1', '\nline ', '2'], 'line 1\nline 2']);
      expect(() => response.body).toThrow(StreamConsumedError);
    });

    const TAKES: readonly (readonly [string, (response: HttpResponse) => Promise<unknown>])[] = [
      ['body', (response) => buffer(response.body)],
      ['iterContent', (response) => collect(response.iterContent())],
      ['a part of iterContent', (response) => leave(response.iterContent(1))],
      ['iterLines', (response) => collect(response.iterLines())],
      ['a part of iterLines', (response) => leave(response.iterLines())],
    ];

    test.each(TAKES)('after %s there is no content', async (_, take) => {
      const response = await answer();
      await take(response);
      expect(response.bodyUsed).toBe(true);
      for (const again of [response.iterContent(), response.iterLines()]) {
        await failureOf(collect<unknown>(again), StreamConsumedError);
      }
      for (const read of [() => response.content(), () => response.text(), () => response.json()]) {
        const error = await failureOf(read(), StreamConsumedError);
        expect(error.message).toContain(String(response.url));
      }
      expect(response.peekContent()).toBeNull();
    });

    test('after release there is none', async () => {
      const response = await answer();
      response.release();
      await failureOf(response.text(), StreamConsumedError);
      await failureOf(collect(response.iterLines()), StreamConsumedError);
      expect(() => response.body).toThrow(StreamConsumedError);
    });

    test('an iterable that nobody iterates takes nothing', async () => {
      const response = await answer();
      response.iterContent();
      response.iterLines();
      expect(response.bodyUsed).toBe(false);
      expect(await response.text()).toBe('line 1\nline 2');
    });

    test('content stays what it was after release', async () => {
      const response = await answer();
      await response.content();
      response.release();
      await response.drain();
      expect(await response.text()).toBe('line 1\nline 2');
    });

    test('an answer without a body has empty content, also when it was released', async () => {
      const target = await route.origin((_, response) => void response.writeHead(204).end());
      const response = await (await route.session()).get(target.url);
      response.release();
      expect(await response.text()).toBe('');
    });

    test('content that fails, fails for all', async () => {
      const target = await route.origin(({ socket }, response) => {
        response.writeHead(200, { 'Content-Length': 100 });
        response.write('half', () => socket.destroy());
      });
      const response = await (await route.session()).get(target.url);
      const first = await response.content().catch((error: unknown) => error);
      expect(first).toMatchObject({ code: 'ERR_RESET' });
      await expect(response.text()).rejects.toBe(first);
      await expect(collect(response.iterContent())).rejects.toBe(first);
    });
  });
});

describe('R14: what nobody wants is let go', () => {
  const LARGE = 1_000_000;

  async function reuseAfter(route: RouteLab, handler: OriginHandler): Promise<{ isReused: boolean; near: number }> {
    const target = await route.origin((request, response) =>
      request.url === '/' ? handler(request, response) : void response.end('next'),
    );
    const session = await route.session();
    await (await session.get(target.url)).drain();
    await allFree(session);
    const next = await session.get(`${target.url}/next`);
    expect(await next.text()).toBe('next');
    return { isReused: next.reusedConnection, near: route.connectionCounts(target).near };
  }

  overRoutes((route) => {
    test('a short rest of unknown length is read, so that the connection is used again', async () => {
      const drained = await reuseAfter(route, inPieces(Buffer.alloc(10_000), 3_000));
      expect(drained).toEqual({ isReused: true, near: 1 });
    });

    test('a long one of unknown length is broken off', async () => {
      const handler: OriginHandler = (_, response) => void Readable.from([Buffer.alloc(LARGE)]).pipe(response);
      expect(await reuseAfter(route, handler)).toEqual({ isReused: false, near: 2 });
    });

    test('one that does not come is broken off', async () => {
      const handler: OriginHandler = (_, response) => void response.writeHead(200, { 'Content-Length': 10 }).write('x');
      expect(await reuseAfter(route, handler)).toEqual({ isReused: false, near: 2 });
    });

    test('one that fails meanwhile disturbs nobody', async () => {
      const handler: OriginHandler = ({ socket }, response) => {
        response.writeHead(200, { 'Content-Length': 10 });
        response.write('x', () => socket.destroy());
      };
      expect((await reuseAfter(route, handler)).near).toBe(2);
    });

    test('that of a redirect, too; if it is short, its answer in history still has it', async () => {
      const target = await route.origin(({ url }, response) => {
        if (url === '/') response.writeHead(302, { Location: '/to' }).end('moved');
        else response.end('here');
      });
      const response = await (await route.session()).get(target.url);
      expect([await response.text(), response.reusedConnection]).toEqual(['here', true]);
      expect(await response.history[0]?.text()).toBe('moved');
    });
  });

  test('so is an answer that dangerMode raises', async () => {
    const target = await origin('http', { handler: answering('no such thing', { status: 404 }) });
    const session = new Session({ transport: newTransport(), dangerMode: true });
    await expect(session.get(target.url)).rejects.toMatchObject({ code: 'ERR_HTTP_STATUS', status: 404 });
    await allFree(session);
    expect(session.transport.connections).toHaveLength(1);
  });
});

async function* endless(): AsyncGenerator<string> {
  for (;;) {
    yield 'line\n';
    await nextTurn();
  }
}

/** Takes one piece, and goes. */
async function leave<T>(source: AsyncIterable<T>): Promise<void> {
  for await (const _ of source) return;
}
