import type { CreateNodeSpec } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { idIn, numberOrNameIn } from './reference.ts';

/** What a droplet can be created with beyond the contract: `CreateNodeSpec.provider`. */
export interface DropletExtra {
  readonly backups?: boolean;
  readonly backup_policy?: {
    readonly plan?: 'daily' | 'weekly';
    readonly weekday?: 'SUN' | 'MON' | 'TUE' | 'WED' | 'THU' | 'FRI' | 'SAT';
    readonly hour?: number;
  };
  readonly ipv6?: boolean;
  readonly monitoring?: boolean;
  readonly vpc_uuid?: string;
  /** Ids of block storage volumes. */
  readonly volumes?: readonly string[];
  readonly with_droplet_agent?: boolean;
}

/** Fields that the specification has words of its own for; `names` would make several droplets. */
const OURS = ['name', 'names', 'size', 'image', 'region', 'ssh_keys', 'user_data', 'tags'];

/** The body of a request for a droplet. @throws InvalidOptionError if the specification cannot be used */
export function toDropletRequest(spec: CreateNodeSpec<DropletExtra>): Readonly<Record<string, unknown>> {
  const { name, size, image, location, keyPairs, userData, tags, provider } = spec;
  if (typeof name !== 'string' || name === '') throw new InvalidOptionError('name', 'is missing');
  const twice = OURS.find((field) => provider !== undefined && Object.hasOwn(provider, field));
  if (twice !== undefined)
    throw new InvalidOptionError(`provider.${twice}`, 'is not for here; write it beside `provider`');
  return {
    ...provider,
    name,
    size: idIn(size, 'size'),
    image: numberOrNameIn(image, 'image'),
    region: location === undefined ? undefined : idIn(location, 'location'),
    ssh_keys: keyPairs?.map((key) => numberOrNameIn(key, 'keyPairs')),
    user_data: userData,
    tags,
  };
}
