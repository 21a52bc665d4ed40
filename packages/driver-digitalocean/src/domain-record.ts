import type { DnsRecord, DnsZone, RecordData } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { fromTarget, toTarget } from './domain-name.ts';

/** A domain, as far as it is read here. */
export interface Domain {
  readonly name: string;
  readonly ttl?: number | null;
  /** The whole zone in the format of RFC 1035 §5; null just after the domain was made. */
  readonly zone_file?: string | null;
}

/** A single record. What its type has no use for is null. */
export interface DomainRecord {
  readonly id: number;
  readonly type: string;
  readonly name: string;
  readonly data: string;
  readonly ttl?: number | null;
  readonly priority?: number | null;
  readonly port?: number | null;
  readonly weight?: number | null;
  readonly flags?: number | null;
  readonly tag?: string | null;
}

/** The types that can be written. SOA is read, as `other`. */
export const RECORD_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'CAA', 'CNAME', 'MX', 'NS', 'SRV', 'TXT']);

export function toZone(domain: Domain): DnsZone<Domain> {
  const { name, ttl } = domain;
  return { provider: 'digitalocean', id: name, name, ttl: ttl ?? null, raw: domain };
}

export function toRecord(raw: DomainRecord, domain: string): DnsRecord<DomainRecord> {
  return { id: String(raw.id), name: raw.name, ttl: raw.ttl ?? null, data: toData(raw, domain), raw };
}

/** The type of record data as DNS calls it. */
export function typeOf(data: RecordData): string {
  return data.type === 'other' ? data.recordType.toUpperCase() : data.type;
}

/** The body of a request for a record. @throws InvalidOptionError if DigitalOcean has no such records */
export function toRecordRequest(name: string, ttl: number | null, data: RecordData): Readonly<Record<string, unknown>> {
  return { type: typeOf(data), name, ttl: ttl ?? undefined, ...toFields(data) };
}

function toData(record: DomainRecord, domain: string): RecordData {
  const { type, data } = record;
  switch (type) {
    case 'A':
    case 'AAAA':
      return { type, address: data };
    case 'CNAME':
    case 'NS':
      return { type, target: fromTarget(data, domain) };
    case 'MX':
      return { type, preference: record.priority ?? 0, exchange: fromTarget(data, domain) };
    case 'TXT':
      return { type, text: data };
    case 'SRV': {
      const { priority, weight, port } = record;
      return { type, priority: priority ?? 0, weight: weight ?? 0, port: port ?? 0, target: fromTarget(data, domain) };
    }
    case 'CAA': {
      const tag = record.tag ?? '';
      return { type, flags: record.flags ?? 0, tag, value: namesIssuer(tag, data) ? fromTarget(data, domain) : data };
    }
    default:
      return { type: 'other', recordType: type, presentation: data };
  }
}

function toFields(data: RecordData): Readonly<Record<string, unknown>> {
  switch (data.type) {
    case 'A':
    case 'AAAA':
      return { data: data.address };
    case 'CNAME':
    case 'NS':
      return { data: toTarget(data.target, 'data.target') };
    case 'MX':
      return { data: toTarget(data.exchange, 'data.exchange'), priority: data.preference };
    case 'TXT':
      return { data: data.text };
    case 'SRV': {
      const { priority, weight, port, target } = data;
      return { data: toTarget(target, 'data.target'), priority, weight, port };
    }
    case 'CAA': {
      const { flags, tag, value } = data;
      return { data: namesIssuer(tag, value) ? toTarget(value, 'data.value') : value, flags, tag };
    }
    default: {
      const types = [...RECORD_TYPES].join(', ');
      throw new InvalidOptionError('data', `has the type ${typeOf(data)}; DigitalOcean takes ${types}`);
    }
  }
}

// DigitalOcean takes the issuer's name for a target, with the dot. An address to report to, or parameters, are none.
function namesIssuer(tag: string, value: string): boolean {
  return tag !== 'iodef' && /^[\w-]+(\.[\w-]+)*\.?$/.test(value);
}
