import type { ComputeDriver, ComputeNode, DnsDriver, DriverClass, Operation } from '@cloudlane/driver';
import {
  DigitalOceanCompute,
  type DigitalOceanComputeTypes,
  DigitalOceanDns,
  type DigitalOceanDnsTypes,
  type DigitalOceanOptions,
  type Droplet,
  type DropletExtra,
} from '@cloudlane/driver-digitalocean';
import { test } from '@jest/globals';
import { expectTypeOf } from 'expect-type';

test('the classes are what the contracts say', () => {
  expectTypeOf<DigitalOceanCompute>().toExtend<ComputeDriver<DigitalOceanComputeTypes>>();
  expectTypeOf<DigitalOceanDns>().toExtend<DnsDriver<DigitalOceanDnsTypes>>();
  expectTypeOf(DigitalOceanCompute).toExtend<DriverClass<'compute'>>();
  expectTypeOf(DigitalOceanDns).toExtend<DriverClass<'dns'>>();
});

test('payloads and options are typed', () => {
  expectTypeOf<DigitalOceanCompute['getNode']>().returns.resolves.toEqualTypeOf<ComputeNode<Droplet>>();
  expectTypeOf<DigitalOceanCompute['createNode']>().returns.resolves.toEqualTypeOf<Operation<ComputeNode<Droplet>>>();
  expectTypeOf<DropletExtra>().not.toHaveProperty('names');
  expectTypeOf<DigitalOceanOptions['token']>().toEqualTypeOf<string>();
  expectTypeOf<DigitalOceanCompute['provider']>().toEqualTypeOf<'digitalocean'>();
});
