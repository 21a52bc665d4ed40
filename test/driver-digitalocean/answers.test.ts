import { MalformedResponseError } from '@cloudlane/connection';
import { DigitalOceanCompute, DigitalOceanDns, type Droplet } from '@cloudlane/driver-digitalocean';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import nock from 'nock';
import { TOKEN } from './lab.ts';

const API = 'https://api.digitalocean.com';
const compute = new DigitalOceanCompute({ token: TOKEN, trustEnv: false });
const dns = new DigitalOceanDns(compute.connection);

beforeAll(() => nock.disableNetConnect());
afterEach(() => {
  expect(nock.pendingMocks()).toEqual([]);
  nock.cleanAll();
});
afterAll(() => nock.restore());

test('the request says who asks, in JSON, and for what', async () => {
  nock(API, {
    reqheaders: { authorization: `Bearer ${TOKEN}`, accept: 'application/json', 'user-agent': /^cloudlane\// },
  })
    .get('/v2/droplets')
    .query({ page: '1', per_page: '200' })
    .reply(200, { droplets: [] });
  expect(await compute.listNodes().all()).toEqual([]);
});

describe('a droplet', () => {
  async function nodeOf(droplet: object) {
    nock(API).get('/v2/droplets/1').reply(200, { droplet });
    return compute.getNode('1');
  }

  test.each([
    ['new', 'creating'],
    ['active', 'running'],
    ['off', 'stopped'],
    ['archive', 'suspended'],
    ['brand-new', 'unknown'],
    ['constructor', 'unknown'],
    ['', 'unknown'],
  ])('that is %j is %s', async (status, state) => {
    expect(await nodeOf({ id: 1, name: 'a', status })).toMatchObject({ state, providerState: status });
  });

  test('has all that is told, and the payload as it came', async () => {
    const droplet: Droplet & { readonly extra: string } = {
      id: 1,
      name: 'a',
      status: 'active',
      created_at: '2026-02-03T04:05:06Z',
      size_slug: 's-1vcpu-1gb',
      image: { id: 42, slug: null },
      region: { slug: 'fra1' },
      tags: ['x', 'y'],
      networks: {
        v4: [
          { ip_address: '10.0.0.2', type: 'private' },
          { ip_address: '192.0.2.1', type: 'public' },
        ],
        v6: [{ ip_address: '2001:db8::1', type: 'public' }],
      },
      extra: 'kept',
    };
    expect(await nodeOf(droplet)).toEqual({
      provider: 'digitalocean',
      id: '1',
      name: 'a',
      state: 'running',
      providerState: 'active',
      addresses: [
        { address: '10.0.0.2', family: 4, scope: 'private' },
        { address: '192.0.2.1', family: 4, scope: 'public' },
        { address: '2001:db8::1', family: 6, scope: 'public' },
      ],
      sizeId: 's-1vcpu-1gb',
      imageId: '42',
      locationId: 'fra1',
      createdAt: new Date('2026-02-03T04:05:06Z'),
      tags: ['x', 'y'],
      raw: droplet,
    });
  });

  test.each([
    {},
    { image: null, region: null, networks: null, tags: null, created_at: null, size_slug: null },
    { networks: {}, created_at: 'yesterday' },
  ])('with the gaps of %j has gaps', async (fields) => {
    expect(await nodeOf({ id: 1, name: 'a', status: 'new', ...fields })).toMatchObject({
      addresses: [],
      sizeId: null,
      imageId: null,
      locationId: null,
      createdAt: null,
      tags: [],
    });
  });
});

test.each([
  [0.00744, '0.00744'],
  [0.00743999984115362, '0.00744'],
  [0.1, '0.1'],
  [0.30000000000000004, '0.3'],
  [0.0000123, '0.0000123'],
  [0.0000001, '0.0000001'],
  [5, '5'],
  [10, '10'],
  [100, '100'],
  [12.5, '12.5'],
  [1.7857099771499634, '1.78571'],
  [0, '0'],
])('the hourly price %p is %j', async (price_hourly, hourly) => {
  nock(API)
    .get('/v2/sizes')
    .query(true)
    .reply(200, { sizes: [{ slug: 's', price_hourly }] });
  expect(await compute.listSizes().all()).toMatchObject([{ price: { hourly, currency: 'USD' } }]);
});

test('a size without a price has none, and one without regions does not say that it has none', async () => {
  nock(API)
    .get('/v2/sizes')
    .query(true)
    .reply(200, { sizes: [{ slug: 's' }, { slug: 't', regions: [] }] });
  expect(await compute.listSizes().all()).toMatchObject([
    { price: null, locationIds: null, vcpus: null },
    { locationIds: [] },
  ]);
});

describe('the link to the next page', () => {
  test.each([
    `${API}/v2/droplets?page=2&per_page=1`,
    `${API}/v2/droplets?per_page=1&page=2`,
    'http://169.254.169.254/latest?page=2',
    '/v2/droplets?page=2',
    '?page=2#page=9',
  ])('%j leads to page 2 of the same list', async (next) => {
    nock(API)
      .get('/v2/droplets')
      .query({ page: '1', per_page: '1' })
      .reply(200, { droplets: [], links: { pages: { next } } });
    nock(API).get('/v2/droplets').query({ page: '2', per_page: '1' }).reply(200, { droplets: [], links: {} });
    expect(await compute.listNodes({ pageSize: 1 }).all()).toEqual([]);
  });

  test.each([
    `${API}/v2/droplets?page=1`,
    `${API}/v2/droplets?page=02`,
    `${API}/v2/droplets?page=9999999999`,
    `${API}/v2/droplets?page=0`,
    `${API}/v2/droplets?per_page=2`,
    'x?page=-3',
    7,
  ])('%j leads nowhere and is an error', async (next) => {
    nock(API)
      .get('/v2/droplets')
      .query(true)
      .reply(200, { droplets: [], links: { pages: { next } } });
    await expect(compute.listNodes().all()).rejects.toBeInstanceOf(MalformedResponseError);
  });

  test.each([undefined, null, {}, { pages: null }, { pages: {} }, { pages: { next: null } }, { pages: { next: '' } }])(
    'is missing in %j, so that the list ends',
    async (links) => {
      nock(API).get('/v2/droplets').query(true).reply(200, { droplets: [], links });
      expect(await compute.listNodes().all()).toEqual([]);
    },
  );
});

test.each([
  ['completed', { state: 'done', progress: 100 }],
  ['in-progress', { state: 'running', progress: null }],
  ['errored', { state: 'failed', progress: null }],
  ['new-kind', { state: 'running', progress: null }],
])('an action that is %s from the start is %j', async (status, expected) => {
  nock(API)
    .post('/v2/droplets/1/actions')
    .reply(201, { action: { id: 9, status, type: 'power_on' } });
  expect(await compute.startNode('1')).toMatchObject({ id: '9', ...expected, raw: { id: 9, status } });
});

test('a new droplet is created by the action that is named so, not by another one', async () => {
  const droplet = { id: 1, name: 'a', status: 'new' };
  const actions = [
    { id: 7, rel: 'other' },
    { id: 8, rel: 'create' },
    { id: 9, rel: 'other' },
  ];
  nock(API).post('/v2/droplets').reply(202, { droplet, links: { actions } });
  const { id } = await compute.createNode({ name: 'a', size: 's', image: 'i' });
  expect(id).toBe('8');
});

describe('a refusal', () => {
  test.each([
    [400, 'ERR_PROVIDER'],
    [401, 'ERR_INVALID_CREDENTIALS'],
    [403, 'ERR_PROVIDER'],
    [404, 'ERR_NOT_FOUND'],
    [409, 'ERR_CONFLICT'],
    [422, 'ERR_PROVIDER'],
    [429, 'ERR_RATE_LIMIT'],
    [500, 'ERR_PROVIDER'],
    [503, 'ERR_SERVICE_UNAVAILABLE'],
  ])('with %i is %s', async (status, code) => {
    nock(API).get('/v2/domains/a.example').reply(status, { id: 'the_id', message: 'the reason', request_id: 'r' });
    await expect(dns.getZone('a.example')).rejects.toMatchObject({
      code,
      status,
      providerCode: 'the_id',
      requestId: 'r',
      message: expect.stringContaining('the_id: the reason'),
    });
  });

  test.each([
    ['<html><h1>Bad gateway</h1></html>', null, 'Bad gateway'],
    ['', null, '502'],
    ['{', null, '{'],
    ['null', null, 'null'],
    ['"text"', null, 'text'],
    ['{"id":5,"message":{"a":1}}', null, '502'],
    ['{"id":"x"}', 'x', 'x'],
  ])('that says %j can be told all the same', async (body, providerCode, text) => {
    nock(API).get('/v2/domains/a.example').reply(502, body, { 'x-request-id': 'from-header' });
    await expect(dns.getZone('a.example')).rejects.toMatchObject({
      code: 'ERR_SERVICE_UNAVAILABLE',
      providerCode,
      requestId: 'from-header',
      message: expect.stringContaining(text),
    });
  });

  test.each([
    [{ 'retry-after': '3', 'ratelimit-limit': '1', 'ratelimit-remaining': '0', 'ratelimit-reset': '1' }, 3000],
    [{ 'ratelimit-limit': '1', 'ratelimit-remaining': '0', 'ratelimit-reset': '1' }, 0],
    [{ 'ratelimit-limit': '1', 'ratelimit-remaining': '5', 'ratelimit-reset': '9999999999' }, null],
    [{ 'ratelimit-remaining': '0', 'ratelimit-reset': '9999999999' }, null],
    [{ 'ratelimit-limit': '1', 'ratelimit-remaining': '0', 'ratelimit-reset': 'soon' }, null],
    [{}, null],
  ])('for too many requests with %j waits %p', async (headers, retryAfter) => {
    nock(API).get('/v2/domains/a.example').reply(429, { id: 'too_many_requests', message: 'x' }, headers);
    await expect(dns.getZone('a.example')).rejects.toMatchObject({ retryAfter });
  });
});

describe('an answer that cannot be', () => {
  test.each([
    ['nothing', ''],
    ['a page', '<html></html>'],
    ['a list', '[]'],
    ['another object', '{"domains":[]}'],
    ['null', '{"domain":null}'],
  ])('%s is malformed', async (_, body) => {
    nock(API).get('/v2/domains/a.example').reply(200, body, { 'content-type': 'application/json' });
    await expect(dns.getZone('a.example')).rejects.toBeInstanceOf(MalformedResponseError);
  });

  test('a list that is none is malformed', async () => {
    nock(API)
      .get('/v2/domains')
      .query(true)
      .reply(200, { domains: { a: 1 } });
    await expect(dns.listZones().all()).rejects.toBeInstanceOf(MalformedResponseError);
  });
});
