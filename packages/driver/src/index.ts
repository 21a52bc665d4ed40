export {
  type ComputeDriver,
  type ComputeNode,
  type ComputeTypes,
  type CreateNodeSpec,
  NODE_STATES,
  type NodeAddress,
  type NodeImage,
  type NodeLocation,
  type NodeSize,
  type NodeState,
} from './compute.ts';
export type {
  DnsDriver,
  DnsFeatures,
  DnsRecord,
  DnsTypes,
  DnsZone,
  RecordData,
  RecordSet,
  RecordSetSpec,
} from './dns.ts';
export { type Driver, idOf, type ListOptions, type Ref, type Resource } from './driver.ts';
export {
  finishedOperation,
  type Operation,
  OperationFailedError,
  type OperationState,
  type OperationStatus,
  OperationTimeoutError,
  runningOperation,
  type WaitOptions,
} from './operation.ts';
export { createPager, type FetchPage, type Page, type PageOptions, type Pager, RepeatedCursorError } from './pager.ts';
export {
  type DriverClass,
  getDriver,
  type LoadDriver,
  type Service,
  type ServiceDrivers,
  setDriver,
} from './registry.ts';
export type {
  ByteRange,
  GetOptions,
  ObjectBody,
  ObjectContent,
  PutOptions,
  StorageDriver,
  StorageFeatures,
  StorageTypes,
  StoredContainer,
  StoredObject,
} from './storage.ts';
