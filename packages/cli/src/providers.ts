import type { ConnectionOptions } from '@cloudlane/connection';
import {
  type ComputeDriver,
  getDriver,
  type Service,
  type ServiceDrivers,
  type StorageDriver,
} from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { Terminal } from './terminal.ts';

type Env = Terminal['env'];

/** How a provider's driver is made from the variables that its own tools read. */
interface ProviderSetup {
  readonly service: Service;
  /** Importing it registers the driver. */
  load(): Promise<unknown>;
  options(env: Env): Record<string, unknown>;
}

const PROVIDERS: Readonly<Record<string, ProviderSetup>> = {
  s3: {
    service: 'storage',
    load: () => import('@cloudlane/driver-aws'),
    // The names of the AWS SDKs and tools reference, "environment variables".
    options: (env) => ({
      accessKeyId: required(env, 'AWS_ACCESS_KEY_ID'),
      secretAccessKey: required(env, 'AWS_SECRET_ACCESS_KEY'),
      sessionToken: optional(env, 'AWS_SESSION_TOKEN'),
      region: optional(env, 'AWS_REGION', 'AWS_DEFAULT_REGION'),
      endpoint: optional(env, 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'),
    }),
  },
  digitalocean: {
    service: 'compute',
    load: () => import('@cloudlane/driver-digitalocean'),
    options: (env) => ({
      token: required(env, 'DIGITALOCEAN_ACCESS_TOKEN', 'DIGITALOCEAN_TOKEN'),
      baseUrl: optional(env, 'DIGITALOCEAN_API_URL'),
    }),
  },
};

/** The storage driver of a provider, from the environment's credentials. */
export function openStorage(provider: string, env: Env, options: ConnectionOptions): Promise<StorageDriver> {
  return open('storage', provider, env, options);
}

/** The compute driver of a provider, from the environment's credentials. */
export function openCompute(provider: string, env: Env, options: ConnectionOptions): Promise<ComputeDriver> {
  return open('compute', provider, env, options);
}

/** Names of the providers that have a service, for `--help`. */
export function providersOf(service: Service): string[] {
  return Object.keys(PROVIDERS).filter((name) => PROVIDERS[name]?.service === service);
}

async function open<S extends Service>(
  service: S,
  provider: string,
  env: Env,
  options: ConnectionOptions,
): Promise<ServiceDrivers[S]> {
  const setup = PROVIDERS[provider.toLowerCase()];
  if (setup?.service !== service) {
    throw new InvalidOptionError(
      '--provider',
      `knows no ${service} of "${provider}"; write ${providersOf(service).join(' or ')}`,
    );
  }
  await setup.load();
  const Driver = await getDriver(service, provider);
  // Each driver checks its own options; here they come from strings alone.
  return new Driver({ ...withoutUndefined(setup.options(env)), env, ...options } as never);
}

function required(env: Env, ...names: readonly [string, ...string[]]): string {
  const value = optional(env, ...names);
  if (value === undefined)
    throw new InvalidOptionError(names[0], 'is not set in the environment; it holds the credentials of the account');
  return value;
}

function optional(env: Env, ...names: readonly string[]): string | undefined {
  return names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
}

function withoutUndefined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
