import {
  InvalidCredentialsError,
  MalformedResponseError,
  NotFoundError,
  ProviderError,
  RateLimitError,
} from '@cloudlane/connection';
import { getDriver, OperationFailedError, OperationTimeoutError } from '@cloudlane/driver';
import {
  DigitalOceanCompute,
  DigitalOceanConnection,
  DigitalOceanDns,
  readRateLimit,
} from '@cloudlane/driver-digitalocean';
import { describe, expect, test } from '@jest/globals';
import { computeOf, fakeDigitalOcean, optionsFor, TOKEN } from './lab.ts';

const SPEC = { name: 'web', size: 's-1vcpu-1gb', image: 'debian-12-x64' } as const;

describe('lists', () => {
  test('nothing is asked for before a list is read', async () => {
    const fake = await fakeDigitalOcean();
    computeOf(fake).listNodes();
    expect(fake.calls).toEqual([]);
  });

  test('reads three pages, one of them empty, and takes only the number from the link to the next', async () => {
    const fake = await fakeDigitalOcean();
    fake.emptySecondPage = true;
    for (let count = 0; count < 4; count += 1) fake.addDroplet();
    const pages = [];
    for await (const page of computeOf(fake).listNodes({ pageSize: 2 }).pages())
      pages.push([page.items.length, page.next]);
    expect(pages).toEqual([
      [2, '2'],
      [0, '3'],
      [2, null],
    ]);
    expect(fake.calls).toEqual([1, 2, 3].map((page) => `GET /droplets?page=${page}&per_page=2`));
  });

  test('goes on where an earlier list stopped', async () => {
    const fake = await fakeDigitalOcean();
    const [, , third] = [fake.addDroplet(), fake.addDroplet(), fake.addDroplet()];
    const nodes = await computeOf(fake).listNodes({ pageSize: 2, after: '2' }).all();
    expect(nodes.map(({ id }) => id)).toEqual([String(third.id)]);
  });

  test('stops asking when it has enough', async () => {
    const fake = await fakeDigitalOcean();
    for (let count = 0; count < 6; count += 1) fake.addDroplet();
    expect(await computeOf(fake).listNodes({ pageSize: 2, limit: 3 }).all()).toHaveLength(3);
    expect(fake.calls).toHaveLength(2);
  });

  test('asks for as many as a page can have, whatever is wanted', async () => {
    const fake = await fakeDigitalOcean();
    await computeOf(fake).listNodes({ pageSize: 1000 }).all();
    await computeOf(fake).listNodes().all();
    expect(fake.calls).toEqual(Array(2).fill('GET /droplets?page=1&per_page=200'));
  });

  test.each(['0', '-1', '1.5', 'x', '', 'https://elsewhere.example/?page=2', '1&private=true'])(
    'refuses %j as a cursor',
    async (after) => {
      const fake = await fakeDigitalOcean();
      const compute = computeOf(fake);
      expect(() => compute.listNodes({ after })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_OPTION', option: 'after' }),
      );
    },
  );

  test('sizes have a price as text', async () => {
    const fake = await fakeDigitalOcean();
    fake.sizes = [
      {
        slug: 's-1',
        memory: 1024,
        vcpus: 1,
        disk: 25,
        price_hourly: 0.00743999984115362,
        regions: ['fra1'],
        available: true,
      },
    ];
    const [size] = await computeOf(fake).listSizes().all();
    expect(size).toMatchObject({
      provider: 'digitalocean',
      id: 's-1',
      vcpus: 1,
      memoryMiB: 1024,
      diskGiB: 25,
      price: { hourly: '0.00744', currency: 'USD' },
      locationIds: ['fra1'],
      raw: { price_hourly: 0.00743999984115362 },
    });
  });

  test('images are told apart by owner and kind', async () => {
    const fake = await fakeDigitalOcean();
    fake.images = [
      {
        id: 1,
        name: '12 x64',
        type: 'base',
        public: true,
        distribution: 'Debian',
        slug: 'debian-12-x64',
        created_at: '2026-01-02T03:04:05Z',
      },
      { id: 2, name: 'Docker', type: 'snapshot', public: true },
      { id: 3, name: 'mine', type: 'snapshot', public: false },
      { id: 4, name: 'nightly', type: 'backup', public: false },
      { id: 5, name: 'uploaded', type: 'custom', public: false },
    ];
    const compute = computeOf(fake);
    const kinds = async (owner?: 'system' | 'self') =>
      (await compute.listImages({ owner }).all()).map(({ id, kind }) => `${id} ${kind}`);
    expect(await kinds()).toEqual(['1 system', '2 app', '3 snapshot', '4 backup', '5 custom']);
    expect(await kinds('system')).toEqual(['1 system']);
    expect(await kinds('self')).toEqual(['3 snapshot', '4 backup', '5 custom']);
    const [first] = await compute.listImages().all({ limit: 1 });
    expect(first).toMatchObject({
      os: 'Debian',
      createdAt: new Date('2026-01-02T03:04:05Z'),
      raw: { slug: 'debian-12-x64' },
    });
    expect(fake.calls.slice(1, 3)).toEqual([
      'GET /images?type=distribution&page=1&per_page=200',
      'GET /images?private=true&page=1&per_page=200',
    ]);
  });

  test('locations are regions', async () => {
    const fake = await fakeDigitalOcean();
    fake.regions = [
      { slug: 'fra1', name: 'Frankfurt 1', available: true },
      { slug: 'old1', name: 'Old 1', available: false },
    ];
    expect(await computeOf(fake).listLocations().all()).toMatchObject([
      { id: 'fra1', name: 'Frankfurt 1', country: null, available: true },
      { id: 'old1', available: false },
    ]);
  });
});

describe('nodes', () => {
  test('create waits for the action and ends with the running node', async () => {
    const fake = await fakeDigitalOcean();
    const compute = computeOf(fake);
    const operation = await compute.createNode({
      ...SPEC,
      image: { id: '7555620' },
      location: 'fra1',
      keyPairs: ['512190', '3b:16:bf:e4:8b:00:8b:b8'],
      userData: '#cloud-config\n',
      tags: ['web'],
      provider: { ipv6: true, monitoring: true },
    });
    expect(operation).toMatchObject({ state: 'running', progress: null });
    expect(JSON.parse(String(fake.origin.requests[0]?.body))).toEqual({
      name: 'web',
      size: 's-1vcpu-1gb',
      image: 7555620,
      region: 'fra1',
      ssh_keys: [512190, '3b:16:bf:e4:8b:00:8b:b8'],
      user_data: '#cloud-config\n',
      tags: ['web'],
      ipv6: true,
      monitoring: true,
    });
    const states: string[] = [];
    const node = await operation.wait({ pollMs: 1, onPoll: (state) => states.push(state) });
    expect(node).toMatchObject({
      name: 'web',
      state: 'running',
      providerState: 'active',
      locationId: 'fra1',
      tags: ['web'],
    });
    expect(states).toEqual(['running', 'done']);
    expect(fake.calls.slice(1, 3)).toEqual(Array(2).fill(`GET /droplets/${node.id}/actions/${operation.id}`));
  });

  test('create polls the droplet if the answer has no link to an action', async () => {
    const fake = await fakeDigitalOcean();
    fake.linksActions = false;
    const operation = await computeOf(fake).createNode(SPEC);
    const id = Number(operation.id);
    let polls = 0;
    const node = await operation.wait({
      pollMs: 1,
      onPoll: () => {
        polls += 1;
        const droplet = fake.droplets.get(id);
        if (polls === 2 && droplet) droplet.status = 'active';
      },
    });
    expect(polls).toBe(3);
    expect(node.state).toBe('running');
  });

  test('an operation can be waited for twice', async () => {
    const fake = await fakeDigitalOcean();
    const operation = await computeOf(fake).createNode(SPEC);
    const [one, other] = await Promise.all([operation.wait({ pollMs: 1 }), operation.wait({ pollMs: 1 })]);
    expect(one.id).toBe(other.id);
  });

  test.each([
    ['startNode', undefined, 'power_on', 'off', 'running'],
    ['stopNode', undefined, 'shutdown', 'active', 'stopped'],
    ['stopNode', true, 'power_off', 'active', 'stopped'],
    ['rebootNode', undefined, 'reboot', 'active', 'running'],
    ['rebootNode', true, 'power_cycle', 'active', 'running'],
  ] as const)('%s with force %p is the action %s', async (method, force, type, before, after) => {
    const fake = await fakeDigitalOcean();
    const compute = computeOf(fake);
    const { id } = fake.addDroplet({ status: before });
    const operation = await compute[method](String(id), { force });
    expect(JSON.parse(String(fake.origin.requests[0]?.body))).toEqual({ type });
    await expect(operation.wait({ pollMs: 1 })).resolves.toBeUndefined();
    expect((await compute.getNode({ id: String(id) })).state).toBe(after);
  });

  test('an action that fails is an OperationFailedError', async () => {
    const fake = await fakeDigitalOcean();
    fake.actionsFail = true;
    const { id } = fake.addDroplet();
    const operation = await computeOf(fake).stopNode(String(id));
    const error = await operation.wait({ pollMs: 1 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OperationFailedError);
    expect(error).toMatchObject({
      operationId: operation.id,
      message: expect.stringContaining('gave up the shutdown'),
    });
  });

  test('an action that goes on and on is an OperationTimeoutError', async () => {
    const fake = await fakeDigitalOcean();
    fake.pollsPerAction = Number.POSITIVE_INFINITY;
    const { id } = fake.addDroplet();
    const operation = await computeOf(fake).rebootNode(String(id));
    await expect(operation.wait({ pollMs: 2, maxWaitMs: 20 })).rejects.toBeInstanceOf(OperationTimeoutError);
  });

  test('a wait ends with the signal, also one for a state', async () => {
    const fake = await fakeDigitalOcean();
    fake.pollsPerAction = Number.POSITIVE_INFINITY;
    const { id } = fake.addDroplet();
    const compute = computeOf(fake);
    const operation = await compute.rebootNode(String(id));
    const reason = new Error('enough');
    const waitsFor = async (wait: (signal: AbortSignal) => Promise<unknown>, requests: number) => {
      const controller = new AbortController();
      const waiting = expect(wait(controller.signal)).rejects.toBe(reason);
      await fake.origin.waitForRequests(requests);
      setImmediate(() => controller.abort(reason));
      await waiting;
    };
    await waitsFor((signal) => operation.wait({ pollMs: 60_000, signal }), 1);
    await waitsFor((signal) => compute.waitForNode(String(id), 'stopped', { pollMs: 60_000, signal }), 2);
    await waitsFor((signal) => operation.wait({ pollMs: 1, signal }), 5);
  });

  test('the signal of a call does not end the wait for what it began', async () => {
    const fake = await fakeDigitalOcean();
    const controller = new AbortController();
    const operation = await computeOf(fake).createNode(SPEC, { signal: controller.signal });
    controller.abort();
    await expect(operation.wait({ pollMs: 1 })).resolves.toMatchObject({ state: 'running' });
  });

  test('destroy is done when it returns', async () => {
    const fake = await fakeDigitalOcean();
    const compute = computeOf(fake);
    const { id } = fake.addDroplet();
    const operation = await compute.destroyNode(String(id));
    expect(operation).toMatchObject({ id: null, state: 'done' });
    await expect(operation.wait()).resolves.toBeUndefined();
    await expect(compute.destroyNode(String(id))).rejects.toBeInstanceOf(NotFoundError);
  });

  test('waits for a state, or for what a function says', async () => {
    const fake = await fakeDigitalOcean();
    const compute = computeOf(fake);
    const droplet = fake.addDroplet({ status: 'new' });
    const onPoll = () => {
      const known = fake.droplets.get(droplet.id);
      if (known) known.status = 'active';
    };
    const node = await compute.waitForNode(String(droplet.id), 'running', { pollMs: 1, onPoll });
    expect(node.providerState).toBe('active');
    expect(await compute.waitForNode(node, ({ name }) => name === droplet.name)).toMatchObject({ id: node.id });
    expect(fake.calls).toHaveLength(4);
    await expect(compute.waitForNode(node, 'stopped', { pollMs: 1, maxWaitMs: 5 })).rejects.toBeInstanceOf(
      OperationTimeoutError,
    );
  });

  test.each(['deleted', 'paused', 'error', 'unknown'] as const)(
    'refuses to wait for %s, which never comes',
    async (state) => {
      const fake = await fakeDigitalOcean();
      const waiting = computeOf(fake).waitForNode('1', state);
      await expect(waiting).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'until' });
      expect(fake.calls).toEqual([]);
    },
  );

  test.each(['', ' ', '..', '1/../2', '1?x=1', 'web', '%2e', { id: '' }, null, undefined, 12, { id: 12 }])(
    'refuses %j as a node, whatever is done with it',
    async (reference) => {
      const fake = await fakeDigitalOcean();
      const compute = computeOf(fake);
      const node = reference as string;
      for (const call of [
        compute.getNode(node),
        compute.startNode(node),
        compute.stopNode(node),
        compute.rebootNode(node),
        compute.destroyNode(node),
        compute.waitForNode(node, 'running'),
      ]) {
        await expect(call).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'node' });
      }
      expect(fake.calls).toEqual([]);
    },
  );

  test.each([
    ['name', { ...SPEC, name: '' }],
    ['size', { ...SPEC, size: '' }],
    ['image', { ...SPEC, image: { id: '' } }],
    ['location', { ...SPEC, location: '' }],
    ['keyPairs', { ...SPEC, keyPairs: [''] }],
    ['provider.names', { ...SPEC, provider: { names: ['a', 'b'] } as object }],
    ['provider.user_data', { ...SPEC, provider: { user_data: 'x' } as object }],
  ])('refuses a specification with a wrong %s', async (option, spec) => {
    const fake = await fakeDigitalOcean();
    await expect(computeOf(fake).createNode(spec)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(fake.calls).toEqual([]);
  });
});

describe('refusals', () => {
  test('what cannot be processed is a ProviderError with code and reason', async () => {
    const fake = await fakeDigitalOcean();
    const error = await computeOf(fake)
      .createNode({ ...SPEC, name: 'no spaces' })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ProviderError);
    expect(error).toMatchObject({
      code: 'ERR_PROVIDER',
      provider: 'digitalocean',
      status: 422,
      providerCode: 'unprocessable_entity',
      requestId: 'from-header',
      retryable: false,
      message: expect.stringContaining('Name is invalid'),
    });
  });

  test('a wrong token is an InvalidCredentialsError that does not print it', async () => {
    const fake = await fakeDigitalOcean();
    const error = await computeOf(fake, { token: `${TOKEN}-wrong` })
      .listNodes()
      .all()
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidCredentialsError);
    expect(JSON.stringify(error)).not.toContain(TOKEN);
  });

  test('a node that is not there is a NotFoundError', async () => {
    const fake = await fakeDigitalOcean();
    await expect(computeOf(fake).getNode('404')).rejects.toBeInstanceOf(NotFoundError);
  });

  test('too many requests tell when to go on', async () => {
    const fake = await fakeDigitalOcean();
    fake.refuse(429, 'too_many_requests', { 'retry-after': '7' });
    const error = await computeOf(fake)
      .getNode('1')
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({
      retryAfter: 7000,
      retryable: true,
      providerCode: 'too_many_requests',
      requestId: 'req-1',
    });
  });

  test('without Retry-After, the reset of the hourly limit tells it', async () => {
    const fake = await fakeDigitalOcean();
    const reset = Math.floor(Date.now() / 1000) + 600;
    fake.refuse(429, 'too_many_requests', { 'ratelimit-remaining': '0', 'ratelimit-reset': String(reset) });
    const error = await computeOf(fake)
      .getNode('1')
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RateLimitError);
    const { retryAfter } = error as RateLimitError;
    expect(retryAfter).toBeGreaterThan(590_000);
    expect(retryAfter).toBeLessThanOrEqual(600_000);
  });

  test('the rate limit can be read from any answer', async () => {
    const fake = await fakeDigitalOcean();
    const { headers } = await computeOf(fake).connection.request('droplets');
    expect(readRateLimit(headers)).toEqual({ limit: 5000, remaining: 4999, resetsAt: new Date(1_900_000_000_000) });
    expect(readRateLimit({})).toBeNull();
  });

  test('the message names the call but not its secrets', async () => {
    const fake = await fakeDigitalOcean();
    const message = await computeOf(fake).getNode('5').catch(String);
    expect(message).toContain(`GET ${fake.url}/droplets/5`);
    expect(message).not.toContain(TOKEN);
  });

  test('one that says nothing is told by its status', async () => {
    const fake = await fakeDigitalOcean();
    fake.refuse(503, null);
    await expect(computeOf(fake).getNode('1')).rejects.toMatchObject({
      providerCode: null,
      message: expect.stringContaining('503: Service Unavailable'),
    });
  });

  test('an answer without what it should have is malformed', async () => {
    const fake = await fakeDigitalOcean();
    fake.refuse(200, 'nothing');
    await expect(computeOf(fake).getNode('1')).rejects.toBeInstanceOf(MalformedResponseError);
    fake.refuse(200, 'nothing');
    await expect(computeOf(fake).listNodes().all()).rejects.toBeInstanceOf(MalformedResponseError);
  });
});

describe('the classes', () => {
  test('are found by name', async () => {
    expect(await getDriver('compute', 'DigitalOcean')).toBe(DigitalOceanCompute);
    expect(await getDriver('dns', 'digitalocean')).toBe(DigitalOceanDns);
  });

  test('share a connection if they are given one', async () => {
    const fake = await fakeDigitalOcean();
    const connection = new DigitalOceanConnection(optionsFor(fake));
    const compute = new DigitalOceanCompute(connection);
    const dns = new DigitalOceanDns(connection);
    expect(compute.connection).toBe(dns.connection);
    await Promise.all([compute.close(), dns.close()]);
  });

  test('talk to the real API unless told otherwise', () => {
    const { connection } = new DigitalOceanCompute({ token: TOKEN });
    expect(String(connection.baseUrl)).toBe('https://api.digitalocean.com/v2');
    expect(connection.provider).toBe('digitalocean');
  });

  test.each(['', ' ', 'line\nbreak', undefined])('refuse %j as a token', (token) => {
    expect(() => new DigitalOceanCompute({ token: token as string })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option: 'token' }),
    );
  });
});
