import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import zlib, { deflateRawSync, deflateSync, gzipSync, type ZlibOptions } from 'node:zlib';
import { ACCEPTED_ENCODINGS, decodeBody, isDecodingFault, TooManyCodingsError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { until } from './lab.ts';

const TEXT = 'the body of an answer; '.repeat(500);
const compressZstd: unknown = Reflect.get(zlib, 'zstdCompressSync');

function inOne(bytes: Buffer): Readable {
  return Readable.from([bytes]);
}

function byteByByte(bytes: Buffer): Readable {
  return Readable.from(Array.from(bytes, (byte) => Buffer.of(byte)));
}

/** As chunked bodies may have it. */
function afterNothing(bytes: Buffer): Readable {
  return Readable.from([Buffer.alloc(0), bytes, Buffer.alloc(0)]);
}

async function faultOf(body: Readable): Promise<boolean> {
  return text(body).then(
    () => false,
    (error: unknown) => isDecodingFault(error),
  );
}

describe.each<[string, (text: string | Buffer, options?: ZlibOptions) => Buffer]>([
  ['as it is defined', deflateSync],
  ['without the header of zlib', deflateRawSync],
])('deflate %s', (_, compress) => {
  test.each(
    [0, 1, 6, 9].flatMap((level) => [inOne, byteByByte, afterNothing].map((cut) => [level, cut.name, cut] as const)),
  )('is undone at level %i, %s', async (level, _name, cut) => {
    expect(await text(decodeBody(cut(compress(TEXT, { level })), 'deflate'))).toBe(TEXT);
  });

  test('is undone within another coding', async () => {
    expect(await text(decodeBody(inOne(gzipSync(compress(TEXT))), 'Deflate, gzip'))).toBe(TEXT);
    expect(await text(decodeBody(inOne(compress(gzipSync(TEXT))), 'gzip, deflate'))).toBe(TEXT);
  });

  test('that ends too early is told', async () => {
    const whole = compress(TEXT);
    expect(await faultOf(decodeBody(inOne(whole.subarray(0, whole.length - 5)), 'deflate'))).toBe(true);
    expect(await faultOf(decodeBody(byteByByte(whole.subarray(0, 1)), 'deflate'))).toBe(true);
  });

  test('that is corrupt is told, and the source is closed', async () => {
    const corrupt = Buffer.concat([compress('').subarray(0, 1), Buffer.alloc(50, 0xff)]);
    const source = inOne(corrupt);
    expect(await faultOf(decodeBody(source, 'deflate'))).toBe(true);
    await until(() => source.destroyed);
  });

  test('is held back for a slow reader', async () => {
    const packed = compress(Buffer.alloc(64 * 1024 * 1024));
    const decoded = decodeBody(inOne(packed), 'deflate');
    decoded.once('readable', () => {});
    // Time enough for all of it: another one is read to its end meanwhile.
    expect((await buffer(decodeBody(inOne(packed), 'deflate'))).length).toBe(64 * 1024 * 1024);
    expect(decoded.readableLength).toBeGreaterThan(0);
    expect(decoded.readableLength).toBeLessThan(1024 * 1024);
    expect((await buffer(decoded)).length).toBe(64 * 1024 * 1024);
  });

  test('is given up with its reader', async () => {
    const source = new Readable({ read: () => {} });
    source.push(compress(TEXT).subarray(0, 20));
    const decoded = decodeBody(source, 'deflate');
    decoded.resume();
    await until(() => source.readableLength === 0);
    decoded.destroy();
    await until(() => source.destroyed);
  });

  test('ends where its data end, whatever follows', async () => {
    const followed = Buffer.concat([compress(TEXT), Buffer.from('more')]);
    expect(await text(decodeBody(inOne(followed), 'deflate'))).toBe(TEXT);
  });
});

test.each(['gzip', 'deflate', 'br', 'zstd'])('a body of %s with no bytes is empty', async (coding) => {
  expect(await text(decodeBody(Readable.from([]), coding))).toBe('');
});

describe('codings one over the other', () => {
  const times = (count: number, coding = 'gzip'): string => Array(count).fill(coding).join(', ');

  test('are undone up to five of them', async () => {
    let body: Buffer = Buffer.from(TEXT);
    for (let layer = 0; layer < 5; layer += 1) body = gzipSync(body);
    expect(await text(decodeBody(inOne(body), `${times(5)}, ${times(2000, 'identity')}`))).toBe(TEXT);
  });

  test.each([times(6), times(2000), `${times(5)}, unknown`])('of %.60s are too many', async (codings) => {
    const source = inOne(gzipSync(TEXT));
    const error: unknown = await text(decodeBody(source, codings)).catch((reason) => reason);
    const count = codings.split(',').length;
    const message = `the body is in ${count} content codings, one over the other; at most 5 are undone`;
    expect(error).toMatchObject({ name: 'TooManyCodingsError', code: 'ERR_TOO_MANY_CODINGS', message });
    expect([error instanceof TooManyCodingsError, isDecodingFault(error)]).toEqual([true, true]);
    await until(() => source.destroyed);
  });

  test('do not matter where there is no body', async () => {
    expect(await text(decodeBody(Readable.from([]), times(6)))).toBe('');
  });
});

test('what is understood is what is accepted', () => {
  for (const coding of ACCEPTED_ENCODINGS.split(', ')) {
    const body = Readable.from([]);
    expect(decodeBody(body, coding)).not.toBe(body);
  }
  expect(ACCEPTED_ENCODINGS).toBe(`gzip, deflate, br${compressZstd === undefined ? '' : ', zstd'}`);
});

if (typeof compressZstd === 'function') {
  test.each([inOne, byteByByte])('zstd is undone, %p', async (cut) => {
    expect(await text(decodeBody(cut(compressZstd(Buffer.from(TEXT))), 'zstd'))).toBe(TEXT);
  });

  test('zstd that is corrupt is told', async () => {
    expect(await faultOf(decodeBody(inOne(Buffer.from('this is not zstd')), 'zstd'))).toBe(true);
  });
} else {
  test('zstd is left as it is where Node does not have it', () => {
    const body = inOne(Buffer.from('(zstd)'));
    expect(decodeBody(body, 'zstd')).toBe(body);
  });
}
