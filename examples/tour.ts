// The whole promise in one run: S3 calls over proxies that want passwords, the proxy chosen in four ways, through http and
// https proxies and SOCKS, and for each call what the proxies really saw. Ends with an error if a call went another way than the driver had said.
import { S3Storage } from '@cloudlane/driver-aws';
import { formatProxy, parseProxyUrl, type Route, type RouteExplanation } from '@cloudlane/proxy';
import {
  createCa,
  type LabProxy,
  type LabSocks,
  type ProxyHop,
  type SocksHop,
  startProxy,
  startSocks,
} from '@cloudlane/testing';
import { Transport } from '@cloudlane/transport';
import { formatTable } from 'cloudlane';
import { startEmbeddedS3 } from './embedded-s3.ts';

const ca = await createCa();
const certificate = await ca.issue({ names: ['127.0.0.1'] });
await using plain = await startEmbeddedS3();
await using secure = await startEmbeddedS3(certificate);
await using north = await startProxy({ auth: { username: 'north', password: 'p@ss:wörd' } });
await using south = await startProxy({ auth: { username: 'south', password: '100% secret' } });
await using east = await startProxy({ auth: { username: 'east', password: 'über TLS' }, tls: certificate });
await using west = await startSocks({ auth: { username: 'west', password: 'bastion' } });
await using transport = new Transport({ tls: { ca: ca.certificate }, proxyTls: { ca: ca.certificate } });

const account = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER', transport };
const NAMES = new Map<LabProxy | LabSocks, string>([
  [north, 'north'],
  [south, 'south'],
  [east, 'east'],
  [west, 'west'],
]);
const HOP_KINDS = { direct: null, forward: 'forward', tunnel: 'connect', socks: 'socks' } as const;
const rows: string[][] = [];
let failed = 0;

// 1. The environment: nothing in the code, every call.
process.env.http_proxy = north.urlWithCredentials;
const fromEnvironment = new S3Storage({ ...account, endpoint: plain.endpoint });
await show('createContainer', 'environment http_proxy', fromEnvironment, north, () =>
  fromEnvironment.createContainer('tour'),
);
await show('listContainers', 'environment http_proxy', fromEnvironment, north, () =>
  fromEnvironment.listContainers().all(),
);

// 2. The constructor: this driver, whatever the environment says.
const storage = new S3Storage({ ...account, endpoint: plain.endpoint, http_proxy: south.urlWithCredentials });
await show('putObject', 'constructor http_proxy', storage, south, () =>
  storage.putObject('tour', 'notes/hello.txt', 'Hello'),
);

// 3. setHttpProxy: from now on.
storage.connection.setHttpProxy(north.urlWithCredentials);
await show('headObject', 'setHttpProxy(north)', storage, north, () => storage.headObject('tour', 'notes/hello.txt'));
await show('listObjects', 'setHttpProxy(north)', storage, north, () => storage.listObjects('tour').all());

// 4. One call: a proxy of its own, or none.
const viaSouth = { http_proxy: south.urlWithCredentials };
await show(
  'getObject',
  'this call: south',
  storage,
  south,
  async () => (await storage.getObject('tour', 'notes/hello.txt', viaSouth)).text(),
  viaSouth,
);
const direct = { http_proxy: null };
await show(
  'deleteObject',
  'this call: null',
  storage,
  null,
  () => storage.deleteObject('tour', 'notes/hello.txt', direct),
  direct,
);

// Back to the environment, where no_proxy may take a host out.
storage.connection.setHttpProxy(undefined);
process.env.no_proxy = '127.0.0.0/8';
await show('deleteContainer', 'environment no_proxy', storage, null, () => storage.deleteContainer('tour'));
delete process.env.http_proxy;
delete process.env.no_proxy;

// An https origin: a tunnel, opened once and used again; the proxy sees a name and ciphertext.
const tunnelled = new S3Storage({ ...account, endpoint: secure.endpoint, http_proxy: north.urlWithCredentials });
await show('createContainer (https)', 'constructor http_proxy', tunnelled, north, () =>
  tunnelled.createContainer('tunnel'),
);
await show('putObject (https)', 'constructor http_proxy', tunnelled, north, () =>
  tunnelled.putObject('tunnel', 'a.txt', 'x'),
);
await show('getObject (https)', 'constructor http_proxy', tunnelled, north, async () =>
  (await tunnelled.getObject('tunnel', 'a.txt')).text(),
);

// An https proxy: TLS in TLS. And SOCKS, whose proxy looks the name up.
tunnelled.connection.setHttpProxy(east.urlWithCredentials);
await show('headObject (https)', 'setHttpProxy(east)', tunnelled, east, () => tunnelled.headObject('tunnel', 'a.txt'));
tunnelled.connection.setHttpProxy(west.urlWithCredentials);
await show('deleteObject (https)', 'setHttpProxy(west)', tunnelled, west, () =>
  tunnelled.deleteObject('tunnel', 'a.txt'),
);

for (const [proxy, name] of NAMES)
  console.log(`proxy ${name.padEnd(6)} ${formatProxy(parseProxyUrl(proxy.urlWithCredentials))}`);
console.log(`S3           ${plain.endpoint}, ${secure.endpoint}\n`);
console.log(
  formatTable(['CALL', 'PROXY SET BY', 'ROUTE TAKEN', 'BECAUSE', 'WHAT THE PROXY SAW', 'CONNECTION', 'MS'], rows),
);
console.log(
  failed === 0 ? '\nEvery call took the route that was claimed.' : `\n${failed} calls took another route than claimed.`,
);
process.exitCode = failed === 0 ? 0 : 1;

/** Makes one call and compares three accounts of its way: the driver's, the transport's, and the proxies'. */
async function show(
  call: string,
  setBy: string,
  driver: S3Storage,
  expected: LabProxy | LabSocks | null,
  run: () => Promise<unknown>,
  options: { readonly http_proxy?: string | null } = {},
): Promise<void> {
  const claimed = driver.connection.explain('', options);
  const before = new Map([...NAMES.keys()].map((proxy) => [proxy, proxy.hops.length]));
  const counts = new Map(transport.connections.map(({ id, requestCount }) => [id, requestCount]));
  const started = performance.now();
  await run();
  const elapsed = performance.now() - started;
  const used = transport.connections.find(({ id, requestCount }) => requestCount > (counts.get(id) ?? 0));
  const seen = new Map([...before].map(([proxy, count]) => [proxy, proxy.hops.slice(count)]));
  if (!isAsClaimed(claimed, expected, used?.kind, seen)) failed += 1;
  rows.push([
    call,
    setBy,
    describeRoute(claimed.route),
    `${claimed.source}: ${claimed.rule}`,
    describeHops([...seen.values()].flat(), used?.kind),
    used === undefined ? 'closed' : `${used.requestCount > 1 ? 'reused' : 'new'} (request ${used.requestCount})`,
    elapsed.toFixed(0),
  ]);
}

function isAsClaimed(
  claimed: RouteExplanation,
  expected: LabProxy | LabSocks | null,
  used: string | undefined,
  seen: ReadonlyMap<LabProxy | LabSocks, readonly (ProxyHop | SocksHop)[]>,
): boolean {
  if (used !== undefined && used !== claimed.route.kind) return false;
  for (const [proxy, hops] of seen) {
    if (proxy !== expected) {
      if (hops.length > 0) return false;
    } else if (claimed.route.kind === 'direct' || claimed.route.proxy.port !== proxy.port) return false;
    // A tunnel that is used again shows nothing new to its proxy.
    else if (hops.length === 0 && claimed.route.kind === 'forward') return false;
    else if (hops.some(({ kind, authorized }) => !authorized || HOP_KINDS[claimed.route.kind] !== kind)) return false;
  }
  return expected !== null || claimed.route.kind === 'direct';
}

function describeRoute(route: Route): string {
  if (route.kind === 'direct') return 'direct';
  const { port } = route.proxy;
  return `${route.kind} via ${[...NAMES].find(([proxy]) => proxy.port === port)?.[1] ?? 'an unknown proxy'}`;
}

function describeHops(hops: readonly (ProxyHop | SocksHop)[], used: string | undefined): string {
  if (hops.length === 0) return used === 'tunnel' || used === 'socks' ? 'ciphertext in the open tunnel' : 'nothing';
  return hops
    .map((hop) => {
      const asked = hop.kind === 'socks' ? `SOCKS${hop.version}` : hop.method;
      const answer = hop.kind === 'socks' ? hop.reply : hop.status;
      return `${asked} ${shorten(hop.target)} as ${hop.username} → ${answer}`;
    })
    .join('\n');
}

// The server's address stands above the table.
function shorten(target: string): string {
  return target.replace(/^http:\/\/[^/]+/, 'http://…').replace(/\?.*/, '?…');
}
