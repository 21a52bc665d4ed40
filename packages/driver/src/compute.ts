import type { CallOptions } from '@cloudlane/connection';
import type { Driver, ListOptions, Ref, Resource } from './driver.ts';
import type { Operation, WaitOptions } from './operation.ts';
import type { Pager } from './pager.ts';

/** States every provider's are mapped to; the provider's own is in `providerState`. */
export const NODE_STATES = [
  'creating',
  'starting',
  'running',
  'rebooting',
  'stopping',
  'stopped',
  'suspended',
  'paused',
  'migrating',
  'resizing',
  'deleting',
  'deleted',
  'error',
  'unknown',
] as const;
export type NodeState = (typeof NODE_STATES)[number];

export interface NodeAddress {
  readonly address: string;
  readonly family: 4 | 6;
  readonly scope: 'public' | 'private';
}

/** A virtual machine. */
export interface ComputeNode<R = unknown> extends Resource<R> {
  readonly state: NodeState;
  readonly providerState: string;
  readonly addresses: readonly NodeAddress[];
  readonly sizeId: string | null;
  readonly imageId: string | null;
  readonly locationId: string | null;
  readonly createdAt: Date | null;
  readonly tags: readonly string[];
}

export interface NodeSize<R = unknown> extends Resource<R> {
  readonly vcpus: number | null;
  readonly memoryMiB: number | null;
  readonly diskGiB: number | null;
  /** Decimal text, so that nothing is rounded. */
  readonly price: { readonly hourly: string; readonly currency: string } | null;
  /** Where it is to be had; null: everywhere. */
  readonly locationIds: readonly string[] | null;
}

export interface NodeImage<R = unknown> extends Resource<R> {
  /** Distribution, as the provider names it. */
  readonly os: string | null;
  readonly kind: 'system' | 'snapshot' | 'backup' | 'custom' | 'app';
  readonly createdAt: Date | null;
}

export interface NodeLocation<R = unknown> extends Resource<R> {
  /** ISO 3166-1 alpha-2, if the provider tells. */
  readonly country: string | null;
  readonly available: boolean;
}

export interface CreateNodeSpec<X = unknown> {
  readonly name: string;
  readonly size: Ref;
  readonly image: Ref;
  readonly location?: Ref | undefined;
  /** Ids or fingerprints of keys that the provider has. */
  readonly keyPairs?: readonly Ref[] | undefined;
  /** For cloud-init. */
  readonly userData?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Fields of the provider's own request, under their own names. */
  readonly provider?: X | undefined;
}

export interface ComputeTypes {
  readonly node: unknown;
  readonly size: unknown;
  readonly image: unknown;
  readonly location: unknown;
  readonly createExtra: unknown;
}

/** Virtual machines. */
export interface ComputeDriver<T extends ComputeTypes = ComputeTypes> extends Driver {
  listNodes(options?: ListOptions): Pager<ComputeNode<T['node']>>;
  /** @throws NotFoundError if there is no such node */
  getNode(node: Ref, options?: CallOptions): Promise<ComputeNode<T['node']>>;
  createNode(spec: CreateNodeSpec<T['createExtra']>, options?: CallOptions): Promise<Operation<ComputeNode<T['node']>>>;
  startNode(node: Ref, options?: CallOptions): Promise<Operation>;
  /** @param options.force false: ask the system to shut down; true: cut the power. `false` by default */
  stopNode(node: Ref, options?: CallOptions & { readonly force?: boolean | undefined }): Promise<Operation>;
  rebootNode(node: Ref, options?: CallOptions & { readonly force?: boolean | undefined }): Promise<Operation>;
  destroyNode(node: Ref, options?: CallOptions): Promise<Operation>;
  /** Polls one node until it is in that state, or as the function says. */
  waitForNode(
    node: Ref,
    until: NodeState | ((node: ComputeNode<T['node']>) => boolean),
    options?: WaitOptions,
  ): Promise<ComputeNode<T['node']>>;
  listSizes(options?: ListOptions): Pager<NodeSize<T['size']>>;
  listImages(options?: ListOptions & { readonly owner?: 'system' | 'self' | undefined }): Pager<NodeImage<T['image']>>;
  listLocations(options?: ListOptions): Pager<NodeLocation<T['location']>>;
}
