import { describe, expect, test } from '@jest/globals';
import { runCommand } from './terminal.ts';

describe('cloudlane route', () => {
  test('tells route, deciding setting and reason of each URL', async () => {
    const { code, out } = await runCommand(['route', 'http://a.example', 'https://b.example/x'], {
      http_proxy: 'http://user:s3cr3t@proxy.example:3128',
      no_proxy: 'b.example',
    });
    expect(code).toBe(0);
    const [head, first, ...rest] = out.split('\n');
    expect(head).toMatch(/^URL +ROUTE +DECIDED BY +BECAUSE +PASSED OVER$/);
    expect(first).toMatch(/^http:\/\/a\.example\/ +forward http:\/\/user:\*\*\*@proxy\.example:3128 +env:http_proxy /);
    expect(rest.join('\n')).toMatch(/^https:\/\/b\.example\/x +direct +env:no_proxy /m);
    expect(out).not.toContain('s3cr3t');
  });

  test('--http-proxy beats the environment and its no_proxy, --direct beats both, --bypass holds beside --http-proxy', async () => {
    const env = { http_proxy: 'http://env.example', no_proxy: '*' };
    const routeOf = async (...flags: string[]): Promise<unknown> => {
      const { out } = await runCommand(['route', 'http://a.example', '--json', ...flags], env);
      return JSON.parse(out)[0].route.kind;
    };
    expect(await routeOf()).toBe('direct');
    expect(await routeOf('--http-proxy', 'http://p.example')).toBe('forward');
    expect(await routeOf('--direct')).toBe('direct');
    expect(await routeOf('--http-proxy', 'http://p.example', '--bypass', 'a.example')).toBe('direct');
  });

  test('prints JSON that holds no password', async () => {
    const { out } = await runCommand([
      'route',
      'https://user:origin-pw@a.example/?token=t0ken',
      '--json',
      '--http-proxy',
      'http://u:s3cr3t@p.example',
    ]);
    const [explanation] = JSON.parse(out);
    expect(explanation).toMatchObject({
      url: 'https://user:***@a.example/?token=***',
      route: { kind: 'tunnel', proxy: { scheme: 'http', host: 'p.example', port: 80 } },
      source: '--http-proxy',
    });
    expect(out).not.toMatch(/s3cr3t|origin-pw|t0ken/);
  });

  test('warns of settings that do not apply', async () => {
    const { code, err } = await runCommand(['route', 'wss://a.example'], { http_proxy: 'http://p.example' });
    expect(code).toBe(0);
    expect(err).toContain('warning (wss://a.example/): env:http_proxy is set, but not for wss URLs');
  });

  test.each([
    [
      'a proxy of an unknown scheme',
      ['route', 'http://a.example', '--http-proxy', 'ftp://u:s3cr3t@p.example'],
      /given by --http-proxy .*its scheme is unknown\. Write it as/,
    ],
    ['a URL that is none', ['route', 'a.example'], /The option url cannot be used/],
    [
      'flags that contradict',
      ['route', 'http://a.example', '--direct', '--http-proxy', 'http://p.example'],
      /cannot be used with option/,
    ],
    ['an unknown command', ['roue'], /unknown command 'roue'/],
    ['an unknown flag', ['route', 'http://a.example', '--prox'], /unknown option '--prox'/],
    ['no URL', ['route'], /missing required argument 'url'/],
  ])('refuses %s with exit code 2', async (_what, args, message) => {
    const { code, out, err } = await runCommand(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
    expect(err).not.toContain('s3cr3t');
  });

  test('refuses a broken proxy of the environment, naming the variable', async () => {
    const { code, err } = await runCommand(['route', 'https://a.example'], { https_proxy: 'http://u:s3cr3t@' });
    expect(code).toBe(2);
    expect(err).toMatch(/^cloudlane: The proxy given by env:https_proxy/);
    expect(err).not.toContain('s3cr3t');
  });

  test.each([['--help'], ['--version'], ['route --help']])('%s is no fault', async (args) => {
    const { code, out, err } = await runCommand(args.split(' '));
    expect(code).toBe(0);
    expect(out).not.toBe('');
    expect(err).toBe('');
  });
});
