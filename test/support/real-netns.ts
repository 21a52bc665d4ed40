// A client, a proxy and an origin as three hosts of one machine: test/servers/netns.sh.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { scrubProxyVariables } from './environment.ts';
import { type RealNginx, startNginx } from './real-origins.ts';
import { type RealSquid, startSquid } from './real-proxies.ts';
import { type Place, type RealServer, serve, stopAll } from './real-serve.ts';
import { type RealDante, startDante } from './real-socks.ts';

export interface NetworkOptions {
  /** Milliseconds for one way between client and proxy, so that a round trip takes twice that. @defaultValue 0 */
  readonly delayMs?: number;
  /** Of the packets between client and proxy, in each direction. @defaultValue 0 */
  readonly lossPercent?: number;
}

export interface ClientRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

export interface RealNetwork extends RealServer {
  /** For `startSquid(network.proxy)` and the like: the client's only neighbour, which alone knows the origin's name. */
  readonly proxy: Place;
  /** For `startNginx(network.origin)`. No packet gets from the client to here. */
  readonly origin: Place;
  /** The origin's name, which the client cannot resolve. */
  readonly originHost: string;
  /**
   * Runs an ES module on the client, in a Node process without proxy variables but the given ones. It is given as
   * source text, imports from the workspace's root, and has `@cloudlane/…` from the packages' sources.
   */
  runInClient(script: string, env?: Readonly<Record<string, string>>): Promise<ClientRun>;
  /** Every name that a program on the client has asked a name server for until now: the leaks. */
  askedNames(): Promise<readonly string[]>;
}

/** Both proxies and the origin, each in its place. */
export interface RealNetworkWithServers extends RealNetwork {
  readonly squid: RealSquid;
  readonly dante: RealDante;
  readonly nginx: RealNginx;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FROM_SOURCE = `import { register } from 'node:module'; register('${new URL('../transport/from-source.mjs', import.meta.url)}');`;
const MODULE_OPTIONS = ['--input-type=module', '--import', `data:text/javascript,${encodeURIComponent(FROM_SOURCE)}`];
const LAST_NAME = 'last-question.invalid';

/** The three hosts, with nothing on them yet. What runs there ends with them. */
export async function startNetwork({ delayMs = 0, lossPercent = 0 }: NetworkOptions = {}): Promise<RealNetwork> {
  const { dir, stop } = await serve('netns.sh', { ports: 0, args: [String(delayMs), String(lossPercent)] });
  const enter = async (host: string) => {
    const pid = (await readFile(join(dir, host), 'utf8')).trim();
    return ['nsenter', '--target', pid, '--net', '--mount', `--wdns=${ROOT}`, '--'];
  };
  const [client, proxy, origin] = await Promise.all(['client', 'proxy', 'origin'].map(enter));
  if (!client || !proxy || !origin) throw new Error('netns.sh tells of three hosts');
  const runInClient: RealNetwork['runInClient'] = (script, env = {}) =>
    run([...client, process.execPath, ...MODULE_OPTIONS], script, env);
  return {
    proxy: {
      enter: proxy,
      address: '198.51.100.1',
      outgoingAddress: '198.51.100.17',
      privateAddress: '198.51.100.18',
    },
    origin: {
      enter: origin,
      address: '198.51.100.18',
      outgoingAddress: '198.51.100.18',
      privateAddress: '198.51.100.18',
    },
    originHost: 'origin.example',
    runInClient,
    askedNames: async () => {
      // The name server takes one question after the other: when it has answered this, it has written down the rest.
      const lastQuestion = `require('node:dns').resolve4('${LAST_NAME}', () => {})`;
      await run([...client, process.execPath, '--input-type=commonjs'], lastQuestion);
      const names = (await readFile(join(dir, 'queries'), 'utf8')).split('\n');
      return names.filter((name) => name !== '' && name !== LAST_NAME);
    },
    stop,
  };
}

/** The three hosts with Squid and Dante on the proxy, and nginx on the origin. */
export async function startNetworkWithServers(options: NetworkOptions = {}): Promise<RealNetworkWithServers> {
  const network = await startNetwork(options);
  const starting = [startSquid(network.proxy), startDante(network.proxy), startNginx(network.origin)] as const;
  try {
    const [squid, dante, nginx] = await Promise.all(starting);
    const stop = async () => {
      await stopAll([squid, dante, nginx]);
      await network.stop();
    };
    return { ...network, squid, dante, nginx, stop };
  } catch (error) {
    await Promise.allSettled(starting);
    await network.stop();
    throw error;
  }
}

async function run(
  node: readonly string[],
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ClientRun> {
  const [program = '', ...rest] = [...node, '--disable-warning=ExperimentalWarning', '--eval', script];
  const child = spawn(program, rest, {
    env: { ...scrubProxyVariables({ ...process.env }), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { stdout, stderr, code };
}
