import type { ComputeNode, NodeAddress, NodeState } from '@cloudlane/driver';
import { asDate } from './payload.ts';

/** A droplet, as far as it is read here; the answer may hold more. */
export interface Droplet {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly created_at?: string | null;
  readonly size_slug?: string | null;
  readonly image?: { readonly id?: number | null; readonly slug?: string | null } | null;
  readonly region?: { readonly slug?: string | null } | null;
  readonly networks?: { readonly v4?: readonly DropletNetwork[]; readonly v6?: readonly DropletNetwork[] } | null;
  readonly tags?: readonly string[] | null;
}

/** One address of a droplet. */
export interface DropletNetwork {
  readonly ip_address: string;
  readonly type: string;
}

/** The states that a droplet can have. */
export const DROPLET_STATES: ReadonlyMap<string, NodeState> = new Map([
  ['new', 'creating'],
  ['active', 'running'],
  ['off', 'stopped'],
  ['archive', 'suspended'],
]);

export function toNode(droplet: Droplet): ComputeNode<Droplet> {
  const { id, name, status, networks, image, region } = droplet;
  return {
    provider: 'digitalocean',
    id: String(id),
    name,
    state: DROPLET_STATES.get(status) ?? 'unknown',
    providerState: status,
    addresses: [...addresses(4, networks?.v4), ...addresses(6, networks?.v6)],
    sizeId: droplet.size_slug ?? null,
    imageId: image?.id == null ? null : String(image.id),
    locationId: region?.slug ?? null,
    createdAt: asDate(droplet.created_at),
    tags: droplet.tags ?? [],
    raw: droplet,
  };
}

function addresses(family: 4 | 6, networks: readonly DropletNetwork[] | undefined): NodeAddress[] {
  return (networks ?? []).map(({ ip_address, type }) => ({
    address: ip_address,
    family,
    scope: type === 'private' ? 'private' : 'public',
  }));
}
