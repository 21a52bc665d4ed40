// Pieces of a fixed size.
import { InvalidOptionError } from '@cloudlane/proxy';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sizedChunks } from '../../packages/session/src/chunks.ts';

async function collect(items: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

test('pieces have exactly the size, the last one what is left, for any chunking', async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 30 }), async (given, size) => {
      const pieces = await collect(sizedChunks(from(given), size));
      expect(Buffer.concat(pieces)).toEqual(Buffer.concat(given));
      expect(pieces.slice(0, -1).every((piece) => piece.length === size)).toBe(true);
      const last = pieces.at(-1)?.length;
      expect(last === undefined || (last >= 1 && last <= size)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('pieces that were given stay as they are when later ones are made', async () => {
  const letters = Array.from('abcdefghij', (letter) => Buffer.from(letter));
  const pieces = await collect(sizedChunks(from(letters), 3));
  expect(pieces.map(String)).toEqual(['abc', 'def', 'ghi', 'j']);
});

test('pieces within one chunk are views of it', async () => {
  const chunk = Buffer.allocUnsafeSlow(10);
  const pieces = await collect(sizedChunks(from([chunk, chunk.subarray(0, 2)]), 4));
  expect(pieces.map((piece) => piece.length)).toEqual([4, 4, 4]);
  expect(pieces.map((piece) => piece.buffer === chunk.buffer)).toEqual([true, true, false]);
});

test('a piece is out before the next chunk is asked for', async () => {
  let asked = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for (;;) {
      asked += 1;
      yield Buffer.from('ab');
    }
  }
  const pieces = sizedChunks(source(), 4);
  await pieces.next();
  expect(asked).toBe(2);
  await pieces.next();
  expect(asked).toBe(4);
});

test('a large piece is whole when it comes in many chunks', async () => {
  const chunks = [1, 2, 3, 4, 5].map((value) => Buffer.alloc(50_000, value));
  const pieces = await collect(sizedChunks(from(chunks), 200_000));
  expect(pieces.map((piece) => piece.length)).toEqual([200_000, 50_000]);
  expect(Buffer.concat(pieces).equals(Buffer.concat(chunks))).toBe(true);
});

test('a size beyond all memory takes no more than what comes', async () => {
  const pieces = await collect(sizedChunks(from([Buffer.from('ab'), Buffer.from('c')]), Number.MAX_SAFE_INTEGER));
  expect(pieces.map(String)).toEqual(['abc']);
});

test('who stops early ends the source', async () => {
  let ended = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.from('abc');
    } finally {
      ended = true;
    }
  }
  for await (const piece of sizedChunks(endless(), 2)) {
    expect(String(piece)).toBe('ab');
    break;
  }
  expect(ended).toBe(true);
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('the size %p is refused at once', (size) => {
  expect(() => sizedChunks(from([]), size)).toThrow(InvalidOptionError);
  expect(() => sizedChunks(from([]), size)).toThrow(expect.objectContaining({ option: 'size' }));
});
