// The examples that are the snippets of the driver's README.
import { formatProxy } from '@cloudlane/proxy';
import { sharedTransport, type TransportResponse } from '@cloudlane/transport';
import { afterAll, beforeEach, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { SECRETS } from '../support/secrets.ts';

beforeEach(() => {
  nock.disableNetConnect();
  process.env.AWS_ACCESS_KEY_ID = 'AKIDEXAMPLE';
  process.env.AWS_SECRET_ACCESS_KEY = SECRETS.secretKey;
});
afterAll(() => {
  delete process.env.https_proxy;
  nock.restore();
});

test('s3-objects.ts', async () => {
  const entry = '<Contents><Key>2026/may.csv</Key><Size>16</Size></Contents>';
  nock('https://reports.s3.eu-central-1.amazonaws.com')
    .put('/2026/may.csv')
    .reply(200)
    .get('/')
    .query({ 'list-type': 2, 'encoding-type': 'url', prefix: '2026/' })
    .reply(200, `<ListBucketResult>${entry}</ListBucketResult>`)
    .get('/2026/may.csv')
    .reply(200, 'day,visits\n1,17\n');
  const log = jest.spyOn(console, 'log').mockImplementation(() => {});
  await import('../../examples/s3-objects.ts');
  expect(log.mock.calls).toEqual([['2026/may.csv', 16], ['day,visits\n1,17\n']]);
  log.mockRestore();
  expect(nock.pendingMocks()).toEqual([]);
});

test('s3-proxy.ts', async () => {
  process.env.https_proxy = 'http://user:password@proxy.example:3128';
  nock('https://reports.s3.us-east-1.amazonaws.com').persist().head(/./).reply(200);
  const send = jest.spyOn(sharedTransport(), 'send');
  await import('../../examples/s3-proxy.ts');
  const answers = await Promise.all(send.mock.results.map(({ value }) => value as Promise<TransportResponse>));
  const ways = answers.map(({ url, route }) => [
    url.pathname,
    route.kind,
    route.kind === 'direct' ? null : formatProxy(route.proxy),
  ]);
  expect(ways).toEqual([
    ['/from-the-environment', 'tunnel', 'http://user:***@proxy.example:3128'],
    ['/from-the-constructor', 'tunnel', 'http://user:***@other.example:3128'],
    ['/from-now-on', 'tunnel', 'https://third.example:3129'],
    ['/this-call', 'direct', null],
  ]);
  send.mockRestore();
});
