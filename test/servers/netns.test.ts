import { expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  running,
  startNetwork,
  startNetworkWithServers,
  startNginx,
} from '../support/real-servers.ts';
import { testLeavesNothing } from './leftovers.ts';

const PROCESS_TIMEOUT = 20_000;

/** A script that prints the code of the error of a connection, or that there is none, and the milliseconds it took. */
function connecting(host: string, port: number | string, milliseconds = 10_000): string {
  return `
    import { connect } from 'node:net';
    const start = performance.now();
    const socket = connect({ host: '${host}', port: ${port} });
    const tell = (outcome) => {
      console.log(JSON.stringify({ outcome, milliseconds: performance.now() - start }));
      socket.destroy();
      clearTimeout(timer);
    };
    socket.once('connect', () => tell('connected')).once('error', ({ code }) => tell(code));
    const timer = setTimeout(() => tell('nothing'), ${milliseconds});`;
}

describeReal('three hosts', [...needs.network, ...needs.squid, ...needs.dante, ...needs.nginx], () => {
  const network = running(startNetworkWithServers);
  const nginxPort = () => new URL(network().nginx.httpUrl).port;

  async function outcomeOf(script: string): Promise<{ outcome: string; milliseconds: number }> {
    const { stdout, stderr } = await network().runInClient(script);
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  }

  test(
    'the client reaches the proxy and not the origin',
    async () => {
      const [direct, toProxy] = await Promise.all([
        outcomeOf(connecting(network().origin.address, nginxPort())),
        outcomeOf(connecting(network().proxy.address, new URL(network().squid.openUrl).port)),
      ]);
      expect(direct.outcome).toBe('ENETUNREACH');
      expect(toProxy.outcome).toBe('connected');
    },
    PROCESS_TIMEOUT,
  );

  test(
    'the proxy passes no packet on',
    async () => {
      const forced = `
      import { execFileSync } from 'node:child_process';
      const route = (action) =>
        execFileSync('ip', ['route', action, '198.51.100.16/28', 'via', '${network().proxy.address}'], {
          env: { PATH: process.env.PATH + ':/usr/sbin:/sbin' },
        });
      route('add');
      process.on('exit', () => route('del'));`;
      const { outcome } = await outcomeOf(forced + connecting(network().origin.address, nginxPort(), 300));
      expect(outcome).toBe('nothing');
    },
    PROCESS_TIMEOUT,
  );

  test(
    'Squid and Dante reach the origin by its name, for which the client asks nobody',
    async () => {
      const { squid, dante, nginx, originHost } = network();
      const url = `http://${originHost}:${nginxPort()}/echo`;
      const before = await network().askedNames();
      const forwarding = await network().runInClient(`
      import { get } from 'node:http';
      get('${squid.openUrl}', { path: '${url}' }, (answer) => answer.pipe(process.stdout));`);
      expect(JSON.parse(forwarding.stdout)).toMatchObject({ host: new URL(url).host, from: squid.outgoingAddress });
      await squid.logged({ url, status: 200 });

      const socks = await network().runInClient(`
      import { getThrough } from './test/servers/socks-client.ts';
      const target = { host: '${originHost}', port: ${nginxPort()}, path: '/echo' };
      console.log((await getThrough('${dante.openUrlFor('socks5h')}', target)).body);`);
      expect(JSON.parse(socks.stdout)).toMatchObject({ from: dante.outgoingAddress });
      await dante.logged({ target: new URL(nginx.httpUrl).host });

      expect(await network().askedNames()).toEqual(before);
    },
    PROCESS_TIMEOUT,
  );

  test(
    'the client cannot resolve the origin, and is caught asking',
    async () => {
      const { outcome } = await outcomeOf(connecting(network().originHost, nginxPort()));
      expect(outcome).toBe('ENOTFOUND');
      expect(await network().askedNames()).toContain(network().originHost);
    },
    PROCESS_TIMEOUT,
  );

  test(
    'a script tells how it ended',
    async () => {
      const run = await network().runInClient(`console.log('a'); console.error(process.env.NAME); process.exit(3);`, {
        NAME: 'b',
      });
      expect(run).toEqual({ stdout: 'a\n', stderr: 'b\n', code: 3 });
    },
    PROCESS_TIMEOUT,
  );

  testLeavesNothing(async () => {
    const hosts = await startNetwork({ delayMs: 1 });
    await startNginx(hosts.origin);
    return hosts; // To be stopped alone, with nginx still there.
  });
});

describeReal('a slow link between client and proxy', needs.network, () => {
  const network = running(() => startNetwork({ delayMs: 50 }));

  test(
    'takes its time for each way',
    async () => {
      const { stdout } = await network().runInClient(connecting(network().proxy.address, 1));
      const { outcome, milliseconds } = JSON.parse(stdout);
      expect(outcome).toBe('ECONNREFUSED');
      expect(milliseconds).toBeGreaterThanOrEqual(100);
    },
    PROCESS_TIMEOUT,
  );
});

describeReal('a broken link between client and proxy', needs.network, () => {
  const network = running(() => startNetwork({ lossPercent: 100 }));

  test(
    'lets nothing through',
    async () => {
      const { stdout } = await network().runInClient(connecting(network().proxy.address, 1, 300));
      expect(JSON.parse(stdout).outcome).toBe('nothing');
    },
    PROCESS_TIMEOUT,
  );
});
