import { InvalidOptionError, resolveRoute, shouldBypass } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';

const MATCHES: readonly (readonly [noProxy: string, url: string])[] = [
  ['*', 'https://anything.example/'],
  ['*', 'http://[::1]/'],
  ['example.com', 'http://example.com/'],
  ['example.com', 'http://a.b.example.com/'],
  ['.example.com', 'http://example.com/'],
  ['*.example.com', 'http://a.example.com/'],
  ['*.example.com:8443', 'https://a.example.com:8443/'],
  ['EXAMPLE.COM', 'http://example.com/'],
  ['example.com', 'http://example.com./'],
  ['example.com.', 'http://example.com/'],
  ['example.com.', 'http://example.com./'],
  ['.example.com.:80', 'http://a.example.com/'],
  ['example.com:443', 'https://example.com/'],
  ['example.com:443', 'wss://example.com/'],
  ['example.com:80', 'ws://example.com/'],
  ['example.com:0080', 'http://example.com/'],
  ['localhost', 'http://localhost:3000/'],
  ['host_1', 'http://host_1/'],
  ['münchen.example', 'http://xn--mnchen-3ya.example/'],
  ['xn--mnchen-3ya.example', 'http://www.münchen.example/'],
  ['MÜNCHEN.example', 'http://münchen.example/'],
  ['日本。example', 'http://日本.example/'],
  ['10.0.0.1', 'http://10.0.0.1:8080/'],
  ['10.0.0.1', 'http://10.1/'],
  ['10.0.0.1', 'http://0x0a000001/'],
  ['10.0.0.1:8080', 'http://10.0.0.1:8080/'],
  ['10.0.0.1', 'http://[::ffff:10.0.0.1]/'],
  ['::ffff:10.0.0.1', 'http://10.0.0.1/'],
  ['[::ffff:a00:1]', 'http://10.0.0.1/'],
  ['10.0.0.0/8', 'http://10.255.255.255/'],
  ['10.99.0.1/8', 'http://10.1.2.3/'],
  ['10.0.0.0/8:8080', 'http://10.1.2.3:8080/'],
  ['10.0.0.1/32', 'http://10.0.0.1/'],
  ['0.0.0.0/0', 'http://8.8.8.8/'],
  ['10.0.0.0/8', 'http://[::ffff:10.1.2.3]/'],
  ['::ffff:10.0.0.0/104', 'http://10.1.2.3/'],
  ['172.16.0.0/12', 'http://172.31.255.255/'],
  ['::1', 'http://[0:0:0:0:0:0:0:1]/'],
  ['0::1', 'http://[::1]/'],
  ['0000:0000::0.0.0.1', 'http://[::1]/'],
  ['FE80::1', 'http://[fe80::1]/'],
  ['1:2:3:4:5:6:7::', 'http://[1:2:3:4:5:6:7:0]/'],
  ['fe80::1%eth0', 'http://[fe80::1]/'],
  ['[fe80::1%eth0]', 'http://[fe80::1]/'],
  ['fe80::1', 'http://[fe80::1%25eth0]/'],
  ['fe80::1', 'http://user:pw@[fe80::1%eth0]:8080/path'],
  ['[::1]:8080', 'http://[::1]:8080/'],
  ['[::1]:443', 'https://[::1]/'],
  ['fd00::/8', 'http://[fdff::1]/'],
  ['[fd00::]/8', 'http://[fdff::1]/'],
  ['[fd00::]/8:81', 'http://[fdff::1]:81/'],
  ['fe80::/10', 'http://[febf::1]/'],
  ['::/0', 'http://[2001:db8::1]/'],
  ['2001:db8::1/128', 'http://[2001:db8::1]/'],
  ['a.example,b.example', 'http://b.example/'],
  ['a.example b.example', 'http://b.example/'],
  [' ,,\ta.example\n,\tb.example , ', 'http://b.example/'],
];

const MISSES: readonly (readonly [noProxy: string, url: string])[] = [
  ['', 'http://example.com/'],
  [' , ', 'http://example.com/'],
  ['example.com', 'http://notexample.com/'],
  ['example.com', 'http://example.com.evil.example/'],
  ['example.com', 'http://example.com../'],
  ['www.example.com', 'http://example.com/'],
  ['*.example.com', 'http://example.com/'],
  ['*.example.com', 'http://notexample.com/'],
  ['*example.com', 'http://example.com/'],
  ['foo.*.com', 'http://foo.bar.com/'],
  ['**', 'http://example.com/'],
  ['*:80', 'http://example.com/'],
  ['..example.com', 'http://a.example.com/'],
  ['.', 'http://example.com/'],
  ['*.', 'http://example.com/'],
  ['example.com:80', 'https://example.com/'],
  ['example.com:443', 'http://example.com/'],
  ['example.com:', 'http://example.com/'],
  ['example.com:0', 'http://example.com/'],
  ['example.com:65616', 'http://example.com/'],
  [':80', 'http://example.com/'],
  ['http://example.com', 'http://example.com/'],
  ['example.com/', 'http://example.com/'],
  ['example.com/24', 'http://example.com/'],
  ['user@example.com', 'http://example.com/'],
  ['[example.com]', 'http://example.com/'],
  ['localhost', 'http://127.0.0.1/'],
  ['127.0.0.1', 'http://localhost/'],
  ['<local>', 'http://intranet/'],
  ['1.5', 'http://192.168.1.5/'],
  ['168.1.5', 'http://192.168.1.5/'],
  ['.5', 'http://192.168.1.5/'],
  ['192.168.', 'http://192.168.1.5/'],
  ['192.168.*', 'http://192.168.1.5/'],
  ['10.1', 'http://10.0.0.1/'],
  ['0x0a000001', 'http://10.0.0.1/'],
  ['010.0.0.1', 'http://8.0.0.1/'],
  ['010.0.0.1', 'http://10.0.0.1/'],
  ['１０.0.0.1', 'http://10.0.0.1/'],
  ['10.0.0.0/8', 'http://11.0.0.1/'],
  ['10.0.0.0/8', 'http://10.0.0.1.example/'],
  ['10.0.0.0/33', 'http://10.0.0.0/'],
  ['10.0.0.0/-1', 'http://10.0.0.0/'],
  ['10.0.0.0/', 'http://10.0.0.0/'],
  ['10.0.0.0/255.0.0.0', 'http://10.0.0.0/'],
  ['10.0.0.0/8:8080', 'http://10.1.2.3/'],
  ['172.16.0.0/12', 'http://172.32.0.0/'],
  ['fd00::/8', 'http://[fe00::1]/'],
  ['fd00::/129', 'http://[fd00::]/'],
  ['fd00::/8:80', 'http://[fd00::1]/'],
  ['[fd00::/8]', 'http://[fd00::1]/'],
  ['::/0', 'http://10.0.0.1/'],
  ['0.0.0.0/0', 'http://[2001:db8::1]/'],
  ['::1', 'http://[::2]/'],
  ['::1:8080', 'http://[::1]:8080/'],
  [':::1', 'http://[::1]/'],
  ['1:2:3:4::5:6:7:8', 'http://[1:2:3:4:5:6:7:8]/'],
  ['1:2:3:4:5:6:7:8::', 'http://[1:2:3:4:5:6:7:8]/'],
  ['1::2::3', 'http://[1::2:3]/'],
  ['0:0:0:0:0:0:1', 'http://[::1]/'],
  ['[::1', 'http://[::1]/'],
  ['[::1]:8080', 'http://[::1]/'],
  ['[::1]x', 'http://[::1]/'],
  ['::ffff:0:0/90', 'http://10.0.0.1/'],
];

describe('shouldBypass', () => {
  test.each(MATCHES)('%j keeps %j away from proxies', (noProxy, url) => {
    expect(shouldBypass(url, noProxy)).toBe(true);
    expect(shouldBypass(url, ['other.example', noProxy])).toBe(true);
    expect(shouldBypass(url.includes('%') ? url : new URL(url), noProxy)).toBe(true);
    expect(resolveRoute(url, { env: { all_proxy: 'p', no_proxy: noProxy } })).toEqual({ kind: 'direct' });
    expect(resolveRoute(url, { http_proxy: 'p', noProxy, env: {} })).toEqual({ kind: 'direct' });
  });

  test.each(MISSES)('%j does not match %j', (noProxy, url) => {
    expect(shouldBypass(url, noProxy)).toBe(false);
    expect(resolveRoute(url, { env: { all_proxy: 'p', no_proxy: noProxy } }).kind).not.toBe('direct');
  });

  test.each([[null], [undefined], [1], [{}], [['a', 1]], [[['a']]]])('refuses %j for a list', (noProxy) => {
    const error = catchError(() => Reflect.apply(shouldBypass, undefined, ['http://a.example/', noProxy]));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'noProxy' });
  });

  test.each([
    ['ftp://a.example/'],
    ['a.example'],
    [''],
    ['http://'],
    [null],
    [7],
    ['mailto:a@b.example'],
    ['//a.example'],
  ])('refuses %j for an URL', (url) => {
    const error = catchError(() => Reflect.apply(shouldBypass, undefined, [url, '']));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'url' });
    expect(error).not.toHaveProperty('cause');
  });
});
