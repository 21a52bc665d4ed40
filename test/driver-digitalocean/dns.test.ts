import { NotFoundError, ProviderError } from '@cloudlane/connection';
import type { RecordData } from '@cloudlane/driver';
import { IncompleteChangeError } from '@cloudlane/driver-digitalocean';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { dnsOf, fakeDigitalOcean } from './lab.ts';

const ZONE = 'example.com';

function address(...addresses: readonly string[]): RecordData[] {
  return addresses.map((each) => ({ type: 'A', address: each }));
}

function bodies(fake: Awaited<ReturnType<typeof fakeDigitalOcean>>): unknown[] {
  return fake.origin.requests.flatMap(({ body }) => (body.length === 0 ? [] : [JSON.parse(String(body))]));
}

/** The calls that change something, without the numbers. */
function changes(fake: Awaited<ReturnType<typeof fakeDigitalOcean>>): string[] {
  return fake.calls.filter((call) => !call.startsWith('GET')).map((call) => call.replace(/\/\d+$/, '/:id'));
}

describe('zones', () => {
  test('are created, listed, read and deleted', async () => {
    const fake = await fakeDigitalOcean();
    const dns = dnsOf(fake);
    expect(await dns.createZone('Example.com.')).toMatchObject({ id: ZONE, name: ZONE, ttl: null });
    expect(await dns.listZones().all()).toMatchObject([{ id: ZONE, ttl: 1800, provider: 'digitalocean' }]);
    expect(await dns.getZone({ id: ZONE })).toMatchObject({ id: ZONE, raw: { name: ZONE } });
    await dns.deleteZone(ZONE);
    await expect(dns.getZone(ZONE)).rejects.toBeInstanceOf(NotFoundError);
    await expect(dns.deleteZone(ZONE)).rejects.toBeInstanceOf(NotFoundError);
  });

  test('a name that is no domain is refused by the provider', async () => {
    const fake = await fakeDigitalOcean();
    await expect(dnsOf(fake).createZone('nodots')).rejects.toMatchObject({ status: 422 });
  });

  test.each([
    ['a/../../droplets', 'GET /domains/a%2F..%2F..%2Fdroplets'],
    ['a?b=c#d', 'GET /domains/a%3Fb%3Dc%23d'],
    ['%2e%2e', 'GET /domains/%252e%252e'],
  ])('%j stays one part of the path', async (zone, call) => {
    const fake = await fakeDigitalOcean();
    await expect(dnsOf(fake).getZone(zone)).rejects.toBeInstanceOf(NotFoundError);
    expect(fake.calls).toEqual([call]);
  });

  test.each(['', '.', '..', '...', ' ', 'a\nb', '\ud800', null, 7, {}])('refuses %j as a zone', async (reference) => {
    const fake = await fakeDigitalOcean();
    const dns = dnsOf(fake);
    const zone = reference as string;
    const wrong = { code: 'ERR_INVALID_OPTION', option: 'zone' };
    await expect(dns.getZone(zone)).rejects.toMatchObject(wrong);
    await expect(dns.deleteZone(zone)).rejects.toMatchObject(wrong);
    await expect(dns.deleteRecord(zone, '1')).rejects.toMatchObject(wrong);
    await expect(dns.deleteRecordSet(zone, '@', 'A')).rejects.toMatchObject(wrong);
    expect(() => dns.listRecords(zone)).toThrow(expect.objectContaining(wrong));
    expect(() => dns.listRecordSets(zone)).toThrow(expect.objectContaining(wrong));
    expect(fake.calls).toEqual([]);
  });
});

describe('records', () => {
  const ALL: readonly [RecordData, Record<string, unknown>][] = [
    [{ type: 'A', address: '192.0.2.1' }, { data: '192.0.2.1' }],
    [{ type: 'AAAA', address: '2001:db8::1' }, { data: '2001:db8::1' }],
    [{ type: 'CNAME', target: 'www.example.net' }, { data: 'www.example.net.' }],
    [{ type: 'NS', target: 'ns1.example.net' }, { data: 'ns1.example.net.' }],
    [
      { type: 'MX', preference: 10, exchange: 'mail.example.net' },
      { data: 'mail.example.net.', priority: 10 },
    ],
    [{ type: 'TXT', text: 'v=spf1 "a"; -all.' }, { data: 'v=spf1 "a"; -all.' }],
    [
      { type: 'SRV', priority: 1, weight: 0, port: 5060, target: 'sip.example.net' },
      { data: 'sip.example.net.', priority: 1, weight: 0, port: 5060 },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'issue', value: 'ca.example.net' },
      { data: 'ca.example.net.', flags: 0, tag: 'issue' },
    ],
    [
      { type: 'CAA', flags: 128, tag: 'iodef', value: 'mailto:hostmaster@example.com' },
      { data: 'mailto:hostmaster@example.com', flags: 128, tag: 'iodef' },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'iodef', value: 'report.example.com' },
      { data: 'report.example.com', flags: 0, tag: 'iodef' },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'issuemail', value: 'ca.example.net; policy=ev' },
      { data: 'ca.example.net; policy=ev', flags: 0, tag: 'issuemail' },
    ],
    [
      { type: 'SRV', priority: 0, weight: 0, port: 0, target: '.' },
      { data: '.', priority: 0, weight: 0, port: 0 },
    ],
  ];

  test.each(ALL)('%j goes out as the provider wants it and comes back as it was', async (data, fields) => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const dns = dnsOf(fake);
    const made = await dns.createRecord(ZONE, { name: 'www', ttl: 300, data });
    expect(bodies(fake)).toEqual([{ type: data.type, name: 'www', ttl: 300, ...fields }]);
    expect(made).toMatchObject({ name: 'www', ttl: 300, data });
    expect(await dns.listRecords(ZONE).all()).toEqual([made]);
    await dns.deleteRecord(ZONE, made);
    expect(fake.recordsOf(ZONE)).toEqual([]);
    await expect(dns.deleteRecord(ZONE, made)).rejects.toBeInstanceOf(NotFoundError);
  });

  test('a target may have its dot, and @ is the zone', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const dns = dnsOf(fake);
    const dotted = await dns.createRecord(ZONE, { name: 'a', data: { type: 'CNAME', target: 'www.example.net.' } });
    const apex = await dns.createRecord(ZONE, { name: 'b', data: { type: 'CNAME', target: '@' } });
    expect(dotted.data).toEqual({ type: 'CNAME', target: 'www.example.net' });
    expect(apex.data).toEqual({ type: 'CNAME', target: ZONE });
    expect(bodies(fake)).toMatchObject([{ data: 'www.example.net.' }, { data: '@' }]);
  });

  test('what the provider does not take is refused here', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const dns = dnsOf(fake);
    for (const data of [
      { type: 'PTR', target: 'x.example' },
      { type: 'other', recordType: 'TLSA', presentation: '3 1 1 00' },
    ] as const) {
      const wrong = { code: 'ERR_INVALID_OPTION', option: 'data' };
      await expect(dns.createRecord(ZONE, { name: 'www', data })).rejects.toMatchObject(wrong);
      await expect(dns.putRecordSet(ZONE, { name: 'www', ttl: null, data: [data] })).rejects.toMatchObject(wrong);
    }
    await expect(dns.createRecord(ZONE, { name: 'www', data: { type: 'CNAME', target: '' } })).rejects.toMatchObject({
      option: 'data.target',
    });
    await expect(
      dns.createRecord(ZONE, { name: 'www', ttl: 0.5, data: address('192.0.2.1')[0] as RecordData }),
    ).rejects.toMatchObject({ option: 'ttl' });
    const set = { name: 'www', ttl: -1, data: address('192.0.2.1') };
    await expect(dns.putRecordSet(ZONE, set)).rejects.toMatchObject({ option: 'ttl' });
    expect(fake.calls).toEqual([]);
  });

  test('what the provider finds wrong is told with its reason', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const creating = dnsOf(fake).createRecord(ZONE, { name: 'www', ttl: 1, data: { type: 'A', address: '192.0.2.1' } });
    await expect(creating).rejects.toBeInstanceOf(ProviderError);
    await expect(creating).rejects.toMatchObject({ status: 422, message: expect.stringContaining('TTL must be') });
  });

  test.each([
    ['WWW', 'www'],
    ['www.example.com.', 'www'],
    ['example.com.', '@'],
    ['@', '@'],
    ['*', '*'],
    ['*.dev', '*.dev'],
  ])('the name %j is %j to the provider', async (name, sent) => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    await dnsOf(fake).createRecord(ZONE, { name, data: { type: 'A', address: '192.0.2.1' } });
    expect(bodies(fake)).toMatchObject([{ name: sent }]);
  });

  test.each(['', ' ', 'www.example.com', 'example.com', 'www.example.net.'])('refuses %j as a name', async (name) => {
    const fake = await fakeDigitalOcean();
    const dns = dnsOf(fake);
    const wrong = { code: 'ERR_INVALID_OPTION', option: 'name' };
    const data = address('192.0.2.1');
    await expect(dns.createRecord(ZONE, { name, data: data[0] as RecordData })).rejects.toMatchObject(wrong);
    await expect(dns.putRecordSet(ZONE, { name, ttl: null, data })).rejects.toMatchObject(wrong);
    await expect(dns.deleteRecordSet(ZONE, name, 'A')).rejects.toMatchObject(wrong);
    expect(fake.calls).toEqual([]);
  });

  test.each(['', 'x', '..', '1/2', null])('refuses %j as a record', async (record) => {
    const fake = await fakeDigitalOcean();
    const deleting = dnsOf(fake).deleteRecord(ZONE, record as string);
    await expect(deleting).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'record' });
    expect(fake.calls).toEqual([]);
  });

  test('are read page by page', async () => {
    const fake = await fakeDigitalOcean();
    fake.emptySecondPage = true;
    fake.addDomain(ZONE, ...[1, 2, 3, 4].map((last) => ({ type: 'A', name: `n${last}`, data: `192.0.2.${last}` })));
    const records = await dnsOf(fake).listRecords(ZONE, { pageSize: 2 }).all();
    expect(records.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3', 'n4']);
    expect(fake.calls).toHaveLength(3);
  });
});

describe('record sets', () => {
  test('are made of all pages of records', async () => {
    const fake = await fakeDigitalOcean();
    fake.emptySecondPage = true;
    const filler = Array.from({ length: 250 }, (_, index) => ({ type: 'TXT', name: `t${index}`, data: 'x' }));
    const at = (name: string, data: string, ttl = 1800) => ({ type: 'A', name, data, ttl });
    fake.addDomain(
      ZONE,
      { type: 'SOA', name: '@', data: '1800' },
      at('www', '192.0.2.1', 600),
      { type: 'MX', name: '@', data: 'mail.example.net', priority: 10 },
      ...filler,
      at('WWW', '192.0.2.2', 300),
      { type: 'AAAA', name: 'www', data: '2001:db8::1' },
    );
    const pages = [];
    for await (const page of dnsOf(fake).listRecordSets(ZONE).pages()) pages.push(page);
    const [page] = pages;
    expect(pages).toHaveLength(1);
    expect(fake.calls).toHaveLength(3);
    expect(page).toMatchObject({ next: null });
    const sets = page?.items.filter(({ type }) => type !== 'TXT') ?? [];
    expect(page?.items).toHaveLength(254);
    expect(sets).toMatchObject([
      { name: '@', type: 'SOA', data: [{ type: 'other', recordType: 'SOA', presentation: '1800' }] },
      { name: 'www', type: 'A', ttl: 300, data: address('192.0.2.1', '192.0.2.2') },
      { name: '@', type: 'MX', ttl: 1800, data: [{ type: 'MX', preference: 10, exchange: 'mail.example.net' }] },
      { name: 'www', type: 'AAAA' },
    ]);
    expect(sets[1]?.recordIds).toHaveLength(2);
    expect(sets[1]?.raw).toMatchObject([{ data: '192.0.2.1' }, { data: '192.0.2.2' }]);
  });

  test('are chosen by name and type', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(
      ZONE,
      { type: 'A', name: 'www', data: '192.0.2.1' },
      { type: 'A', name: 'other', data: '192.0.2.2' },
      { type: 'TXT', name: 'WWW', data: 'x' },
    );
    const dns = dnsOf(fake);
    const keys = async (options: { name?: string; type?: string }) =>
      (await dns.listRecordSets(ZONE, options).all()).map(({ name, type }) => `${name} ${type}`);
    expect(await keys({ name: 'www' })).toEqual(['www A', 'WWW TXT']);
    expect(await keys({ type: 'a' })).toEqual(['www A', 'other A']);
    expect(await keys({ name: 'www.example.com.', type: 'TXT' })).toEqual(['WWW TXT']);
    // The provider leaves the other types out; the names are compared here.
    expect(fake.calls.at(-1)).toBe('GET /domains/example.com/records?type=TXT&page=1&per_page=200');
    fake.ignoresType = true;
    expect(await keys({ type: 'a' })).toEqual(['www A', 'other A']);
  });

  test('a new set is created record by record', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const set = await dnsOf(fake).putRecordSet(ZONE, {
      name: '@',
      ttl: 300,
      data: address('192.0.2.1', '192.0.2.2', '192.0.2.1'),
    });
    expect(set).toMatchObject({ name: '@', type: 'A', ttl: 300, data: address('192.0.2.1', '192.0.2.2') });
    expect(set.recordIds).toHaveLength(2);
    expect(fake.recordsOf(ZONE)).toEqual(['A @ 192.0.2.1', 'A @ 192.0.2.2']);
  });

  test('the same set again changes nothing, however it is written', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(
      ZONE,
      { type: 'AAAA', name: 'www', data: '2001:db8::1' },
      { type: 'MX', name: '@', data: 'mail.example.com', priority: 10 },
      { type: 'CAA', name: '@', data: 'ca.example.net', flags: 0, tag: 'issue' },
      { type: 'CNAME', name: 'alias', data: '@' },
    );
    const dns = dnsOf(fake);
    await dns.putRecordSet(ZONE, { name: 'WWW', ttl: 1800, data: [{ type: 'AAAA', address: '2001:0DB8:0:0::0001' }] });
    await dns.putRecordSet(ZONE, {
      name: '@',
      ttl: null,
      data: [{ exchange: 'MAIL.example.com.', preference: 10, type: 'MX' }],
    });
    await dns.putRecordSet(ZONE, {
      name: '@',
      ttl: null,
      data: [{ type: 'CAA', flags: 0, tag: 'issue', value: 'ca.example.net.' }],
    });
    await dns.putRecordSet(ZONE, { name: 'alias', ttl: null, data: [{ type: 'CNAME', target: 'example.com' }] });
    await dns.putRecordSet(ZONE, { name: 'alias', ttl: null, data: [{ type: 'CNAME', target: '@' }] });
    expect(changes(fake)).toEqual([]);
  });

  test.each([
    [
      { type: 'MX', preference: 10, exchange: 'a.example' },
      { type: 'MX', preference: 20, exchange: 'a.example' },
    ],
    [
      { type: 'TXT', text: 'a' },
      { type: 'TXT', text: 'A' },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'issue', value: 'a.example' },
      { type: 'CAA', flags: 128, tag: 'issue', value: 'a.example' },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'issue', value: 'a.example' },
      { type: 'CAA', flags: 0, tag: 'issuewild', value: 'a.example' },
    ],
    [
      { type: 'CAA', flags: 0, tag: 'iodef', value: 'mailto:a@a.example' },
      { type: 'CAA', flags: 0, tag: 'iodef', value: 'mailto:A@a.example' },
    ],
    [
      { type: 'SRV', priority: 1, weight: 2, port: 3, target: 'a.example' },
      { type: 'SRV', priority: 1, weight: 2, port: 4, target: 'a.example' },
    ],
  ] as const)('%j and %j are two records', async (one, other) => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const dns = dnsOf(fake);
    const data = [one, other];
    expect(await dns.putRecordSet(ZONE, { name: 'x', ttl: null, data })).toMatchObject({ data });
    await dns.putRecordSet(ZONE, { name: 'x', ttl: null, data: [other] });
    expect(await dns.listRecordSets(ZONE).all()).toMatchObject([{ data: [other] }]);
  });

  test('what is new is created before what is old is deleted', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(
      ZONE,
      ...['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((data) => ({ type: 'A', name: 'www', data, ttl: 600 })),
      { type: 'A', name: 'other', data: '192.0.2.1' },
      { type: 'AAAA', name: 'www', data: '2001:db8::1' },
    );
    const set = await dnsOf(fake).putRecordSet(ZONE, {
      name: 'www',
      ttl: null,
      data: address('192.0.2.2', '192.0.2.9'),
    });
    expect(changes(fake)).toEqual([
      'POST /domains/example.com/records',
      'DELETE /domains/example.com/records/:id',
      'DELETE /domains/example.com/records/:id',
    ]);
    expect(set).toMatchObject({ ttl: 600, data: address('192.0.2.2', '192.0.2.9') });
    expect(bodies(fake)).toEqual([{ type: 'A', name: 'www', ttl: 600, data: '192.0.2.9' }]);
    expect(fake.recordsOf(ZONE)).toEqual([
      'A www 192.0.2.2',
      'A other 192.0.2.1',
      'AAAA www 2001:db8::1',
      'A www 192.0.2.9',
    ]);
  });

  test('a record of which the TTL alone differs is updated in place', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE, { type: 'MX', name: '@', data: 'mail.example.net', priority: 10 });
    const data: RecordData[] = [{ type: 'MX', preference: 10, exchange: 'mail.example.net' }];
    const set = await dnsOf(fake).putRecordSet(ZONE, { name: '@', ttl: 60, data });
    expect(changes(fake)).toEqual(['PUT /domains/example.com/records/:id']);
    expect(set).toMatchObject({ ttl: 60, data });
    // The whole record: with a TTL alone, the provider misses the dot of the target that it keeps without.
    expect(bodies(fake)).toEqual([{ type: 'MX', name: '@', ttl: 60, data: 'mail.example.net.', priority: 10 }]);
  });

  test('the one record of a CNAME set is updated in place', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE, { type: 'CNAME', name: 'www', data: 'old.example.net', ttl: 600 });
    const set = await dnsOf(fake).putRecordSet(ZONE, {
      name: 'www',
      ttl: null,
      data: [{ type: 'CNAME', target: 'new.example.net' }],
    });
    expect(changes(fake)).toEqual(['PUT /domains/example.com/records/:id']);
    expect(set).toMatchObject({ ttl: 600, data: [{ type: 'CNAME', target: 'new.example.net' }] });
    expect(fake.recordsOf(ZONE)).toEqual(['CNAME www new.example.net']);
  });

  test.each([
    ['is empty', []],
    ['mixes A and AAAA', [...address('192.0.2.1'), { type: 'AAAA', address: '::1' }]],
    [
      'has several targets',
      [
        { type: 'CNAME', target: 'a.example' },
        { type: 'CNAME', target: 'b.example' },
      ],
    ],
  ] as const)('a set that %s is refused', async (reason, data) => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    const putting = dnsOf(fake).putRecordSet(ZONE, { name: 'www', ttl: null, data });
    await expect(putting).rejects.toMatchObject({ option: 'data', reason: expect.stringContaining(reason) });
    expect(fake.calls).toEqual([]);
  });

  test('a failure in the middle tells what was done, and the same call does the rest', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE, { type: 'A', name: 'www', data: '192.0.2.1' });
    const id = fake.records.get(ZONE)?.[0]?.id;
    const dns = dnsOf(fake);
    const spec = { name: 'www', ttl: null, data: address('192.0.2.2', '192.0.2.3') };
    fake.answer(2);
    fake.refuse(503, 'service_unavailable');
    const error = await dns.putRecordSet(ZONE, spec).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(IncompleteChangeError);
    expect(error).toMatchObject({
      code: 'ERR_INCOMPLETE_CHANGE',
      done: ['create A 192.0.2.2'],
      left: ['create A 192.0.2.3', `delete record ${id}`],
      cause: { code: 'ERR_SERVICE_UNAVAILABLE' },
      message: expect.stringContaining('The set A www of example.com was changed in part'),
    });
    expect(fake.recordsOf(ZONE)).toEqual(['A www 192.0.2.1', 'A www 192.0.2.2']);
    await dns.putRecordSet(ZONE, spec);
    expect(fake.recordsOf(ZONE)).toEqual(['A www 192.0.2.2', 'A www 192.0.2.3']);
  });

  test('a failure before anything was done is what it is', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE);
    fake.answer(1);
    fake.refuse(429, 'too_many_requests');
    const putting = dnsOf(fake).putRecordSet(ZONE, { name: 'www', ttl: null, data: address('192.0.2.2', '192.0.2.3') });
    await expect(putting).rejects.toMatchObject({ code: 'ERR_RATE_LIMIT' });
  });

  test('a text stays out of the message', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE, { type: 'TXT', name: 'x', data: 'old' });
    fake.answer(2);
    fake.refuse(500, 'server_error');
    const text = SECRETS.originPassword;
    const error = await dnsOf(fake)
      .putRecordSet(ZONE, { name: 'x', ttl: null, data: [{ type: 'TXT', text }] })
      .catch(String);
    expect(error).toContain('create TXT record');
    expect(error).not.toContain(text);
  });

  test('deleting takes the whole set and nothing else, and may be done twice', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(
      ZONE,
      { type: 'A', name: 'www', data: '192.0.2.1' },
      { type: 'A', name: 'www', data: '192.0.2.2' },
      { type: 'AAAA', name: 'www', data: '2001:db8::1' },
      { type: 'A', name: '@', data: '192.0.2.3' },
    );
    const dns = dnsOf(fake);
    await dns.deleteRecordSet(ZONE, 'www', 'a');
    await dns.deleteRecordSet(ZONE, 'www', 'A');
    expect(fake.recordsOf(ZONE)).toEqual(['AAAA www 2001:db8::1', 'A @ 192.0.2.3']);
    expect(changes(fake)).toHaveLength(2);
  });

  test('a record that somebody else deletes meanwhile is no failure', async () => {
    const fake = await fakeDigitalOcean();
    fake.addDomain(ZONE, { type: 'A', name: 'www', data: '192.0.2.1' }, { type: 'A', name: 'www', data: '192.0.2.2' });
    fake.answer(1);
    fake.refuse(404, 'not_found');
    await dnsOf(fake).deleteRecordSet(ZONE, 'www', 'A');
    expect(fake.recordsOf(ZONE)).toEqual(['A www 192.0.2.1']);
  });
});
