import { setDriver } from '@cloudlane/driver';

export type { Action } from './action.ts';
export type { DropletImage, DropletSize, Region } from './catalog.ts';
export { DigitalOceanCompute, type DigitalOceanComputeTypes } from './digitalocean-compute.ts';
export { DigitalOceanConnection, type DigitalOceanOptions } from './digitalocean-connection.ts';
export { DigitalOceanDns, type DigitalOceanDnsTypes } from './digitalocean-dns.ts';
export type { Domain, DomainRecord } from './domain-record.ts';
export type { Droplet, DropletNetwork } from './droplet.ts';
export type { DropletExtra } from './droplet-request.ts';
export { type RateLimit, readRateLimit } from './rate-limit.ts';
export { IncompleteChangeError } from './steps.ts';

setDriver('compute', 'digitalocean', async () => (await import('./digitalocean-compute.ts')).DigitalOceanCompute);
setDriver('dns', 'digitalocean', async () => (await import('./digitalocean-dns.ts')).DigitalOceanDns);
