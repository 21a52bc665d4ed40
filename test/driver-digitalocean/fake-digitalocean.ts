// A small DigitalOcean of our own on loopback: keeps droplets, domains and records, and answers as the published
// description of the API says. What it does is not proof of what the real one does.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Droplet, DropletImage, DropletSize, Region } from '@cloudlane/driver-digitalocean';
import { type LabOrigin, type LabTls, startOrigin } from '@cloudlane/testing';

export interface FakeOptions {
  readonly token: string;
  readonly tls?: LabTls;
}

type Row = Record<string, unknown>;

interface FakeAction {
  readonly id: number;
  readonly droplet: number;
  readonly type: string;
  polls: number;
  status: 'in-progress' | 'completed' | 'errored';
}

/** An answer that is not 200 with JSON. */
class Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

interface Call {
  readonly params: URLSearchParams;
  readonly body: Row;
}

export class FakeDigitalOcean implements AsyncDisposable {
  readonly droplets: Map<number, { -readonly [K in keyof Droplet]: Droplet[K] }> = new Map();
  readonly domains: Map<string, Row> = new Map();
  readonly records: Map<string, Row[]> = new Map();
  readonly actions: Map<number, FakeAction> = new Map();
  images: DropletImage[] = [];
  sizes: DropletSize[] = [];
  regions: Region[] = [];
  /** Polls until an action is completed. */
  pollsPerAction = 2;
  /** Actions end as errored. */
  actionsFail = false;
  /** An empty page comes second in every list that has more than one. */
  emptySecondPage = false;
  /** Lists of records are not narrowed by type. */
  ignoresType = false;
  /** Creating a droplet answers with a link to its action. */
  linksActions = true;
  /** Answers to the next requests instead of the right ones; null: the right one. */
  readonly #refusals: (Answer | null)[] = [];
  readonly #token: string;
  #origin: LabOrigin | undefined;
  #ids = 1000;

  constructor(token: string) {
    this.#token = token;
  }

  static async start({ token, tls }: FakeOptions): Promise<FakeDigitalOcean> {
    const fake = new FakeDigitalOcean(token);
    fake.#origin = await startOrigin({
      ...(tls && { tls }),
      handler: (request, response) => fake.#serve(request, response),
    });
    return fake;
  }

  get origin(): LabOrigin {
    if (this.#origin === undefined) throw new Error('not started');
    return this.#origin;
  }

  /** What a driver takes as `baseUrl`. */
  get url(): string {
    return `${this.origin.url}/v2`;
  }

  /** Requests so far, as `GET /droplets?page=1`. */
  get calls(): string[] {
    return this.origin.requests.map(
      ({ method, target }) => `${method} ${target.replace(/^(https?:\/\/[^/]+)?\/v2/, '')}`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.origin.close();
  }

  addDroplet(fields: Partial<Droplet> = {}): Droplet {
    const id = this.#nextId();
    const droplet = { id, name: `web-${id}`, status: 'active', size_slug: 's-1vcpu-1gb', tags: [], ...fields };
    this.droplets.set(droplet.id, droplet);
    return droplet;
  }

  addDomain(name: string, ...records: readonly Row[]): void {
    this.domains.set(name, { name, ttl: 1800, zone_file: null });
    this.records.set(name, []);
    for (const record of records) this.#keepRecord(name, record);
  }

  /** The records of a domain, short: `MX @ mail.example 10`. */
  recordsOf(domain: string): string[] {
    return (this.records.get(domain) ?? []).map(({ type, name, data, priority }) =>
      [type, name, data, priority].filter((part) => part !== null && part !== undefined).join(' '),
    );
  }

  /** Refuses the next request that is not refused yet. @param id the reason; null: without a body */
  refuse(status: number, id: string | null, headers: Readonly<Record<string, string>> = {}): void {
    const body = id === null ? null : { id, message: `refused as ${id}`, request_id: 'req-1' };
    this.#refusals.push(new Answer(status, body, headers));
  }

  /** Lets so many requests through before those that are to be refused. */
  answer(count: number): void {
    for (let left = count; left > 0; left -= 1) this.#refusals.push(null);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body, headers } = await this.#answer(request);
    const rate = { 'ratelimit-limit': '5000', 'ratelimit-remaining': '4999', 'ratelimit-reset': '1900000000' };
    response.writeHead(status, {
      'content-type': 'application/json',
      'x-request-id': 'from-header',
      ...rate,
      ...headers,
    });
    response.end(body === null ? undefined : JSON.stringify(body));
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.headers.authorization !== `Bearer ${this.#token}`) {
      return new Answer(401, { id: 'unauthorized', message: 'Unable to authenticate you' });
    }
    const refusal = this.#refusals.shift();
    if (refusal) return refusal;
    const url = new URL(request.url ?? '/', 'http://fake.example');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    if (text !== '' && request.headers['content-type'] !== 'application/json') return invalid('the body must be JSON');
    const call = { params: url.searchParams, body: text === '' ? {} : JSON.parse(text) };
    for (const [pattern, handle] of this.#routes) {
      const match = pattern.exec(`${request.method} ${url.pathname.replace(/^\/v2/, '')}`);
      if (match === null) continue;
      const result = handle.call(this, call, ...match.slice(1).map(decodeURIComponent));
      return result instanceof Answer ? result : new Answer(200, result);
    }
    return notFound();
  }

  readonly #routes: readonly [RegExp, (this: FakeDigitalOcean, call: Call, ...parts: string[]) => unknown][] = [
    [/^GET \/droplets$/, (call) => this.#page(call, 'droplets', [...this.droplets.values()])],
    [/^POST \/droplets$/, (call) => this.#createDroplet(call)],
    [/^GET \/droplets\/(\d+)$/, (_, id) => this.#find(this.droplets.get(Number(id)), 'droplet')],
    [/^DELETE \/droplets\/(\d+)$/, (_, id) => (this.droplets.delete(Number(id)) ? new Answer(204, null) : notFound())],
    [/^POST \/droplets\/(\d+)\/actions$/, (call, id) => this.#act(Number(id), call)],
    [/^GET \/droplets\/(\d+)\/actions\/(\d+)$/, (_, id, action) => this.#poll(Number(id), Number(action))],
    [/^GET \/sizes$/, (call) => this.#page(call, 'sizes', this.sizes)],
    [/^GET \/regions$/, (call) => this.#page(call, 'regions', this.regions)],
    [/^GET \/images$/, (call) => this.#page(call, 'images', this.#imagesFor(call))],
    [/^GET \/domains$/, (call) => this.#page(call, 'domains', [...this.domains.values()])],
    [/^POST \/domains$/, (call) => this.#createDomain(call)],
    [/^GET \/domains\/([^/]+)$/, (_, name) => this.#find(this.domains.get(String(name)), 'domain')],
    [
      /^DELETE \/domains\/([^/]+)$/,
      (_, name) => (this.domains.delete(String(name)) ? new Answer(204, null) : notFound()),
    ],
    [/^GET \/domains\/([^/]+)\/records$/, (call, name) => this.#listRecords(call, String(name))],
    [/^POST \/domains\/([^/]+)\/records$/, (call, name) => this.#createRecord(call, String(name))],
    [
      /^PUT \/domains\/([^/]+)\/records\/(\d+)$/,
      (call, name, id) => this.#updateRecord(call, String(name), Number(id)),
    ],
    [/^DELETE \/domains\/([^/]+)\/records\/(\d+)$/, (_, name, id) => this.#deleteRecord(String(name), Number(id))],
  ];

  #page({ params }: Call, name: string, items: readonly unknown[]): unknown {
    const size = Number(params.get('per_page') ?? 20);
    const page = Number(params.get('page') ?? 1);
    if (!(size >= 1 && size <= 200)) return invalid('per_page must be from 1 to 200');
    const pages: unknown[][] = [];
    for (let at = 0; at < items.length; at += size) pages.push(items.slice(at, at + size));
    if (this.emptySecondPage && pages.length > 1) pages.splice(1, 0, []);
    // Links name a host that does not exist: whoever follows them as they are gets nowhere.
    const link = (number: number) => `https://elsewhere.example/v2/${name}?page=${number}&per_page=${size}`;
    const links = pages.length > page ? { pages: { next: link(page + 1), last: link(pages.length) } } : {};
    return { [name]: pages[page - 1] ?? [], links, meta: { total: items.length } };
  }

  #find(row: unknown, name: string): unknown {
    return row === undefined ? notFound() : { [name]: row };
  }

  #imagesFor({ params }: Call): DropletImage[] {
    return this.images.filter(
      (image) =>
        (params.get('type') !== 'distribution' || image.type === 'base') &&
        (params.get('private') !== 'true' || image.public !== true),
    );
  }

  #createDroplet({ body }: Call): Answer {
    const { name, size, image, region = 'fra1', ssh_keys = [], tags = [] } = body;
    if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9.-]*$/i.test(name)) return invalid('Name is invalid');
    if (typeof size !== 'string') return invalid('You specified an invalid size');
    if (typeof image !== 'string' && typeof image !== 'number') return invalid('You specified an invalid image');
    if (!Array.isArray(ssh_keys) || !Array.isArray(tags)) return invalid('ssh_keys and tags must be lists');
    const droplet = this.addDroplet({
      name,
      status: 'new',
      size_slug: size,
      image: typeof image === 'number' ? { id: image } : { id: 77, slug: image },
      region: { slug: String(region) },
      networks: { v4: [{ ip_address: '192.0.2.10', type: 'public' }], v6: [] },
      tags: tags.map(String),
    });
    const action = this.#addAction(droplet.id, 'create');
    const actions = [{ id: action.id, rel: 'create', href: `https://elsewhere.example/v2/actions/${action.id}` }];
    return new Answer(202, { droplet: { ...droplet }, links: this.linksActions ? { actions } : {} });
  }

  #act(droplet: number, { body }: Call): Answer {
    const known = this.droplets.get(droplet);
    if (known === undefined) return notFound();
    const { type } = body;
    if (typeof type !== 'string' || !(type in EFFECTS)) return invalid('is not a known action');
    if (type === 'power_on' && known.status === 'active') return invalid('Droplet already has power.');
    return new Answer(201, { action: toRow(this.#addAction(droplet, type)) });
  }

  #addAction(droplet: number, type: string): FakeAction {
    const action: FakeAction = { id: this.#nextId(), droplet, type, polls: 0, status: 'in-progress' };
    this.actions.set(action.id, action);
    return action;
  }

  #poll(droplet: number, id: number): unknown {
    const action = this.actions.get(id);
    if (action === undefined || action.droplet !== droplet) return notFound();
    action.polls += 1;
    if (action.polls >= this.pollsPerAction && action.status === 'in-progress') {
      action.status = this.actionsFail ? 'errored' : 'completed';
      const known = this.droplets.get(droplet);
      const status = EFFECTS[action.type];
      if (known && status !== undefined && !this.actionsFail) known.status = status;
    }
    return { action: toRow(action) };
  }

  #createDomain({ body: { name } }: Call): Answer {
    if (typeof name !== 'string' || !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(name))
      return invalid('Name is not a valid domain');
    if (this.domains.has(name)) return invalid('Name already exists');
    this.addDomain(name, { type: 'NS', name: '@', data: 'ns1.fake.example' });
    return new Answer(201, { domain: { name, ttl: null, zone_file: null } });
  }

  #listRecords(call: Call, domain: string): unknown {
    const records = this.records.get(domain);
    if (records === undefined) return notFound();
    const type = this.ignoresType ? null : call.params.get('type');
    return this.#page(
      call,
      'domain_records',
      type === null ? records : records.filter((record) => record.type === type),
    );
  }

  #createRecord({ body }: Call, domain: string): Answer {
    const records = this.records.get(domain);
    if (records === undefined) return notFound();
    const others = records.filter(({ name }) => name === body.name);
    if (body.type === 'CNAME' && others.length > 0)
      return invalid('CNAME records cannot share a name with other records');
    if (others.some(({ type }) => type === 'CNAME')) return invalid('the name has a CNAME record');
    return problemWith(body) ?? new Answer(201, { domain_record: this.#keepRecord(domain, body) });
  }

  #updateRecord({ body }: Call, domain: string, id: number): unknown {
    const record = this.records.get(domain)?.find((each) => each.id === id);
    if (record === undefined) return notFound();
    const problem = problemWith({ ...record, ...body });
    if (problem) return problem;
    Object.assign(record, body, { data: stored(body) });
    return { domain_record: record };
  }

  #deleteRecord(domain: string, id: number): Answer {
    const records = this.records.get(domain) ?? [];
    const at = records.findIndex((each) => each.id === id);
    if (at === -1) return notFound();
    records.splice(at, 1);
    return new Answer(204, null);
  }

  #keepRecord(domain: string, fields: Row): Row {
    const blank = { priority: null, port: null, ttl: 1800, weight: null, flags: null, tag: null };
    const record = { id: this.#nextId(), ...blank, ...fields, data: stored(fields) };
    this.records.get(domain)?.push(record);
    return record;
  }

  #nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }
}

/** What an action makes of a droplet's status. */
const EFFECTS: Readonly<Record<string, string>> = {
  create: 'active',
  power_on: 'active',
  reboot: 'active',
  power_cycle: 'active',
  shutdown: 'off',
  power_off: 'off',
};

function toRow({ id, status, type, droplet }: FakeAction): Row {
  return { id, status, type, resource_id: droplet, resource_type: 'droplet' };
}

function invalid(message: string): Answer {
  return new Answer(422, { id: 'unprocessable_entity', message });
}

function notFound(): Answer {
  return new Answer(404, { id: 'not_found', message: 'The resource you were accessing could not be found.' });
}

function isTarget({ type, tag, data }: Row): boolean {
  if (type === 'CAA') return tag !== 'iodef' && !String(data).includes(';');
  return ['CNAME', 'MX', 'NS', 'SRV'].includes(String(type));
}

/** Targets come with a dot at their end and are given back without it. */
function stored(fields: Row): string {
  const data = String(fields.data);
  return isTarget(fields) && data.length > 1 ? data.replace(/\.$/, '') : data;
}

function problemWith(fields: Row): Answer | null {
  const { type, name, data, ttl } = fields;
  const needs: Record<string, string[]> = {
    MX: ['priority'],
    SRV: ['priority', 'port', 'weight'],
    CAA: ['flags', 'tag'],
  };
  if (!['A', 'AAAA', 'CAA', 'CNAME', 'MX', 'NS', 'SRV', 'TXT'].includes(String(type)))
    return invalid('Type is not valid');
  if (typeof name !== 'string' || name === '' || name.endsWith('.')) return invalid('Name is not valid');
  if (typeof data !== 'string' || data === '') return invalid('Data is missing');
  if (isTarget(fields) && data !== '@' && !data.endsWith('.')) return invalid('Data needs to end with a dot (.)');
  if (type === 'A' && !/^\d+\.\d+\.\d+\.\d+$/.test(data)) return invalid('Data is not an IPv4 address');
  if (type === 'AAAA' && !data.includes(':')) return invalid('Data is not an IPv6 address');
  if (ttl !== undefined && !(Number(ttl) >= 30)) return invalid('TTL must be at least 30');
  const missing = (needs[String(type)] ?? []).find((field) => fields[field] === undefined || fields[field] === null);
  return missing === undefined ? null : invalid(`${missing} is missing`);
}
