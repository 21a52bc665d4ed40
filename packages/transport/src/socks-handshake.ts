import { isIPv4, isIPv6, type Socket } from 'node:net';
import type { ProxyCredentials } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import { ProxyProtocolError, SocksError, type SocksStep } from './errors.ts';
import { nextChunk } from './next-chunk.ts';

/** What a SOCKS proxy is asked for. */
export interface SocksTarget {
  readonly version: 4 | 5;
  /** A name, which the proxy looks up, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly credentials: ProxyCredentials | null;
}

const NO_AUTHENTICATION = 0;
const GSSAPI = 1;
const USER_AND_PASSWORD = 2;
const NONE_ACCEPTABLE = 0xff;

/**
 * Asks a SOCKS proxy on a connected socket for a connection to the target: SOCKS5 (RFC 1928, passwords by RFC 1929),
 * SOCKS4 and its extension 4a. What the origin has said meanwhile stays on the socket.
 *
 * @throws SocksError if the proxy refuses, ProxyProtocolError if what it says is not SOCKS
 */
export async function negotiateSocks(socket: Socket, target: SocksTarget, attempt: Attempt): Promise<void> {
  const wire = new SocksWire(socket, attempt);
  try {
    if (target.version === 4) await request4(wire, target);
    else {
      await greet(wire, target);
      await request5(wire, target);
    }
  } finally {
    wire.release();
  }
}

async function greet(wire: SocksWire, { credentials }: SocksTarget): Promise<void> {
  const methods = credentials === null ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USER_AND_PASSWORD];
  wire.write(Buffer.of(5, methods.length, ...methods));
  const [version, method = NONE_ACCEPTABLE] = await wire.read(2, 'greeting');
  if (version !== 5) throw wire.notSocks(5);
  if (method === NO_AUTHENTICATION) return;
  if (method === USER_AND_PASSWORD && credentials !== null) return await authenticate(wire, credentials);
  throw wire.refused(
    'greeting',
    method,
    `no acceptable way to authenticate: ${methodHint(method, credentials)}`,
    'ERR_SOCKS_AUTHENTICATION',
  );
}

function methodHint(method: number, credentials: ProxyCredentials | null): string {
  // A choice that was not offered, as RFC 1928 forbids; in practice a server that takes GSSAPI alone.
  if (method !== NONE_ACCEPTABLE && method !== USER_AND_PASSWORD)
    return `it insists on method ${method}${method === GSSAPI ? ' (GSSAPI)' : ''}, which was not offered`;
  return credentials === null
    ? 'it wants credentials; write socks5h://user:password@host:port'
    : 'it takes neither no authentication nor a password';
}

async function authenticate(wire: SocksWire, { username, password }: ProxyCredentials): Promise<void> {
  const [user, secret] = [Buffer.from(username), Buffer.from(password)];
  wire.write(Buffer.concat([Buffer.of(1, user.length), user, Buffer.of(secret.length), secret]));
  const [version, status = NONE_ACCEPTABLE] = await wire.read(2, 'authentication');
  // RFC 1929 says version 1; some servers repeat the 5 of SOCKS.
  if (version !== 1 && version !== 5) throw wire.notSocks(5);
  if (status !== 0)
    throw wire.refused('authentication', status, 'the credentials were not accepted', 'ERR_SOCKS_AUTHENTICATION');
}

async function request5(wire: SocksWire, { host, port }: SocksTarget): Promise<void> {
  wire.write(Buffer.concat([Buffer.of(5, 1, 0), address5(host), portBytes(port)]));
  const [version, code = 1, , type] = await wire.read(4, 'request');
  if (version !== 5) throw wire.notSocks(5);
  if (code !== 0) throw wire.refused('request', code, `${code}, ${REPLIES5[code] ?? 'a code without a meaning'}`);
  // The address the proxy connects from; nobody here needs it.
  if (type === 3) {
    const [length = 0] = await wire.read(1, 'request');
    await wire.read(length + 2, 'request');
  } else if (type === 1 || type === 4) await wire.read(type === 1 ? 6 : 18, 'request');
  else throw wire.notSocks(5);
}

async function request4(wire: SocksWire, { host, port, credentials }: SocksTarget): Promise<void> {
  const user = Buffer.from(credentials?.username ?? '');
  const end = Buffer.of(0);
  // SOCKS4a: an address 0.0.0.x that cannot be stands for the name behind the user id.
  const place = isIPv4(host)
    ? [addressBytes4(host), user, end]
    : [Buffer.of(0, 0, 0, 1), user, end, Buffer.from(host), end];
  wire.write(Buffer.concat([Buffer.of(4, 1), portBytes(port), ...place]));
  const [version, code = 91] = await wire.read(8, 'request');
  // 0 by the book; some servers repeat the 4.
  if (version !== 0 && version !== 4) throw wire.notSocks(4);
  if (code === 90) return;
  const isIdentity = code === 92 || code === 93;
  throw wire.refused(
    'request',
    code,
    `${code}, ${REPLIES4[code] ?? 'a code without a meaning'}`,
    isIdentity ? 'ERR_SOCKS_AUTHENTICATION' : undefined,
  );
}

function address5(host: string): Buffer {
  if (isIPv4(host)) return Buffer.concat([Buffer.of(1), addressBytes4(host)]);
  if (isIPv6(host)) return Buffer.concat([Buffer.of(4), addressBytes6(host)]);
  const name = Buffer.from(host);
  return Buffer.concat([Buffer.of(3, name.length), name]);
}

function addressBytes4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** The URL parser has made the text regular: no zone, no dotted end, at most one `::`. */
function addressBytes6(address: string): Buffer {
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  const bytes = Buffer.alloc(16);
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  }
  return bytes;
}

function portBytes(port: number): Buffer {
  return Buffer.of(port >> 8, port & 0xff);
}

// RFC 1928 §6.
const REPLIES5: Readonly<Record<number, string>> = {
  1: 'general failure',
  2: 'not allowed by its rules',
  3: 'network unreachable',
  4: 'host unreachable, or its name unknown',
  5: 'connection refused by the origin',
  6: 'TTL expired',
  7: 'command not supported',
  8: 'address type not supported',
};

// The SOCKS4 paper of Ying-Da Lee.
const REPLIES4: Readonly<Record<number, string>> = {
  91: 'rejected or failed',
  92: 'rejected: the proxy cannot reach identd on this machine',
  93: 'rejected: the user id is not the one that identd says',
};

/** Replies after which another try may succeed: the proxy, or the way behind it, failed this time. */
const RETRYABLE: ReadonlySet<number> = new Set([1, 3, 4, 5, 6]);

/** Reads a SOCKS conversation byte for byte, and blames the right one if it breaks off. */
class SocksWire {
  readonly #socket: Socket;
  readonly #attempt: Attempt;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, attempt: Attempt) {
    this.#socket = socket;
    this.#attempt = attempt;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  async read(length: number, step: SocksStep): Promise<Buffer> {
    while (this.#bytes.length < length) this.#bytes = Buffer.concat([this.#bytes, await this.#next(step)]);
    const read = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return read;
  }

  /** Gives back what was read too far: it is the origin's. */
  release(): void {
    if (this.#bytes.length > 0 && !this.#socket.destroyed) this.#socket.unshift(this.#bytes);
  }

  refused(step: SocksStep, replyCode: number, why: string, code?: string): SocksError {
    return new SocksError(`${this.#attempt} was refused by the SOCKS proxy: ${why}`, {
      ...this.#attempt.facts(),
      ...(code === undefined ? {} : { code }),
      step,
      replyCode,
      retryable: step === 'request' && RETRYABLE.has(replyCode),
    });
  }

  notSocks(version: 4 | 5): ProxyProtocolError {
    return new ProxyProtocolError(
      `${this.#attempt}: what the proxy says is not SOCKS${version}; if it is an HTTP proxy, write http://`,
      this.#attempt.facts(),
    );
  }

  #closed(step: SocksStep): SocksError {
    return new SocksError(
      `${this.#attempt}: the SOCKS proxy closed the connection ${CLOSED_DURING[step]}; some do so instead of saying no`,
      // After a password it is most often the password: who tries again and again locks the account.
      { ...this.#attempt.facts(), step, replyCode: null, retryable: step !== 'authentication' },
    );
  }

  async #next(step: SocksStep): Promise<Buffer> {
    const chunk = await nextChunk(this.#socket);
    if (chunk === null) throw this.#closed(step);
    return chunk;
  }
}

const CLOSED_DURING: Readonly<Record<SocksStep, string>> = {
  greeting: 'instead of choosing how to authenticate',
  authentication: 'after the credentials',
  request: 'instead of answering the request',
};
