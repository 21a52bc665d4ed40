import { inspect } from 'node:util';
import type { CallOptions } from '@cloudlane/connection';
import type { DigitalOceanCompute, DigitalOceanDns, DigitalOceanOptions } from '@cloudlane/driver-digitalocean';
import type { LabProxy } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { secretsIn } from '../support/secrets.ts';
import type { FakeDigitalOcean } from './fake-digitalocean.ts';
import { AUTH, computeOf, dnsOf, fakeDigitalOcean, proxy } from './lab.ts';

type Way = 'constructor' | 'setHttpProxy' | 'call' | 'environment';

const WAYS: readonly Way[] = ['constructor', 'setHttpProxy', 'call', 'environment'];
const SCHEMES = ['http', 'https'] as const;
const TABLE = WAYS.flatMap((way) => SCHEMES.map((scheme) => ({ way, scheme })));
const SPEC = { name: 'web', size: 's-1vcpu-1gb', image: 'debian-12-x64' } as const;

/** What says the proxy in this way: to the constructor, or to each call. */
function setting(way: Way, url: string): { made: Partial<DigitalOceanOptions>; called: CallOptions } {
  return {
    made:
      way === 'constructor'
        ? { http_proxy: url }
        : way === 'environment'
          ? { env: { http_proxy: url, https_proxy: url } }
          : {},
    called: way === 'call' ? { http_proxy: url } : {},
  };
}

/** Every request took the proxy, and nothing of that reached the origin. */
function expectAllThrough(through: LabProxy, fake: FakeDigitalOcean): void {
  const forwarded = fake.url.startsWith('http:');
  expect(through.hops.every(({ authorized, username }) => authorized && username === AUTH.username)).toBe(true);
  if (forwarded) {
    expect(through.hops.map(({ method, target }) => `${method} ${target.slice(fake.url.length)}`)).toEqual(fake.calls);
  } else {
    expect(new Set(through.hops.map(({ kind, target }) => `${kind} ${target}`))).toEqual(
      new Set([`connect ${fake.origin.host}:${fake.origin.port}`]),
    );
    // One connection to the origin for each tunnel, none beside them.
    expect(fake.origin.connectionCount).toBe(through.hops.length);
  }
  const seen = fake.origin.requests.flatMap(({ rawHeaders }) => rawHeaders);
  expect(seen.filter((text) => /^proxy-/i.test(text))).toEqual([]);
}

describe.each(TABLE)('by $way to an $scheme API', ({ way, scheme }) => {
  async function start<D extends DigitalOceanCompute | DigitalOceanDns>(
    driverOf: (fake: FakeDigitalOcean, options: Partial<DigitalOceanOptions>) => D,
  ) {
    const fake = await fakeDigitalOcean(scheme);
    const through = await proxy({ auth: AUTH });
    const { made, called } = setting(way, through.urlWithCredentials);
    const driver = driverOf(fake, made);
    if (way === 'setHttpProxy') driver.connection.setHttpProxy(through.urlWithCredentials);
    return { fake, through, driver, called };
  }

  test('everything of compute takes the proxy, also what polls', async () => {
    const { fake, through, driver: compute, called } = await start(computeOf);
    const node = await (await compute.createNode(SPEC, called)).wait({ pollMs: 1 });
    for (let count = 0; count < 3; count += 1) fake.addDroplet();
    await compute.listNodes({ ...called, pageSize: 2 }).all();
    await (await compute.stopNode(node, { ...called, force: true })).wait({ pollMs: 1 });
    let looks = 0;
    const secondTime = () => {
      looks += 1;
      return looks === 2;
    };
    await compute.waitForNode(node, secondTime, { ...called, pollMs: 1 });
    await (await compute.startNode(node, called)).wait({ pollMs: 1 });
    await (await compute.rebootNode(node, called)).wait({ pollMs: 1 });
    await compute.getNode(node, called);
    await compute.listSizes(called).all();
    await compute.listImages(called).all();
    await compute.listLocations(called).all();
    await compute.destroyNode(node, called);
    expect(fake.calls).toHaveLength(22);
    expectAllThrough(through, fake);
  });

  test('everything of DNS takes the proxy, also what takes several steps', async () => {
    const { fake, through, driver: dns, called } = await start(dnsOf);
    await dns.createZone('example.com', called);
    await dns.getZone('example.com', called);
    await dns.listZones(called).all();
    const data = ['192.0.2.1', '192.0.2.2'].map((address) => ({ type: 'A', address }) as const);
    await dns.putRecordSet('example.com', { name: 'www', ttl: 300, data }, called);
    await dns.putRecordSet('example.com', { name: 'www', ttl: 60, data: data.slice(1) }, called);
    await dns.listRecordSets('example.com', called).all();
    const [record] = await dns.listRecords('example.com', called).all();
    await dns.deleteRecord('example.com', record?.id ?? '', called);
    await dns.createRecord('example.com', { name: '@', data: { type: 'TXT', text: 'x' } }, called);
    await dns.deleteRecordSet('example.com', 'www', 'A', called);
    await dns.deleteZone('example.com', called);
    expect(fake.calls).toHaveLength(16);
    expectAllThrough(through, fake);
  });

  test('nothing that can be printed has the token or the password', async () => {
    const { fake, through, driver: compute, called } = await start(computeOf);
    const errors = [];
    errors.push(await compute.getNode('1', called).catch((error: unknown) => error));
    await through.close();
    errors.push(await compute.getNode('1', called).catch((error: unknown) => error));
    const things = [
      ...errors,
      compute,
      compute.connection,
      compute.connection.session,
      compute.connection.explain('droplets'),
    ];
    expect(errors).toMatchObject([{ code: 'ERR_NOT_FOUND' }, { proxy: through.url.replace('//', '//user:***@') }]);
    for (const thing of things) {
      expect(secretsIn(inspect(thing, { depth: 20, showHidden: true }))).toEqual([]);
      expect(secretsIn(JSON.stringify(thing))).toEqual([]);
      expect(secretsIn(String(thing))).toEqual([]);
    }
    expect(fake.calls).toEqual(['GET /droplets/1']);
  });
});

describe('the settings', () => {
  test('of a call win over those of the driver, and those over the environment', async () => {
    const fake = await fakeDigitalOcean();
    const [one, two, three] = [await proxy(), await proxy(), await proxy()];
    const compute = computeOf(fake, { env: { http_proxy: one.url } });
    const saw = () => [one, two, three].map(({ hops }) => hops.length);
    await compute.listNodes().all();
    expect(saw()).toEqual([1, 0, 0]);
    compute.connection.setHttpProxy(two.url);
    await compute.listNodes().all();
    expect(saw()).toEqual([1, 1, 0]);
    await compute.listNodes({ http_proxy: three.url }).all();
    await compute.listNodes({ http_proxy: null }).all();
    expect(saw()).toEqual([1, 1, 1]);
    compute.connection.setHttpProxy(null);
    await compute.listNodes().all();
    expect(saw()).toEqual([1, 1, 1]);
    compute.connection.setHttpProxy(undefined);
    await compute.listNodes().all();
    expect(saw()).toEqual([2, 1, 1]);
  });

  test('of a call hold for the polls of what it began, unless wait() has its own', async () => {
    const fake = await fakeDigitalOcean();
    const [mine, calls, waits] = [await proxy(), await proxy(), await proxy()];
    const compute = computeOf(fake, { http_proxy: mine.url });
    const { id } = fake.addDroplet();
    const operation = await compute.rebootNode(String(id), { http_proxy: calls.url });
    await operation.wait({ pollMs: 1, http_proxy: undefined });
    expect([mine, calls, waits].map(({ hops }) => hops.length)).toEqual([0, 3, 0]);
    const other = await compute.createNode(SPEC, { http_proxy: calls.url, headers: { 'x-call': 'yes' } });
    await other.wait({ pollMs: 1, http_proxy: waits.url });
    expect([mine, calls, waits].map(({ hops }) => hops.length)).toEqual([0, 4, 3]);
    expect(fake.origin.requests.at(-1)?.headers['x-call']).toBe('yes');
  });

  test('of a list hold for all its pages, even if the driver changes meanwhile', async () => {
    const fake = await fakeDigitalOcean();
    const [calls, other] = [await proxy(), await proxy()];
    const compute = computeOf(fake);
    for (let count = 0; count < 6; count += 1) fake.addDroplet();
    for await (const page of compute.listNodes({ pageSize: 2, http_proxy: calls.url }).pages()) {
      expect(page.items).toHaveLength(2);
      compute.connection.setHttpProxy(other.url);
    }
    expect([calls, other].map(({ hops }) => hops.length)).toEqual([3, 0]);
  });

  test('of 50 calls at a time do not mix', async () => {
    const fake = await fakeDigitalOcean();
    const proxies = [await proxy({ auth: AUTH }), await proxy({ auth: AUTH })] as const;
    const compute = computeOf(fake);
    const ids = Array.from({ length: 50 }, () => String(fake.addDroplet().id));
    const nodes = await Promise.all(
      ids.map((id, index) => compute.getNode(id, { http_proxy: proxies[index % 2 === 0 ? 0 : 1].urlWithCredentials })),
    );
    expect(nodes.map(({ id }) => id)).toEqual(ids);
    for (const [parity, { hops }] of proxies.entries()) {
      const mine = ids.filter((_, index) => index % 2 === parity).map((id) => `${fake.url}/droplets/${id}`);
      expect(hops.map(({ target }) => target).sort()).toEqual(mine.sort());
    }
    expect(fake.calls).toHaveLength(50);
  });

  test('that cannot be used stop the call: it does not go out directly', async () => {
    const fake = await fakeDigitalOcean();
    const wrong = await proxy({ auth: AUTH });
    const compute = computeOf(fake);
    await expect(compute.listNodes({ http_proxy: wrong.url }).all()).rejects.toMatchObject({
      code: 'ERR_PROXY_AUTHENTICATION',
    });
    await expect(compute.getNode('1', { http_proxy: 'no proxy at all' })).rejects.toMatchObject({
      code: 'ERR_INVALID_PROXY_URL',
    });
    expect(fake.calls).toEqual([]);
  });
});
