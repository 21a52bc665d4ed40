import { type CallOptions, NotFoundError } from '@cloudlane/connection';
import {
  createPager,
  type DnsDriver,
  type DnsFeatures,
  type DnsRecord,
  type DnsZone,
  type ListOptions,
  type Pager,
  type RecordData,
  type RecordSet,
  type RecordSetSpec,
  type Ref,
} from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { connectionOf, type DigitalOceanConnection, type DigitalOceanOptions } from './digitalocean-connection.ts';
import { domainIn, relativeName } from './domain-name.ts';
import { type Domain, type DomainRecord, RECORD_TYPES, toRecord, toRecordRequest, toZone } from './domain-record.ts';
import { listOf } from './paging.ts';
import { objectIn } from './payload.ts';
import { type KnownRecord, planRecordSet, toRecordSet, toRecordSets, typeOfSet } from './record-set.ts';
import { numberIn } from './reference.ts';
import { type Step, takeSteps } from './steps.ts';

/** DigitalOcean's own types behind the DNS contract. */
export interface DigitalOceanDnsTypes {
  readonly zone: Domain;
  readonly record: DomainRecord;
}

/**
 * DNS of DigitalOcean. A zone's id is its domain. DigitalOcean keeps single records; sets are made of them here.
 *
 * Names are relative to the zone, or absolute with a dot at their end. Targets (of CNAME, MX, NS, SRV) are absolute
 * with or without that dot, and are read without it; `@` is the zone.
 */
export class DigitalOceanDns implements DnsDriver<DigitalOceanDnsTypes> {
  readonly provider = 'digitalocean';
  readonly features: DnsFeatures = { model: 'record', recordTypes: RECORD_TYPES };
  readonly connection: DigitalOceanConnection;

  /** @param options a token and everything a connection takes, or a connection to share */
  constructor(options: DigitalOceanOptions | DigitalOceanConnection) {
    this.connection = connectionOf(options);
  }

  listZones(options?: ListOptions): Pager<DnsZone<Domain>> {
    return listOf(this.connection, { path: 'domains', name: 'domains', map: toZone }, options);
  }

  async getZone(zone: Ref, options?: CallOptions): Promise<DnsZone<Domain>> {
    const response = await this.connection.request(pathOf(domainIn(zone)), { ...options });
    return toZone(objectIn<Domain>(response, 'domain'));
  }

  async createZone(name: string, options?: CallOptions): Promise<DnsZone<Domain>> {
    const json = { name: domainIn(name) };
    const response = await this.connection.request('domains', { ...options, method: 'POST', json });
    return toZone(objectIn<Domain>(response, 'domain'));
  }

  /** Its records go with it. @throws NotFoundError if there is no such zone, or no longer */
  async deleteZone(zone: Ref, options?: CallOptions): Promise<void> {
    await this.connection.request(pathOf(domainIn(zone)), { ...options, method: 'DELETE' });
  }

  /** All sets on one page, as a set is known only when every record has been read. */
  listRecordSets(
    zone: Ref,
    options: CallOptions & { readonly name?: string | undefined; readonly type?: string | undefined } = {},
  ): Pager<RecordSet<DomainRecord>> {
    const { name, type, ...callOptions } = options;
    const domain = domainIn(zone);
    const relative = name === undefined ? undefined : relativeName(name, domain);
    return createPager(async () => {
      const records = await this.#records(domain, { name: relative, type }, callOptions);
      return { items: toRecordSets(records), next: null, raw: records.map(({ raw }) => raw) };
    });
  }

  /**
   * Makes the set what is said, in several requests that are not atomic: reads the records that are there, updates
   * those whose TTL alone differs, creates the missing ones, then deletes the rest, so that the name is never without
   * an answer. The one record of a CNAME set is updated in place. A `ttl` of null leaves the TTL as it is; a new set
   * then gets DigitalOcean's default.
   * @throws IncompleteChangeError if it fails in the middle; it tells what was done, and the same call does the rest
   * @throws InvalidOptionError if the set is empty, mixes types, or is of a type that DigitalOcean does not take
   */
  async putRecordSet(zone: Ref, set: RecordSetSpec, options?: CallOptions): Promise<RecordSet<DomainRecord>> {
    const domain = domainIn(zone);
    const name = relativeName(set.name, domain);
    const type = typeOfSet(set);
    checkTtl(set.ttl);
    for (const data of set.data) toRecordRequest(name, set.ttl, data);
    const plan = planRecordSet(await this.#records(domain, { name, type }, options), set, domain);
    const made: KnownRecord[] = [...plan.keep];
    const keep = async (record: Promise<KnownRecord>) => void made.push(await record);
    await takeSteps(`The set ${type} ${name} of ${domain}`, [
      ...plan.update.map(({ id, data }) => ({
        what: `update record ${id}`,
        run: () => keep(this.#write('PUT', domain, id, toRecordRequest(name, plan.ttl, data), options)),
      })),
      ...plan.create.map((data) => ({
        what: `create ${describe(data)}`,
        run: () => keep(this.#write('POST', domain, null, toRecordRequest(name, plan.ttl, data), options)),
      })),
      ...plan.remove.map((record) => this.#removal(domain, record, options)),
    ]);
    return toRecordSet(made);
  }

  /**
   * Deletes the records of the set one by one.
   * @throws IncompleteChangeError if it fails in the middle; the same call does the rest
   */
  async deleteRecordSet(zone: Ref, name: string, type: string, options?: CallOptions): Promise<void> {
    const domain = domainIn(zone);
    const relative = relativeName(name, domain);
    const records = await this.#records(domain, { name: relative, type }, options);
    const steps = records.map((record) => this.#removal(domain, record, options));
    await takeSteps(`The set ${type} ${relative} of ${domain}`, steps);
  }

  listRecords(zone: Ref, options?: ListOptions): Pager<DnsRecord<DomainRecord>> {
    return this.#list(domainIn(zone), undefined, options);
  }

  /** @throws InvalidOptionError if DigitalOcean does not take records of that type */
  async createRecord(
    zone: Ref,
    record: { readonly name: string; readonly ttl?: number | null | undefined; readonly data: RecordData },
    options?: CallOptions,
  ): Promise<DnsRecord<DomainRecord>> {
    const domain = domainIn(zone);
    const { name, ttl = null, data } = record;
    checkTtl(ttl);
    return await this.#write('POST', domain, null, toRecordRequest(relativeName(name, domain), ttl, data), options);
  }

  /** @throws NotFoundError if there is no such record, or no longer */
  async deleteRecord(zone: Ref, record: Ref, options?: CallOptions): Promise<void> {
    const path = recordPath(domainIn(zone), numberIn(record, 'record'));
    await this.connection.request(path, { ...options, method: 'DELETE' });
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  // Names are compared here: what the provider's own filter makes of `@` and wildcards is not ours to rely on.
  async #records(
    domain: string,
    { name, type }: { readonly name?: string | undefined; readonly type?: string | undefined },
    options: CallOptions | undefined,
  ): Promise<KnownRecord[]> {
    const upper = type?.toUpperCase();
    const records = await this.#list(domain, upper, options).all();
    return records.filter(
      (record) =>
        (upper === undefined || record.raw.type === upper) &&
        (name === undefined || record.name.toLowerCase() === name),
    );
  }

  #list(domain: string, type: string | undefined, options: ListOptions | undefined): Pager<KnownRecord> {
    const map = (raw: DomainRecord) => toRecord(raw, domain);
    const path = recordPath(domain);
    return listOf(this.connection, { path, name: 'domain_records', params: { type }, map }, options);
  }

  async #write(
    method: 'POST' | 'PUT',
    domain: string,
    id: string | null,
    json: Readonly<Record<string, unknown>>,
    options: CallOptions | undefined,
  ): Promise<KnownRecord> {
    const response = await this.connection.request(recordPath(domain, id), { ...options, method, json });
    return toRecord(objectIn<DomainRecord>(response, 'domain_record'), domain);
  }

  #removal(domain: string, { id }: KnownRecord, options: CallOptions | undefined): Step {
    const run = async () => {
      try {
        await this.deleteRecord(domain, id, options);
      } catch (error) {
        // Somebody else was faster.
        if (!(error instanceof NotFoundError)) throw error;
      }
    };
    return { what: `delete record ${id}`, run };
  }
}

function pathOf(domain: string): string {
  return `domains/${encodeURIComponent(domain)}`;
}

function recordPath(domain: string, id: string | null = null): string {
  return id === null ? `${pathOf(domain)}/records` : `${pathOf(domain)}/records/${encodeURIComponent(id)}`;
}

function checkTtl(ttl: number | null): void {
  if (ttl !== null && !(Number.isInteger(ttl) && ttl > 0)) {
    throw new InvalidOptionError('ttl', 'must be a whole number of seconds, or null');
  }
}

// Texts stay out of messages: some are secrets.
function describe(data: RecordData): string {
  if (data.type === 'A' || data.type === 'AAAA') return `${data.type} ${data.address}`;
  if (data.type === 'CNAME' || data.type === 'NS') return `${data.type} ${data.target}`;
  return data.type === 'MX' ? `MX ${data.preference} ${data.exchange}` : `${data.type} record`;
}
