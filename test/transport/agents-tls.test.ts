import { constants } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import https, { type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { checkServerIdentity } from 'node:tls';
import { closedPort, createCa, type LabOrigin } from '@cloudlane/testing';
import { type ForeignAgents, TlsError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import got, { type OptionsOfTextResponseBody } from 'got';
import { expectWarning } from '../support/hygiene.ts';
import { reasonOf } from './agents-faults.ts';
import { ca, certificate, newTransport, origin, proxy } from './lab.ts';

const otherCa = await createCa();
const otherCertificate = await otherCa.issue({ names: ['127.0.0.1'] });
const client = await ca.issue({ names: ['client'], client: true });

async function statusOf(agents: ForeignAgents, server: LabOrigin, options: RequestOptions = {}): Promise<number> {
  const request = https.get({ host: server.host, port: server.port, agent: agents.https, ...options });
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

describe.each(['http', 'https'] as const)("a client's own TLS options, through an %s proxy", (scheme) => {
  async function way(tls = certificate, options = {}) {
    const [server, through] = [await origin('https', { tls: { ...tls, ...options } }), await proxy(scheme)];
    const transport = newTransport();
    return { server, through, transport, agents: transport.agents({ http_proxy: through.url }) };
  }

  test("ca: instead of the transport's, for the origin alone", async () => {
    const { server, through, agents } = await way(otherCertificate);
    expect(await reasonOf(statusOf(agents, server))).toBeInstanceOf(TlsError);
    expect(await statusOf(agents, server, { ca: otherCa.certificate })).toBe(200);
    expect(await reasonOf(statusOf(agents, server, { ca: ca.certificate }))).toBeInstanceOf(TlsError);
    expect(through.hops).toHaveLength(3);
    const careless = newTransport({ tls: { verify: false } }).agents({ http_proxy: null });
    expect(await reasonOf(statusOf(careless, server, { ca: ca.certificate }))).toBeInstanceOf(TlsError);
  });

  test('rejectUnauthorized: false, for the origin alone', async () => {
    const { server, agents } = await way(otherCertificate);
    expectWarning('CLOUDLANE_INSECURE', server.url);
    expect(await statusOf(agents, server, { rejectUnauthorized: false })).toBe(200);
    // What was opened without a check serves nobody who wants one.
    expect(await reasonOf(statusOf(agents, server))).toBeInstanceOf(TlsError);
    if (scheme === 'http') return;
    const stranger = newTransport({ proxyTls: {} }).agents({ http_proxy: (await proxy('https')).url });
    const refused = reasonOf(statusOf(stranger, server, { rejectUnauthorized: false }));
    expect(await refused).toMatchObject({ code: 'ERR_PROXY_TLS' });
  });

  test('cert and key: shown to the origin, and on no connection of others', async () => {
    const { server, through, agents } = await way(certificate, { clientCa: ca.certificate });
    await statusOf(agents, server, client);
    await statusOf(agents, server);
    await statusOf(agents, server, client);
    expect(server.requests.map(({ clientCertificate, connection }) => [clientCertificate, connection])).toEqual([
      ['client', 1],
      [null, 2],
      ['client', 1],
    ]);
    expect(through.hops.map(({ clientCertificate }) => clientCertificate)).toEqual([null, null]);
  });

  test.each<[string, RequestOptions]>([
    ['servername', { servername: 'origin.example' }],
    ["the Host header, as Node's agent takes it", { headers: { Host: 'origin.example:8443' } }],
  ])('%s: the name that is asked for and verified', async (_what, options) => {
    const named = await ca.issue({ names: ['origin.example'] });
    const { server, agents } = await way(named);
    expect(await reasonOf(statusOf(agents, server))).toBeInstanceOf(TlsError);
    expect(await statusOf(agents, server, options)).toBe(200);
    expect(server.requests).toMatchObject([{ servername: 'origin.example' }]);
  });

  test('minVersion and maxVersion', async () => {
    const { server, agents } = await way();
    expect(await statusOf(agents, server, { maxVersion: 'TLSv1.2' })).toBe(200);
    expect(server.requests).toMatchObject([{ tlsVersion: 'TLSv1.2' }]);
  });
});

test.each<[string, object]>([
  ['pfx', { pfx: Buffer.from('pfx') }],
  ['ciphers', { ciphers: 'AES256-SHA' }],
  ['checkServerIdentity', { checkServerIdentity: () => new Error('pinned to another') }],
  ['secureProtocol', { secureProtocol: 'TLSv1_2_method' }],
  ['secureOptions', { secureOptions: constants.SSL_OP_NO_TLSv1_3 }],
  ['sigalgs', { sigalgs: 'RSA-PSS+SHA512' }],
  ['ecdhCurve', { ecdhCurve: 'P-521' }],
  ['dhparam', { dhparam: 'auto' }],
  ['minDHSize', { minDHSize: 4096 }],
  ['ALPNProtocols', { ALPNProtocols: ['h2', 'http/1.1'] }],
  ['clientCertEngine', { clientCertEngine: 'pkcs11' }],
  ['privateKeyEngine', { privateKeyEngine: 'pkcs11' }],
  ['privateKeyIdentifier', { privateKeyIdentifier: 'pkcs11:object=key' }],
  ['pskCallback', { pskCallback: () => null }],
  ['socketPath', { socketPath: '/run/origin.sock' }],
  ['localAddress', { localAddress: '127.0.0.1' }],
  ['localPort', { localPort: 61_234 }],
  ['lookup', { lookup: () => {} }],
])('%s is refused rather than ignored', async (name, options) => {
  const server = await origin('https');
  const agents = newTransport().agents({ http_proxy: null });
  expect(await reasonOf(statusOf(agents, server, options))).toMatchObject({ name: 'InvalidOptionError', option: name });
  expect(server.connectionCount).toBe(0);
});

test('what clients write out, but is done anyway, is taken', async () => {
  const server = await origin('https');
  const agents = newTransport().agents({ http_proxy: null });
  const usual: object = { ALPNProtocols: ['http/1.1'], checkServerIdentity };
  expect(await statusOf(agents, server, usual)).toBe(200);
});

test("got's options for TLS, and its cache of names, are refused as well", async () => {
  const server = await origin('https');
  const agent = newTransport().agents({ http_proxy: null });
  const call = (options: OptionsOfTextResponseBody) =>
    reasonOf(got(server.url, { agent, retry: { limit: 0 }, ...options }));
  const refused = (option: string) => ({ cause: { name: 'InvalidOptionError', option } });
  expect(await call({ https: { signatureAlgorithms: 'RSA-PSS+SHA512' } })).toMatchObject(refused('sigalgs'));
  expect(await call({ localAddress: '127.0.0.1' })).toMatchObject(refused('localAddress'));
  expect(await call({ dnsCache: true })).toMatchObject(refused('lookup'));
});

describe('a transport that verifies by a file', () => {
  const named = (servername: string): RequestOptions => ({ servername });

  async function readOnce() {
    const file = join(await mkdtemp(join(tmpdir(), 'cloudlane-')), 'ca.pem');
    await writeFile(file, ca.certificate);
    const server = await origin('https');
    const agents = newTransport({ tls: { verify: file } }).agents({ http_proxy: null });
    expect(await statusOf(agents, server, named('origin.example'))).toBe(200);
    await rm(dirname(file), { recursive: true });
    return { server, agents };
  }

  test('reads it once for all requests with the same options', async () => {
    const { server, agents } = await readOnce();
    expect(await statusOf(agents, server, named('origin.example'))).toBe(200);
    const other = reasonOf(statusOf(agents, server, named('proxy.example')));
    expect(await other).toMatchObject({ option: 'tls.verify', reason: expect.stringContaining('cannot be read') });
  });

  test('keeps what was used last, not all there ever was', async () => {
    const { server, agents } = await readOnce();
    const nowhere = { port: await closedPort(), rejectUnauthorized: false };
    const pass = async (count: number) => {
      for (let index = 0; index < count; index += 1) {
        const options = { ...nowhere, ...named(`n${index}.example`) };
        expect(await reasonOf(statusOf(agents, server, options))).toMatchObject({ code: 'ERR_CONNECT' });
      }
    };
    await pass(19);
    expect(await statusOf(agents, server, named('origin.example'))).toBe(200);
    await pass(20);
    const forgotten = reasonOf(statusOf(agents, server, named('origin.example')));
    expect(await forgotten).toMatchObject({ option: 'tls.verify' });
  });

  test('sees that a list of authorities has become longer', async () => {
    const server = await origin('https');
    const agents = newTransport({ tls: {} }).agents({ http_proxy: null });
    const authorities = [otherCa.certificate];
    expect(await reasonOf(statusOf(agents, server, { ca: authorities }))).toBeInstanceOf(TlsError);
    authorities.push(ca.certificate);
    expect(await statusOf(agents, server, { ca: authorities })).toBe(200);
  });
});
