import { Connection } from '@cloudlane/connection';
import { type DnsDriver, type DriverClass, getDriver, idOf, type LoadDriver, setDriver } from '@cloudlane/driver';
import { describe, expect, test } from '@jest/globals';

const notHere = (): never => {
  throw new Error('this driver has no zones');
};

class ExampleDns implements DnsDriver {
  readonly provider = 'example';
  readonly connection: Connection = new Connection({ baseUrl: 'https://api.example' });
  readonly features = { model: 'rrset', recordTypes: new Set(['A']) } as const;
  listZones = notHere;
  getZone = notHere;
  createZone = notHere;
  deleteZone = notHere;
  listRecordSets = notHere;
  listRecords = notHere;
  putRecordSet = notHere;
  createRecord = notHere;
  deleteRecord = notHere;
  deleteRecordSet = notHere;
  close = (): Promise<void> => this.connection.close();
}

function loader(): { readonly load: LoadDriver<'dns'>; readonly loads: () => number } {
  let loads = 0;
  const load = async (): Promise<DriverClass<'dns'>> => {
    loads += 1;
    return ExampleDns;
  };
  return { load, loads: () => loads };
}

describe('the registry', () => {
  test('loads a driver when it is asked for, whatever the spelling of its name', async () => {
    const { load, loads } = loader();
    setDriver('dns', 'Lazy', load);
    expect(loads()).toBe(0);
    expect(await getDriver('dns', 'lAZY')).toBe(ExampleDns);
    expect(loads()).toBe(1);
  });

  test('keeps services apart', async () => {
    setDriver('dns', 'apart', loader().load);
    await expect(getDriver('compute', 'apart')).rejects.toMatchObject({
      code: 'ERR_INVALID_OPTION',
      option: 'provider',
    });
  });

  test('names what there is when it has none', async () => {
    await expect(getDriver('storage', 'nowhere')).rejects.toThrow(
      'nowhere has no storage driver here; there are: none (import its package first)',
    );
    setDriver('dns', 'known', loader().load);
    await expect(getDriver('dns', 'nowhere')).rejects.toThrow(/there are: .*known/);
  });

  test('takes the same registration twice, and no other under that name', async () => {
    const { load } = loader();
    setDriver('dns', 'twice', load);
    setDriver('dns', 'TWICE', load);
    expect(() => setDriver('dns', 'twice', loader().load)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_OPTION',
        message: expect.stringContaining('registered for dns already'),
      }),
    );
  });

  test('passes on why a driver cannot be loaded, and tries again', async () => {
    let broken = true;
    setDriver('dns', 'broken', async () => {
      if (broken) throw new RangeError('no such file');
      return ExampleDns;
    });
    await expect(getDriver('dns', 'broken')).rejects.toThrow('no such file');
    broken = false;
    expect(await getDriver('dns', 'broken')).toBe(ExampleDns);
  });
});

test('a reference is a resource or its id', () => {
  expect([idOf('a'), idOf({ id: 'b' })]).toEqual(['a', 'b']);
});
