import { EventEmitter, once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as milliseconds } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import type { AxiosProgressEvent } from 'axios';
import { newTransport, origin } from './lab.ts';

function bytesIn(events: readonly AxiosProgressEvent[]): number {
  return events.reduce((total, { bytes }) => total + bytes, 0);
}

test('an upload from memory is told once it is sent', async () => {
  const server = await origin();
  const events: AxiosProgressEvent[] = [];
  await newTransport().axios.put(server.url, 'größe', {
    http_proxy: null,
    onUploadProgress: (event) => events.push(event),
  });
  expect(events).toEqual([
    {
      ...{ loaded: 7, total: 7, progress: 1, bytes: 7, lengthComputable: true, upload: true },
      event: { loaded: 7, total: 7, lengthComputable: true },
    },
  ]);
});

test.each([
  ['known', { 'Content-Length': '3000' }, { total: 3000, progress: 1, lengthComputable: true }],
  ['not known', {}, { lengthComputable: false }],
])('an upload from a stream is told to its end, its length %s', async (_, headers, known) => {
  const server = await origin();
  const events: AxiosProgressEvent[] = [];
  const body = Readable.from(['a', 'b', 'c'].map((letter) => Buffer.from(letter.repeat(1000))));
  await newTransport().axios.put(server.url, body, {
    ...{ http_proxy: null, headers },
    onUploadProgress: (event) => events.push(event),
  });
  expect(events[0]).toMatchObject({ loaded: 1000, bytes: 1000, upload: true });
  const { bytes, event, rate, estimated, ...last } = events.at(-1) ?? { bytes: 0 };
  expect(last).toEqual({ loaded: 3000, upload: true, ...known });
  expect(bytesIn(events)).toBe(3000);
});

test('a download is told as it comes on the wire, with its speed and what is left', async () => {
  const steps = new EventEmitter();
  const whole = gzipSync(Buffer.from(Array.from({ length: 1000 }, (_, index) => index * 7919)));
  const server = await origin('http', {
    handler: async (_, response) => {
      response.writeHead(200, { 'Content-Length': whole.length, 'Content-Encoding': 'gzip' });
      for (const [from, to] of [
        [0, 100],
        [100, 200],
      ]) {
        response.write(whole.subarray(from, to));
        await once(steps, 'told');
        // A speed needs time: at most three events a second are given.
        await milliseconds(350);
      }
      response.end(whole.subarray(200));
    },
  });
  const events: AxiosProgressEvent[] = [];
  await newTransport().axios.get(server.url, {
    http_proxy: null,
    onDownloadProgress: (event) => {
      events.push(event);
      steps.emit('told');
    },
  });
  const total = whole.length;
  const [first, second, last] = events;
  expect(first).toEqual({
    ...{ loaded: 100, total, progress: 100 / total, bytes: 100, lengthComputable: true, download: true },
    event: { loaded: 100, total, lengthComputable: true },
  });
  expect(second).toMatchObject({ loaded: 200, bytes: 100, progress: 200 / total });
  // 100 bytes in more than 350 ms, as far as timers keep their time.
  expect(second?.rate).toBeGreaterThan(0);
  expect(second?.rate).toBeLessThan(100 / 0.34);
  expect(second?.estimated).toBeCloseTo((total - 200) / (second?.rate ?? 0));
  expect(last).toMatchObject({ loaded: total, progress: 1, estimated: 0 });
  expect(events).toHaveLength(3);
});

test('a download of many parts is told a few times, and at its end', async () => {
  const steps = new EventEmitter();
  const server = await origin('http', {
    handler: async (_, response) => {
      for (let part = 0; part < 50; part += 1) {
        response.write('part');
        await once(steps, 'came');
      }
      response.end();
    },
  });
  const events: AxiosProgressEvent[] = [];
  const { data } = await newTransport().axios.get<Readable>(server.url, {
    ...{ http_proxy: null, responseType: 'stream' },
    onDownloadProgress: (event) => events.push(event),
  });
  for await (const part of data) steps.emit('came', part);
  expect(events.at(-1)).toMatchObject({ loaded: 200, lengthComputable: false });
  expect(events.length).toBeLessThan(50);
  expect(bytesIn(events)).toBe(200);
});

test('what a listener of progress is given does not come after the answer', async () => {
  const server = await origin();
  const order: string[] = [];
  const sent = newTransport().axios.post(server.url, 'body', {
    http_proxy: null,
    onUploadProgress: () => order.push('upload'),
    onDownloadProgress: () => order.push('download'),
  });
  await sent.then(() => order.push('answer'));
  expect(order).toEqual(['upload', 'download', 'answer']);
});
