import type { CallOptions } from '@cloudlane/connection';
import type { Driver, ListOptions, Ref, Resource } from './driver.ts';
import type { Pager } from './pager.ts';

/** The data of one record, taken apart by its type (RFC 1035 §3.3 and the types' own RFCs). */
export type RecordData =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME' | 'NS' | 'PTR'; readonly target: string }
  | { readonly type: 'MX'; readonly preference: number; readonly exchange: string }
  | { readonly type: 'TXT'; readonly text: string }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: 'CAA'; readonly flags: number; readonly tag: string; readonly value: string }
  | { readonly type: 'other'; readonly recordType: string; readonly presentation: string };

export interface DnsZone<R = unknown> extends Resource<R> {
  /** Seconds; null if the zone has no default. */
  readonly ttl: number | null;
}

/** All records of one name and one type: what DNS itself knows (RFC 2181 §5). */
export interface RecordSet<R = unknown> {
  /** Relative to the zone; `@` is the zone itself. */
  readonly name: string;
  /** Such as `MX`. */
  readonly type: string;
  /** Seconds. */
  readonly ttl: number | null;
  readonly data: readonly RecordData[];
  /** Ids of the single records, where the provider keeps such. */
  readonly recordIds: readonly string[] | null;
  readonly raw: readonly R[];
}

/** A record set to be. */
export type RecordSetSpec = Pick<RecordSet, 'name' | 'ttl' | 'data'>;

/** One record. */
export interface DnsRecord<R = unknown> {
  readonly id: string;
  readonly name: string;
  readonly ttl: number | null;
  readonly data: RecordData;
  readonly raw: R;
}

export interface DnsTypes {
  readonly zone: unknown;
  readonly record: unknown;
}

/** What a DNS driver's provider does, as data. */
export interface DnsFeatures {
  /** `record`: the provider keeps single records, so that a set of several is written in several steps. */
  readonly model: 'rrset' | 'record';
  readonly recordTypes: ReadonlySet<string>;
}

/** DNS zones and their record sets. */
export interface DnsDriver<T extends DnsTypes = DnsTypes> extends Driver {
  readonly features: DnsFeatures;
  listZones(options?: ListOptions): Pager<DnsZone<T['zone']>>;
  /** @throws NotFoundError if there is no such zone */
  getZone(zone: Ref, options?: CallOptions): Promise<DnsZone<T['zone']>>;
  createZone(name: string, options?: CallOptions): Promise<DnsZone<T['zone']>>;
  deleteZone(zone: Ref, options?: CallOptions): Promise<void>;
  listRecordSets(
    zone: Ref,
    options?: CallOptions & { readonly name?: string | undefined; readonly type?: string | undefined },
  ): Pager<RecordSet<T['record']>>;
  /** Makes the set what is said, whatever was there. */
  putRecordSet(zone: Ref, set: RecordSetSpec, options?: CallOptions): Promise<RecordSet<T['record']>>;
  /** Succeeds also if there is no such set. */
  deleteRecordSet(zone: Ref, name: string, type: string, options?: CallOptions): Promise<void>;
  listRecords(zone: Ref, options?: ListOptions): Pager<DnsRecord<T['record']>>;
  createRecord(
    zone: Ref,
    record: { readonly name: string; readonly ttl?: number | null | undefined; readonly data: RecordData },
    options?: CallOptions,
  ): Promise<DnsRecord<T['record']>>;
  deleteRecord(zone: Ref, record: Ref, options?: CallOptions): Promise<void>;
}
