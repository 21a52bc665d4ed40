import type { DnsRecord, RecordData, RecordSet, RecordSetSpec } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { readUrl } from '@cloudlane/transport';
import { type DomainRecord, typeOf } from './domain-record.ts';

/** A record as it is there. */
export type KnownRecord = DnsRecord<DomainRecord>;

/** What makes a record set of the records that are there. Each list is in the order of the specification or of the zone. */
export interface RecordSetPlan {
  readonly keep: readonly KnownRecord[];
  readonly update: readonly { readonly id: string; readonly data: RecordData }[];
  readonly create: readonly RecordData[];
  readonly remove: readonly KnownRecord[];
  /** Seconds, for what is written; null: the provider's default. */
  readonly ttl: number | null;
}

/** The sets that single records make, in the order in which they begin. */
export function toRecordSets(records: readonly KnownRecord[]): RecordSet<DomainRecord>[] {
  const groups = new Map<string, KnownRecord[]>();
  for (const record of records) {
    const key = `${record.name.toLowerCase()} ${record.raw.type}`;
    const group = groups.get(key);
    if (group) group.push(record);
    else groups.set(key, [record]);
  }
  return [...groups.values()].map(toRecordSet);
}

/** One set of records that have one name and one type. */
export function toRecordSet(records: readonly KnownRecord[]): RecordSet<DomainRecord> {
  const [first] = records;
  if (first === undefined) throw new Error('a record set has at least one record');
  return {
    name: first.name,
    type: first.raw.type,
    ttl: lowestTtl(records),
    data: records.map(({ data }) => data),
    recordIds: records.map(({ id }) => id),
    raw: records.map(({ raw }) => raw),
  };
}

/** The type of a set to be. @throws InvalidOptionError if it is empty, mixed, or has several records that must be one */
export function typeOfSet({ data }: Pick<RecordSetSpec, 'data'>): string {
  const types = [...new Set(data.map(typeOf))];
  const [type] = types;
  if (type === undefined) throw new InvalidOptionError('data', 'is empty; deleteRecordSet removes a set');
  if (types.length > 1) throw new InvalidOptionError('data', `mixes ${types.join(' and ')}; a set has one type`);
  if (type === 'CNAME' && data.length > 1) throw new InvalidOptionError('data', 'has several targets; a CNAME has one');
  return type;
}

/** Compares the set that is there with the one to be. Without a TTL, the one that is there stays. */
export function planRecordSet(
  known: readonly KnownRecord[],
  { data, ttl: wanted }: Pick<RecordSetSpec, 'data' | 'ttl'>,
  domain: string,
): RecordSetPlan {
  const ttl = wanted ?? lowestTtl(known);
  const left = [...known];
  const keep: KnownRecord[] = [];
  const update: { id: string; data: RecordData }[] = [];
  const create: RecordData[] = [];
  for (const each of unique(data, domain)) {
    const at = left.findIndex((record) => sameAs(record.data, each, domain));
    const [same] = at === -1 ? [] : left.splice(at, 1);
    if (same === undefined) create.push(each);
    else if (ttl === null || same.ttl === ttl) keep.push(same);
    else update.push({ id: same.id, data: each });
  }
  // A name has one CNAME at any time, so that a second cannot be created before the first is gone.
  const [alias] = left;
  const [target] = create;
  if (target?.type === 'CNAME' && alias !== undefined) {
    return { keep, update: [{ id: alias.id, data: target }], create: [], remove: left.slice(1), ttl };
  }
  return { keep, update, create, remove: left, ttl };
}

function unique(data: readonly RecordData[], domain: string): RecordData[] {
  return [...new Map(data.map((each) => [keyOf(each, domain), each])).values()];
}

function sameAs(one: RecordData, other: RecordData, domain: string): boolean {
  return keyOf(one, domain) === keyOf(other, domain);
}

// RFC 4343: names are compared without regard to case. Addresses have several spellings, texts only one.
function keyOf(data: RecordData, domain: string): string {
  switch (data.type) {
    case 'A':
    case 'AAAA':
      return addressKey(data.address);
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return nameKey(data.target, domain);
    case 'MX':
      return `${data.preference} ${nameKey(data.exchange, domain)}`;
    case 'SRV':
      return `${data.priority} ${data.weight} ${data.port} ${nameKey(data.target, domain)}`;
    case 'CAA':
      return `${data.flags} ${data.tag} ${data.tag === 'iodef' ? data.value : nameKey(data.value, domain)}`;
    case 'TXT':
      return data.text;
    case 'other':
      return data.presentation;
  }
}

function nameKey(name: string, domain: string): string {
  return (name === '@' ? domain : name.replace(/(.)\.$/, '$1')).toLowerCase();
}

function addressKey(address: string): string {
  return readUrl(`http://[${address}]`)?.hostname ?? address;
}

function lowestTtl(records: readonly KnownRecord[]): number | null {
  const ttls = records.flatMap(({ ttl }) => ttl ?? []);
  return ttls.length === 0 ? null : Math.min(...ttls);
}
