import { explainRoute, resolveRoute } from '@cloudlane/proxy';
import { readSystemProxies } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { parseScutilOutput } from 'mac-system-proxy/dist/parse-scutil.js';

// Recorded from `scutil --proxy` on macOS, hosts changed.
const SCUTIL = `<dictionary> {
  ExceptionsList : <array> {
    0 : *.local
    1 : 169.254/16
    2 : intranet.example
  }
  ExcludeSimpleHostnames : 0
  FTPPassive : 1
  HTTPEnable : 1
  HTTPPort : 3128
  HTTPProxy : web.example
  HTTPSEnable : 1
  HTTPSPort : 3129
  HTTPSProxy : secure.example
  SOCKSEnable : 1
  SOCKSPort : 1080
  SOCKSProxy : socks.example
}
`;
const SCUTIL_OFF = `<dictionary> {
  FTPPassive : 1
  HTTPEnable : 0
  HTTPSEnable : 0
  SOCKSEnable : 0
}
`;
const SCUTIL_PAC = `<dictionary> {
  HTTPEnable : 0
  ProxyAutoConfigEnable : 1
  ProxyAutoConfigURLString : http://wpad.example/proxy.pac
}
`;

describe('macOS, by recorded output of scutil and the parser of mac-system-proxy', () => {
  const playing = (record: string) => () =>
    Promise.resolve({ getMacSystemProxy: async () => parseScutilOutput(record) });

  test('reads the proxy of each scheme and the exceptions', async () => {
    const system = await readSystemProxies('darwin', playing(SCUTIL));
    expect(system).toEqual({
      http: 'http://web.example:3128',
      https: 'http://secure.example:3129',
      socks: 'socks5h://socks.example:1080',
      bypass: ['*.local', '169.254.0.0/16', 'intranet.example'],
      source: 'system (macOS)',
    });
    const settings = { env: {}, ...(system && { system }) };
    expect(resolveRoute('https://a.example', settings)).toMatchObject({
      kind: 'tunnel',
      proxy: { host: 'secure.example', port: 3129 },
    });
    expect(explainRoute('http://a.example', settings).source).toBe('system (macOS)');
    expect(resolveRoute('http://169.254.7.7', settings)).toEqual({ kind: 'direct' });
    expect(resolveRoute('http://printer.local', settings)).toEqual({ kind: 'direct' });
  });

  test('gives nothing when every proxy is off', async () => {
    expect(await readSystemProxies('darwin', playing(SCUTIL_OFF))).toBeUndefined();
  });

  test('refuses a PAC script instead of going direct', async () => {
    await expect(readSystemProxies('darwin', playing(SCUTIL_PAC))).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining('PAC script'),
    });
  });
});

describe('Windows, by recorded answers of windows-system-proxy', () => {
  const answering = (settings: unknown) => () =>
    Promise.resolve({ getWindowsSystemProxy: () => Promise.resolve(settings) });

  test.each([
    [
      'one proxy for all schemes, with local addresses',
      { proxyUrl: 'http://proxy.example:8080', noProxy: ['10.*', '192.168.*', '*.corp.example', 'localhost'] },
      {
        http: 'http://proxy.example:8080',
        https: 'http://proxy.example:8080',
        bypass: ['10.0.0.0/8', '192.168.0.0/16', '*.corp.example', 'localhost'],
        source: 'system (Windows)',
      },
    ],
    [
      'a SOCKS proxy, which is SOCKS 4 there',
      { proxyUrl: 'socks://proxy.example:1080', noProxy: [] },
      { socks: 'socks4://proxy.example:1080', bypass: [], source: 'system (Windows)' },
    ],
    ['the proxy switched off', undefined, undefined],
  ])('%s', async (_what, recorded, expected) => {
    expect(await readSystemProxies('win32', answering(recorded))).toEqual(expected);
  });
});

test.each([
  ['darwin', 'mac-system-proxy'],
  ['win32', 'windows-system-proxy'],
] as const)('names the optional package that %s needs', async (platform, name) => {
  const missing = () => Promise.reject(new Error('ERR_MODULE_NOT_FOUND'));
  await expect(readSystemProxies(platform, missing)).rejects.toThrow(`npm install ${name}`);
});

test('tells why the settings could not be read', async () => {
  const failing = () => Promise.resolve({ getMacSystemProxy: () => Promise.reject(new Error('Scutil exited with 1')) });
  await expect(readSystemProxies('darwin', failing)).rejects.toThrow('could not be read: Scutil exited with 1');
});

test('on Linux the environment is the system setting', async () => {
  expect(await readSystemProxies('linux')).toBeUndefined();
});
