import { expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from './child-process.ts';
import { ca, origin, proxy } from './lab.ts';

interface Scene {
  readonly env: Readonly<Record<string, string>>;
  /** How a request to an http and one to an https origin go. */
  readonly expected: readonly [string, string];
}

const SCENES: readonly Scene[] = [
  { env: { http_proxy: 'PROXY' }, expected: ['200 forward', '200 tunnel'] },
  { env: { https_proxy: 'PROXY' }, expected: ['200 direct', '200 tunnel'] },
  { env: { ALL_PROXY: 'PROXY' }, expected: ['200 forward', '200 tunnel'] },
  { env: { http_proxy: 'PROXY', no_proxy: 'example, 127.0.0.0/8' }, expected: ['200 direct', '200 direct'] },
  { env: {}, expected: ['200 direct', '200 direct'] },
  ...[
    ['PROXY/path', 'InvalidProxyUrlError'],
    [`http://user:${SECRETS.plainPassword}%zz@127.0.0.1:1`, 'InvalidProxyUrlError'],
    [`gopher://user:${SECRETS.plainPassword}@127.0.0.1:1`, 'InvalidProxyUrlError'],
    [`socks5://user:${SECRETS.plainPassword}@127.0.0.1:1`, 'ProxyConnectError'],
  ].map(([http_proxy = '', error = '']): Scene => ({ env: { http_proxy }, expected: [error, error] })),
];

// One process for all of them, as starting one takes longer than everything else; the first scene is what it is
// started with.
test(
  'a process takes the routes that its environment says, and never another',
  async () => {
    const auth = { username: 'user', password: SECRETS.proxyPassword };
    const [plain, secure, through] = [await origin('http'), await origin('https'), await proxy('http', { auth })];
    const environments = SCENES.map(({ env }) =>
      Object.fromEntries(
        Object.entries(env).map(([name, value]) => [name, value.replace('PROXY', through.urlWithCredentials)]),
      ),
    );
    const { output, errors, code } = await runScript(
      `
    import { Transport } from '@cloudlane/transport';
    const transport = new Transport({ tls: { ca: ${JSON.stringify(ca.certificate)} } });
    for (const [index, env] of ${JSON.stringify(environments)}.entries()) {
      if (index > 0) {
        for (const name of Object.keys(process.env)) if (/_proxy$/i.test(name)) delete process.env[name];
        Object.assign(process.env, env);
      }
      for (const url of ${JSON.stringify([plain.url, secure.url])}) {
        try {
          const { status, route, body } = await transport.send({ url });
          body.resume();
          console.log(status, route.kind);
        } catch (error) {
          console.log(error.name + ': ' + error.message);
        }
      }
    }
    await transport.close();
  `,
      environments[0],
    );
    const lines = output.trim().split('\n');
    expect(lines.map((line) => line.replace(/:.*/, ''))).toEqual(SCENES.flatMap(({ expected }) => expected));
    expect([errors, code]).toEqual(['', 0]);
    expect(secretsIn(output)).toEqual([]);
    const proxied = lines
      .filter((line) => /forward|tunnel/.test(line))
      .map((line) => (line.includes('forward') ? 'forward' : 'connect'));
    // The tunnel of the first scene is used again by the others.
    const hops = proxied.filter((kind, index) => kind === 'forward' || proxied.indexOf(kind) === index);
    expect(through.hops.map(({ kind, username }) => [kind, username])).toEqual(hops.map((kind) => [kind, 'user']));
    expect([plain.requests.length, secure.requests.length]).toEqual([5, 5]);
  },
  PROCESS_TIMEOUT,
);
