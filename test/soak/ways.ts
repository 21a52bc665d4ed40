// The lab of the soak test: origins that do as a request's `x-act` says, and a station for every fault of a proxy.
import type { LabOrigin, Misbehaviour, OriginHandler, SocksMisbehaviour } from '@cloudlane/testing';
import type { Timeouts } from '@cloudlane/transport';
import { AUTH, origin, proxy, type Scheme, SOCKS_SCHEMES, socks } from '../transport/lab.ts';
import type { Act, Way } from './plan.ts';

const SCHEMES: readonly Scheme[] = ['http', 'https'];

/** For ways that fall silent: long enough for a handshake that does not, on a busy machine too, or it is cut. */
const SHORT: Timeouts = { handshake: 40, firstByte: 40, idle: 40 };

interface Fault {
  /** Whether requests get through all the same. */
  readonly works?: true;
  readonly timeout?: Timeouts;
}

type ProxyFault = Fault & { readonly misbehaviour: Misbehaviour };
type SocksFault = Fault & { readonly misbehaviour: SocksMisbehaviour };

const PROXY_FAULTS: readonly ProxyFault[] = [
  { misbehaviour: { kind: 'refuse' } },
  { misbehaviour: { kind: 'refuse', how: 'close-listener' } },
  { misbehaviour: { kind: 'mute' }, timeout: SHORT },
  { misbehaviour: { kind: 'tls-garbage' } },
  { misbehaviour: { kind: 'reset' } },
  { misbehaviour: { kind: 'end' } },
  { misbehaviour: { kind: 'hang' }, timeout: SHORT },
  { misbehaviour: { kind: 'half-header' } },
  { misbehaviour: { kind: 'garbage' } },
  { misbehaviour: { kind: 'drip', interval: 5 }, timeout: { total: 40 } },
  { misbehaviour: { kind: 'reply', status: 407, headers: { 'proxy-authenticate': 'Basic realm="soak"' } } },
  { misbehaviour: { kind: 'reply', status: 403, body: 'no', keepOpen: true } },
  { misbehaviour: { kind: 'refuse-origin' } },
  { misbehaviour: { kind: 'close-after-tunnel' } },
  { misbehaviour: { kind: 'close-after-tunnel', how: 'reset' } },
  { misbehaviour: { kind: 'silent-tunnel' }, timeout: SHORT },
  { misbehaviour: { kind: 'early-bytes', bytes: 'not asked for' } },
  { misbehaviour: { kind: 'stall-body' }, timeout: SHORT },
  { misbehaviour: { kind: 'truncate-body' } },
  { misbehaviour: { kind: 'close-idle' }, works: true },
  { misbehaviour: { kind: 'byte-by-byte', on: 'connect' }, works: true },
  { misbehaviour: { kind: 'split-reply' }, works: true },
  { misbehaviour: { kind: 'interim' }, works: true },
  { misbehaviour: { kind: 'http10' }, works: true },
];

const SOCKS_FAULTS: readonly SocksFault[] = [
  { misbehaviour: { kind: 'refuse' } },
  { misbehaviour: { kind: 'mute' }, timeout: SHORT },
  { misbehaviour: { kind: 'hang', in: 'greeting' }, timeout: SHORT },
  { misbehaviour: { kind: 'end', in: 'auth' } },
  { misbehaviour: { kind: 'reset', in: 'request' } },
  { misbehaviour: { kind: 'garbage', in: 'request' } },
  { misbehaviour: { kind: 'half', in: 'request' } },
  { misbehaviour: { kind: 'half-stall', in: 'request' }, timeout: SHORT },
  { misbehaviour: { kind: 'method', method: 0xff } },
  { misbehaviour: { kind: 'reply', code: 5 } },
  { misbehaviour: { kind: 'http-answer' } },
  { misbehaviour: { kind: 'close-after-tunnel' } },
  { misbehaviour: { kind: 'silent-tunnel' }, timeout: SHORT },
  { misbehaviour: { kind: 'early-bytes', bytes: 'not asked for' } },
  { misbehaviour: { kind: 'byte-by-byte' }, works: true },
  { misbehaviour: { kind: 'bound-name', name: 'bound.example' }, works: true },
];

/** What can be waited for until nobody is connected to it. */
export interface Station {
  waitUntilIdle(): Promise<void>;
}

/** Starts all of the lab. @returns the ways, those without a fault first, and the servers */
export async function startWays(): Promise<{ sound: Way[]; faulty: Way[]; stations: Station[] }> {
  const origins = { http: await startOrigin('http'), https: await startOrigin('https') };
  const sound: Way[] = SCHEMES.map((scheme) => way(`${scheme} without a proxy`, origins[scheme].url, null));
  const faulty: Way[] = [];
  const stations: Station[] = Object.values(origins);
  const hosts = { 'origin.example': '127.0.0.1' };
  for (const over of SCHEMES) {
    for (const fault of [null, ...PROXY_FAULTS]) {
      const misbehaviour = fault?.misbehaviour;
      const station = await proxy(over, misbehaviour ? { misbehaviour } : { auth: AUTH });
      stations.push(station);
      for (const scheme of SCHEMES) {
        const name = `${scheme} over an ${over} proxy${fault ? `: ${print(fault.misbehaviour)}` : ''}`;
        (fault ? faulty : sound).push(way(name, origins[scheme].url, station.urlWithCredentials, fault));
      }
    }
  }
  for (const fault of [null, ...SOCKS_FAULTS]) {
    const station = await socks({ auth: AUTH, userId: AUTH.username, hosts, ...fault });
    stations.push(station);
    for (const by of fault ? (['socks4a', 'socks5h'] as const) : SOCKS_SCHEMES) {
      for (const scheme of SCHEMES) {
        const name = `${scheme} over ${by}${fault ? `: ${print(fault.misbehaviour)}` : ''}`;
        const url = isNamed(by) ? `${scheme}://origin.example:${origins[scheme].port}` : origins[scheme].url;
        (fault ? faulty : sound).push(way(name, url, station.urlFor(by, { credentials: true }), fault));
      }
    }
  }
  return { sound, faulty, stations };
}

function way(name: string, url: string, http_proxy: string | null, fault: Fault | null = null): Way {
  return { name, url, http_proxy, works: fault === null || fault.works === true, timeout: fault?.timeout ?? {} };
}

/** Whether the proxy looks up names. */
function isNamed(by: string): boolean {
  return by === 'socks4a' || by === 'socks5h';
}

function print(misbehaviour: Misbehaviour | SocksMisbehaviour): string {
  return Object.values(misbehaviour)
    .filter((value) => typeof value !== 'object')
    .join(' ');
}

function startOrigin(scheme: Scheme): Promise<LabOrigin> {
  return origin(scheme, { recordBodies: false, handler: act });
}

/** Answers `<x-id>:<bytes received>:` and as many dots as make `x-size` bytes, unless it is to do something else. */
const act: OriginHandler = async (request, response) => {
  const { 'x-act': what, 'x-id': id, 'x-size': size } = request.headers;
  switch (what as Act) {
    case 'destroy':
      return void request.socket.destroy();
    case 'hang':
      return void request.resume();
    case 'refuse':
      return void response.writeHead(413, { connection: 'close' }).end('too much');
    default:
  }
  let bytes = 0;
  for await (const chunk of request) bytes += chunk.length;
  const answer = `${id}:${bytes}:`.padEnd(Number(size), '.');
  if (what === 'echo and close') response.setHeader('connection', 'close');
  response.writeHead(200, { 'content-length': answer.length });
  if (what === 'echo' || what === 'echo and close') return void response.end(answer);
  response.write(answer.slice(0, answer.length / 2), () => {
    if (what === 'break off') request.socket.destroy();
  });
};
