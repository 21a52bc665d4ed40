import { once } from 'node:events';
import https, { type RequestOptions } from 'node:https';
import type { LabOrigin } from '@cloudlane/testing';
import { createCa } from '@cloudlane/testing';
import { type ForeignAgents, TlsError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
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

test.each<[string, RequestOptions]>([
  ['pfx', { pfx: Buffer.from('pfx') }],
  ['ciphers', { ciphers: 'AES256-SHA' }],
  ['checkServerIdentity', { checkServerIdentity: () => new Error('pinned to another') }],
  ['socketPath', { socketPath: '/run/origin.sock' }],
])('%s is refused rather than ignored', async (name, options) => {
  const server = await origin('https');
  const agents = newTransport().agents({ http_proxy: null });
  expect(await reasonOf(statusOf(agents, server, options))).toMatchObject({ name: 'InvalidOptionError', option: name });
  expect(server.connectionCount).toBe(0);
});
