// The fake, proxies and drivers of this folder's tests. What a test opens is closed after it.

import { DigitalOceanCompute, DigitalOceanDns, type DigitalOceanOptions } from '@cloudlane/driver-digitalocean';
import { createCa, type LabProxy, type LabProxyOptions, startProxy } from '@cloudlane/testing';
import { Transport } from '@cloudlane/transport';
import { closeAfterTest, use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';
import { FakeDigitalOcean } from './fake-digitalocean.ts';

export const ca = await createCa();
export const certificate = await ca.issue({ names: ['127.0.0.1'] });
export const TOKEN = SECRETS.token;
export const AUTH = { username: 'user', password: SECRETS.proxyPassword } as const;

export function fakeDigitalOcean(scheme: 'http' | 'https' = 'http'): Promise<FakeDigitalOcean> {
  return use(FakeDigitalOcean.start({ token: TOKEN, ...(scheme === 'https' && { tls: certificate }) }));
}

export function proxy(options: LabProxyOptions = {}): Promise<LabProxy> {
  return use(startProxy(options));
}

/** Options for a driver of the fake, with a transport of its own and no proxy from this process' environment. */
export function optionsFor(fake: FakeDigitalOcean, options: Partial<DigitalOceanOptions> = {}): DigitalOceanOptions {
  const transport = new Transport();
  closeAfterTest(transport);
  const trust = fake.url.startsWith('https:') ? { tls: { ca: ca.certificate } } : {};
  return { token: TOKEN, baseUrl: fake.url, transport, ...trust, ...options };
}

export function computeOf(fake: FakeDigitalOcean, options?: Partial<DigitalOceanOptions>): DigitalOceanCompute {
  return new DigitalOceanCompute(optionsFor(fake, options));
}

export function dnsOf(fake: FakeDigitalOcean, options?: Partial<DigitalOceanOptions>): DigitalOceanDns {
  return new DigitalOceanDns(optionsFor(fake, options));
}
