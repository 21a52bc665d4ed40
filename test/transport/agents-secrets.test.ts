// What prints the requests, answers and errors of other clients must not print the credentials of the proxy.
import { once } from 'node:events';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import type { LabOrigin } from '@cloudlane/testing';
import type { ForeignAgents } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import axios from 'axios';
import got from 'got';
import fetch from 'node-fetch';
import { secretsIn } from '../support/secrets.ts';
import { reasonOf } from './agents-faults.ts';
import { stationOf, WAYS } from './agents-lab.ts';
import { newTransport, origin } from './lab.ts';

type Seen = readonly unknown[];

/** Calls `/` and `/broken`, whose answer breaks off; returns all that its caller gets to see. */
type Call = (agents: ForeignAgents, server: LabOrigin) => Promise<Seen>;

const pick = (agents: ForeignAgents, url: string) => (url.startsWith('https:') ? agents.https : agents.http);

const CALLS: readonly (readonly [string, Call])[] = [
  [
    'axios',
    async (agents, { url }) => {
      const client = axios.create({ proxy: false, httpAgent: agents.http, httpsAgent: agents.https });
      const response = await client.get(url);
      const refused = await reasonOf(client.get(`${url}/missing`));
      expect(refused).toMatchObject({ response: { status: 404 } });
      const streamed = await client.get(url, { responseType: 'stream', maxRedirects: 0 });
      return [response, refused, await reasonOf(client.get(`${url}/broken`)), streamed, streamed.data.resume()];
    },
  ],
  [
    'got',
    async (agent, { url }) => {
      const response = await got(url, { agent });
      const refused = await reasonOf(got(`${url}/missing`, { agent }));
      expect(refused).toMatchObject({ code: 'ERR_NON_2XX_3XX_RESPONSE' });
      return [
        response,
        response.request,
        refused,
        await reasonOf(got(`${url}/broken`, { agent, retry: { limit: 0 } })),
      ];
    },
  ],
  [
    'node-fetch',
    async (agents, { url }) => {
      const agent = pick(agents, url);
      const response = await fetch(url, { agent });
      const before = shown([response, response.body]);
      await response.text();
      return [
        before,
        response,
        response.body,
        await reasonOf(fetch(`${url}/broken`, { agent }).then((broken) => broken.text())),
      ];
    },
  ],
  [
    'Node',
    async (agents, { url }) => {
      const node = url.startsWith('https:') ? https : http;
      const request: ClientRequest = node.get(url, { agent: pick(agents, url) });
      const early = shown([request]);
      const [response]: IncomingMessage[] = await once(request, 'response');
      const before = shown([request, response, request.socket]);
      response?.resume();
      const broken = node.get(`${url}/broken`, { agent: pick(agents, url) });
      const [half]: IncomingMessage[] = await once(broken, 'response');
      return [early, before, request, response, half && (await reasonOf(text(half))), broken];
    },
  ],
];

/** All that can be made to print of it, in one text. */
function shown(seen: Seen): string {
  return seen
    .flatMap((each) => [
      inspect(each),
      inspect(each, { depth: null, maxArrayLength: null, maxStringLength: null }),
      inspect(each, { depth: 4, showHidden: true }),
      String(each),
      jsonOf(each),
    ])
    .join('\n');
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch (error) {
    // What leads back to itself has no JSON.
    return inspect(error);
  }
}

async function lab(scheme: 'http' | 'https', way: (typeof WAYS)[number]) {
  const server = await origin(scheme, {
    handler: ({ url = '' }, response) => {
      if (url.endsWith('/broken'))
        response.writeHead(200, { 'Content-Length': 9 }).write('half', () => response.destroy());
      else response.writeHead(url.endsWith('/missing') ? 404 : 200).end('answer');
    },
  });
  const station = await stationOf(way);
  return { server, station, agents: newTransport().agents({ http_proxy: station?.urlWithCredentials ?? null }) };
}

describe.each(CALLS)('%s', (_name, call) => {
  const rows = (['http', 'https'] as const).flatMap((scheme) =>
    WAYS.filter((way) => way !== 'direct').map((way) => [scheme, way] as const),
  );

  test.each(rows)("to an %s origin, %s: prints nothing of the proxy's password", async (scheme, way) => {
    const { server, station, agents } = await lab(scheme, way);
    const seen = await call(agents, server);
    expect(station?.hops[0]).toMatchObject({ authorized: true });
    expect(secretsIn(shown([...seen, agents]))).toEqual([]);
  });
});

test('a request shows where it goes and through whom', async () => {
  const { server, station, agents } = await lab('http', 'http proxy');
  const request = http.get(`${server.url}/path?token=abc`, { agent: agents.http });
  const expected = `<ClientRequest GET ${server.url}/path?token=*** through http://user:***@127.0.0.1:${station?.port}>`;
  expect(inspect(request)).toContain(expected);
  expect(JSON.stringify({ request })).toBe(JSON.stringify({ request: expected }));
  (await once(request, 'response'))[0].resume();
});

test('without a proxy it is shown as ever', async () => {
  const { server, agents } = await lab('http', 'direct');
  const request = http.get(server.url, { agent: agents.http });
  expect(inspect(request)).toContain('_header:');
  (await once(request, 'response'))[0].resume();
});
