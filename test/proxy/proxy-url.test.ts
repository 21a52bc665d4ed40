import { formatProxy, InvalidProxyUrlError, parseProxyUrl, resolveRoute } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';

describe('parseProxyUrl', () => {
  test.each([
    ['http://proxy', 'http', 'proxy', 80],
    ['https://proxy', 'https', 'proxy', 443],
    ['socks4://proxy', 'socks4', 'proxy', 1080],
    ['socks4a://proxy', 'socks4a', 'proxy', 1080],
    ['socks5://proxy', 'socks5', 'proxy', 1080],
    ['socks5h://proxy', 'socks5h', 'proxy', 1080],
    ['socks://proxy', 'socks5h', 'proxy', 1080],
    ['HTTP://PROXY.Example:3128', 'http', 'proxy.example', 3128],
    ['SOCKS5://Proxy:9', 'socks5', 'proxy', 9],
    ['http://proxy:80', 'http', 'proxy', 80],
    ['http://proxy:443', 'http', 'proxy', 443],
    ['https://proxy:80', 'https', 'proxy', 80],
    ['http://proxy:65535/', 'http', 'proxy', 65535],
    ['http://proxy:1', 'http', 'proxy', 1],
    ['http://proxy:03128', 'http', 'proxy', 3128],
    ['  http://proxy:3128\n', 'http', 'proxy', 3128],
    ['proxy', 'http', 'proxy', 80],
    ['proxy:3128', 'http', 'proxy', 3128],
    ['localhost:3128', 'http', 'localhost', 3128],
    ['10.10.1.10:3128', 'http', '10.10.1.10', 3128],
    ['[::1]:3128', 'http', '::1', 3128],
    ['http://[::1]', 'http', '::1', 80],
    ['socks5://[FD00:0:0::1]:1081', 'socks5', 'fd00::1', 1081],
    ['http://[::ffff:192.0.2.1]:1', 'http', '::ffff:c000:201', 1],
    ['http://127.1:1', 'http', '127.0.0.1', 1],
    ['http://bücher.example', 'http', 'xn--bcher-kva.example', 80],
    ['socks5h://bücher.example', 'socks5h', 'xn--bcher-kva.example', 1080],
    ['http://proxy_1.internal:1', 'http', 'proxy_1.internal', 1],
    ['http://@proxy:1', 'http', 'proxy', 1],
    ['http://:@proxy:1', 'http', 'proxy', 1],
  ])('reads %j', (text, scheme, host, port) => {
    expect(parseProxyUrl(text)).toStrictEqual({ scheme, host, port });
  });

  test.each([
    ['http://user:pass@proxy', 'user', 'pass'],
    ['user:pass@proxy:1', 'user', 'pass'],
    ['http://user@proxy', 'user', ''],
    ['http://user:@proxy', 'user', ''],
    ['http://:pass@proxy', '', 'pass'],
    ['http://user:a:b:c@proxy', 'user', 'a:b:c'],
    ['http://user:p@ss@proxy', 'user', 'p@ss'],
    ['http://us%40er:p%3A%2F%3F%23%40%25@proxy', 'us@er', 'p:/?#@%'],
    ['http://user:a+b@proxy', 'user', 'a+b'],
    ['http://J%C3%BCrgen:gr%C3%BC%C3%9Fe@proxy', 'Jürgen', 'grüße'],
    ['http://Jürgen:grüße@proxy', 'Jürgen', 'grüße'],
    ['http://DOMAIN%5Cuser:p@proxy', 'DOMAIN\\user', 'p'],
    ['http://user:a://b@proxy'.replace('//b', '%2F%2Fb'), 'user', 'a://b'],
    ['socks4://user@proxy', 'user', ''],
    [`socks5://${'u'.repeat(255)}:${'%C3%BC'.repeat(127)}@proxy`, 'u'.repeat(255), 'ü'.repeat(127)],
    [`http://u:${'p'.repeat(4000)}@proxy`, 'u', 'p'.repeat(4000)],
  ])('decodes the credentials of %j', (text, username, password) => {
    const { credentials, host } = parseProxyUrl(text);
    expect([credentials?.username, credentials?.password, host]).toEqual([username, password, 'proxy']);
  });

  test.each([
    'http://user:p%40ss@proxy:3128',
    'https://proxy',
    'http://proxy:80',
    'socks5h://bücher.example',
    'socks5://u:p@[::1]:9',
  ])('reads the URL object of %j like its text', (text) => {
    const fromText = parseProxyUrl(text);
    const fromUrl = parseProxyUrl(new URL(text));
    expect(fromUrl).toStrictEqual(fromText);
    expect(fromUrl.credentials?.password).toBe(fromText.credentials?.password);
  });

  test.each<[unknown, RegExp]>([
    ['', /is empty; write null for direct/],
    [' \t ', /is empty; write null for direct/],
    ['ftp://proxy', /scheme is unknown/],
    ['direct://', /scheme is unknown/],
    ['constructor://proxy', /scheme is unknown/],
    ['http://', /has no host/],
    ['http:///', /has no host/],
    ['http://:3128', /has no host/],
    ['http://user:pass@', /has no host/],
    ['http://user:pass@:3128', /has no host/],
    ['//proxy:3128', /path, query or fragment/],
    ['http:/proxy', /path, query or fragment/],
    ['http://proxy:0', /port is not a number from 1 to 65535/],
    ['http://proxy:65536', /port is not a number from 1 to 65535/],
    ['http://proxy:99999999999999999999', /port is not a number from 1 to 65535/],
    ['http://proxy:', /port is not a number from 1 to 65535/],
    ['http://proxy:-1', /port is not a number from 1 to 65535/],
    ['http://proxy:3128x', /port is not a number from 1 to 65535/],
    ['http://proxy:1e3', /port is not a number from 1 to 65535/],
    ['http://proxy:٣', /port is not a number from 1 to 65535/],
    ['http:proxy:3128', /port is not a number from 1 to 65535/],
    ['http://user:secret', /port is not a number from 1 to 65535/],
    ['http://proxy:3128/path', /path, query or fragment/],
    ['http://proxy:3128//', /path, query or fragment/],
    ['http://proxy?x', /path, query or fragment/],
    ['http://proxy#x', /path, query or fragment/],
    ['http://user:se/cret@proxy', /path, query or fragment/],
    ['http://user:se#cret@proxy', /%2F, %3F or %23/],
    ['http://DOMAIN\\user:secret@proxy', /backslash.*%5C/],
    ['http://proxy\\x', /backslash/],
    ['http://pro\nxy', /control character/],
    ['http://pro\txy', /control character/],
    ['http://proxy\0', /control character/],
    ['http://u:se%0Acret@proxy', /control character/],
    ['http://u%00:secret@proxy', /control character/],
    ['http://user:secret%@proxy', /percent escape.*malformed/],
    ['http://user:secret%2@proxy', /percent escape.*malformed/],
    ['http://user:secret%zz@proxy', /percent escape.*malformed/],
    ['http://user:secret%ff@proxy', /percent escape.*malformed/],
    ['http://us%3Aer:secret@proxy', /user name contains a colon/],
    ['http://pro xy', /not a host name/],
    ['http://pro^xy', /not a host name/],
    ['http://pro%2fxy', /not a host name/],
    ['http://1.2.3.999', /not a host name/],
    ['http://[::1', /not a host name/],
    ['http://[::1]x', /not a host name/],
    ['http://[]', /IPv6 address is malformed/],
    ['http://[::g]', /IPv6 address is malformed/],
    ['http://[fe80::1%25eth0]', /IPv6 address is malformed/],
    ['http://[proxy]', /IPv6 address is malformed/],
    ['::1', /has no host, or an IPv6 address without brackets/],
    [`socks5://${'u'.repeat(256)}:secret@proxy`, /user name is longer than the 255 bytes/],
    [`socks5h://u:${'%C3%BC'.repeat(128)}@proxy`, /password is longer than the 255 bytes/],
    [`http://${'a'.repeat(5000)}`, /not a host name/],
    [undefined, /a value of type undefined is not a string or URL/],
    [null, /null is not a string or URL/],
    [false, /a value of type boolean is not a string or URL/],
    [3128, /a value of type number is not a string or URL/],
    [['http://proxy'], /an array is not a string or URL/],
    [{ href: 'http://proxy' }, /a value of type object is not a string or URL/],
    [() => 'http://proxy', /a value of type function is not a string or URL/],
  ])('refuses %j', (value, message) => {
    const error = catchError(() => Reflect.apply(parseProxyUrl, undefined, [value]));
    expect(error).toBeInstanceOf(InvalidProxyUrlError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_PROXY_URL', source: 'parseProxyUrl' });
    expect(error).not.toHaveProperty('cause');
    expect(error.message).toMatch(message);
    expect(error.message).toContain('Write it as scheme://user:password@host:port');
    expect(error.message).not.toMatch(/secret|cret@/);
  });

  test('says which setting is wrong, what with it, and shows it masked', () => {
    const env = { https_proxy: 'http://user:secret@proxy.example:3128/path' };
    expect(catchError(() => resolveRoute('https://origin.example/', { env })).message).toBe(
      'The proxy given by env:https_proxy (http://***@proxy.example:3128) cannot be used: it has a path, query or ' +
        'fragment; a /, ? or # in the user name or password is written %2F, %3F or %23. Write it as ' +
        'scheme://user:password@host:port, the scheme being http, https, socks4, socks4a, socks5 or socks5h.',
    );
  });

  test('gives the identical frozen object for the identical text', () => {
    const proxy = parseProxyUrl('http://user:pass@same.example:3128');
    expect(parseProxyUrl('http://user:pass@same.example:3128')).toBe(proxy);
    expect(parseProxyUrl('http://user:other@same.example:3128')).not.toBe(proxy);
    expect(Object.isFrozen(proxy)).toBe(true);
    expect(Object.isFrozen(proxy.credentials)).toBe(true);
  });

  test('forgets old texts instead of growing', () => {
    const first = parseProxyUrl('http://first.example');
    for (let index = 0; index < 300; index += 1) parseProxyUrl(`http://proxy-${index}.example`);
    expect(parseProxyUrl('http://first.example')).not.toBe(first);
    expect(parseProxyUrl('http://first.example')).toStrictEqual(first);
  });
});

describe('formatProxy', () => {
  test.each([
    ['http://user:pass@proxy:3128', 'http://user:***@proxy:3128'],
    ['proxy', 'http://proxy:80'],
    ['https://proxy', 'https://proxy:443'],
    ['socks://proxy', 'socks5h://proxy:1080'],
    ['http://u:p@[::1]', 'http://u:***@[::1]:80'],
    ['http://:pass@proxy', 'http://:***@proxy:80'],
    ['http://us%40er%2F:pass@proxy', 'http://us%40er%2F:***@proxy:80'],
    ['http://J%C3%BCrgen:pass@proxy', 'http://J%C3%BCrgen:***@proxy:80'],
    ['http://only-a-token@proxy', 'http://***@proxy:80'],
  ])('shows %j as %j', (text, shown) => {
    expect(formatProxy(parseProxyUrl(text))).toBe(shown);
  });

  test('takes any server object, also one with half a character in its user name', () => {
    const credentials = { username: 'a\ud800b', password: 'secret' };
    expect(formatProxy({ scheme: 'http', host: 'proxy', port: 1, credentials })).toBe('http://a%EF%BF%BDb:***@proxy:1');
  });
});
