import { InvalidOptionError } from '@cloudlane/proxy';
import type { ComputeDriver } from './compute.ts';
import type { DnsDriver } from './dns.ts';
import type { StorageDriver } from './storage.ts';

/** The services that have a contract, and their drivers' type. */
export interface ServiceDrivers {
  readonly compute: ComputeDriver;
  readonly storage: StorageDriver;
  readonly dns: DnsDriver;
}

export type Service = keyof ServiceDrivers;

/** A driver's class. Its options are the provider's own; a driver checks them. */
export type DriverClass<S extends Service = Service> = new (options: never) => ServiceDrivers[S];

/** Loads a driver's class when it is first asked for. */
export type LoadDriver<S extends Service = Service> = () => Promise<DriverClass<S>>;

const loaders = new Map<string, LoadDriver>();

/**
 * Registers a driver under a name; names are taken without regard to case.
 * @throws InvalidOptionError if the name is taken by another
 */
export function setDriver<S extends Service>(service: S, provider: string, load: LoadDriver<S>): void {
  const key = keyOf(service, provider);
  const known = loaders.get(key);
  if (known !== undefined && known !== load)
    throw new InvalidOptionError('provider', `${provider} is registered for ${service} already`);
  loaders.set(key, load);
}

/**
 * The class of a registered driver. Importing a driver's package registers it.
 * @throws InvalidOptionError if there is none; its message lists those there are
 */
export async function getDriver<S extends Service>(service: S, provider: string): Promise<DriverClass<S>> {
  const load = loaders.get(keyOf(service, provider));
  if (load === undefined) {
    const known = [...loaders.keys()]
      .filter((key) => key.startsWith(`${service}:`))
      .map((key) => key.slice(service.length + 1));
    throw new InvalidOptionError(
      'provider',
      `${provider} has no ${service} driver here; there are: ${known.join(', ') || 'none (import its package first)'}`,
    );
  }
  return (await load()) as DriverClass<S>;
}

function keyOf(service: Service, provider: string): string {
  return `${service}:${provider.toLowerCase()}`;
}
