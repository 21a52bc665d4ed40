// An origin with Digest authentication that checks every part of an answer to its challenges, and says what is wrong.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type LabOrigin, type OriginOptions, startOrigin } from '@cloudlane/testing';
import { use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';

export const USER = { username: 'Mufasa', password: SECRETS.originPassword } as const;

export interface DigestSettings {
  /** @defaultValue { algorithm: 'MD5', qop: 'auth' } */
  readonly offers?: readonly DigestOffer[];
  readonly realm?: string;
  readonly opaque?: string | null;
  readonly domain?: string;
  readonly charset?: 'UTF-8';
  readonly userhash?: boolean;
  /** How many requests may use a nonce before it is stale. @defaultValue any number */
  readonly uses?: number;
  /** Whether a worn nonce is called stale, and not just refused. @defaultValue true */
  readonly tellsStale?: boolean;
  /** One nonce for everybody. @defaultValue one for each challenge */
  readonly nonce?: string;
  /** Challenges before and after ours. */
  readonly others?: readonly [before: string, after: string];
  readonly username?: string;
  readonly password?: string;
  /** Where to send those who are let in, by request target. */
  readonly redirects?: Readonly<Record<string, string>>;
  /** What a 401 waits for. */
  readonly hold?: () => Promise<void>;
  readonly tls?: OriginOptions['tls'];
}

export interface DigestOffer {
  /** Null: none is named. */
  readonly algorithm: string | null;
  readonly qop: string | null;
}

/** What a request showed, after it was found right. */
export interface DigestSeen {
  readonly target: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DigestOrigin {
  readonly url: string;
  readonly origin: LabOrigin;
  /** Requests that were let in. */
  readonly seen: readonly DigestSeen[];
  /** The status of each answer. */
  readonly answers: readonly number[];
}

const HASHES: Readonly<Record<string, string>> = {
  MD5: 'md5',
  SHA: 'sha1',
  'SHA-256': 'sha256',
  'SHA-512': 'sha512',
  'SHA-512-256': 'sha512-256',
};

const STATUSES: Readonly<Record<string, number>> = { right: 200, wrong: 401, stale: 401 };

/** Answers 200 and the body to who is let in, 401 to others, and 400 with a reason to who breaks a rule. */
export async function digestOrigin(settings: DigestSettings = {}): Promise<DigestOrigin> {
  const guard = new Guard(settings);
  const handler = (request: IncomingMessage, response: ServerResponse) => guard.serve(request, response);
  const origin = await use(startOrigin({ handler, ...(settings.tls && { tls: settings.tls }) }));
  return { url: origin.url, origin, seen: guard.seen, answers: guard.answers };
}

class Guard {
  readonly seen: DigestSeen[] = [];
  readonly answers: number[] = [];
  readonly #settings: DigestSettings;
  /** The counts that were used with each nonce. */
  readonly #nonces = new Map<string, Set<number>>();
  readonly #cnonces = new Set<string>();
  #given = 0;

  constructor(settings: DigestSettings) {
    this.#settings = settings;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const verdict = this.#judge(request, body);
    const location = this.#settings.redirects?.[String(request.url)];
    const status = STATUSES[verdict] ?? 400;
    if (status === 200 && location !== undefined) {
      this.answers.push(302);
      response.writeHead(302, { Location: location }).end();
      return;
    }
    this.answers.push(status);
    if (status === 401) {
      await this.#settings.hold?.();
      response.setHeader('WWW-Authenticate', this.#challenges(verdict === 'stale'));
    }
    response.writeHead(status).end(status === 200 ? body : verdict);
  }

  #challenges(isStale: boolean): string {
    const { realm = 'test', opaque = 'opa"que', domain, charset, userhash, others, tellsStale = true } = this.#settings;
    const nonce = this.#settings.nonce ?? `nonce, ${this.#given++} "quoted"`;
    if (!this.#nonces.has(nonce)) this.#nonces.set(nonce, new Set());
    const ours = this.#offers().map(({ algorithm, qop }) =>
      [
        `dIGEST realm="${withEscapes(realm)}", nonce="${withEscapes(nonce)}"`,
        ...(qop === null ? [] : [`qop="${qop}"`]),
        ...(algorithm === null ? [] : [`algorithm=${algorithm}`]),
        ...(opaque === null ? [] : [`opaque="${withEscapes(opaque)}"`]),
        ...(domain === undefined ? [] : [`domain="${domain}"`]),
        ...(charset === undefined ? [] : [`charset=${charset}`]),
        ...(userhash === undefined ? [] : [`userhash=${userhash}`]),
        ...(isStale && tellsStale ? ['stale=TRUE'] : []),
      ].join(', '),
    );
    return [others?.[0], ...ours, others?.[1]].filter((each) => each !== undefined).join(', ');
  }

  #offers(): readonly DigestOffer[] {
    return this.#settings.offers ?? [{ algorithm: 'MD5', qop: 'auth' }];
  }

  /** `right`, `wrong`, `stale`, or the rule that was broken. */
  #judge(request: IncomingMessage, body: Buffer): string {
    const { authorization } = request.headers;
    if (authorization === undefined) return 'wrong';
    if (!authorization.startsWith('Digest ')) return `scheme ${authorization.split(' ')[0]}`;
    const params = read(authorization.slice('Digest '.length));
    if (params === null) return `unreadable: ${authorization}`;
    const { realm = 'test', opaque = 'opa"que', uses = Number.POSITIVE_INFINITY } = this.#settings;
    const offer = this.#offers().find(({ algorithm }) => algorithm === (params.algorithm ?? null));
    if (!offer) return `algorithm ${params.algorithm}`;
    if (params.realm !== realm) return `realm ${params.realm}`;
    if ((params.opaque ?? null) !== opaque) return `opaque ${params.opaque}`;
    if (params.uri !== request.url) return `uri ${params.uri} for ${request.url}`;
    const user = this.#judgeUser(params, offer);
    if (user !== null) return user;
    const used = this.#nonces.get(params.nonce ?? '');
    if (!used) return `nonce ${params.nonce}`;
    const counted = this.#judgeCount(params, offer, used);
    if (counted !== null) return counted;
    if (this.#expected(params, offer, String(request.method), body) !== params.response) return 'wrong';
    if (used.size >= uses) return 'stale';
    used.add(offer.qop === null ? used.size + 1 : Number.parseInt(params.nc ?? '', 16));
    this.seen.push({ target: String(request.url), params, body: body.toString() });
    return 'right';
  }

  #judgeUser(params: Readonly<Record<string, string>>, { algorithm }: DigestOffer): string | null {
    const { username = USER.username, userhash, charset, realm = 'test' } = this.#settings;
    if (userhash) {
      const hashed = hash(algorithm, `${username}:${realm}`);
      return params.userhash === 'true' && params.username === hashed ? null : 'userhash';
    }
    if (params.userhash !== undefined) return 'userhash without need';
    const isPlain = /^[\x20-\x7e]*$/.test(username);
    if (charset && !isPlain) {
      const [, extended = ''] = /^UTF-8''([\w.~%!#$&+^`|-]*)$/.exec(params['username*'] ?? '') ?? [];
      return decodeURIComponent(extended) === username && params.username === undefined ? null : 'username*';
    }
    return Buffer.from(params.username ?? '', 'latin1').toString() === username ? null : 'username';
  }

  #judgeCount(
    params: Readonly<Record<string, string>>,
    { qop, algorithm }: DigestOffer,
    used: ReadonlySet<number>,
  ): string | null {
    if (qop === null && !algorithm?.endsWith('-sess')) {
      return params.qop ?? params.nc ?? params.cnonce ?? null;
    }
    const { cnonce = '' } = params;
    if (!/^[\da-f]{32}$/.test(cnonce)) return `cnonce ${cnonce}`;
    if (!algorithm?.endsWith('-sess') && this.#cnonces.has(cnonce)) return 'cnonce used before';
    this.#cnonces.add(cnonce);
    if (qop === null) return null;
    if (!qop.split(/[ ,]+/).includes(params.qop ?? '')) return `qop ${params.qop}`;
    if (!/^[\da-f]{8}$/.test(params.nc ?? '')) return `nc ${params.nc}`;
    return used.has(Number.parseInt(params.nc ?? '', 16)) ? `nc ${params.nc} used before` : null;
  }

  #expected(
    params: Readonly<Record<string, string>>,
    { algorithm }: DigestOffer,
    method: string,
    body: Buffer,
  ): string {
    const { username = USER.username, password = USER.password, realm = 'test' } = this.#settings;
    const { nonce, nc, cnonce, qop, uri } = params;
    const a1 = hash(algorithm, `${username}:${realm}:${password}`);
    const ha1 = algorithm?.endsWith('-sess') ? hash(algorithm, `${a1}:${nonce}:${cnonce}`) : a1;
    const a2 = `${method}:${uri}${qop === 'auth-int' ? `:${hash(algorithm, body)}` : ''}`;
    const middle = qop === undefined ? nonce : [nonce, nc, cnonce, qop].join(':');
    return hash(algorithm, `${ha1}:${middle}:${hash(algorithm, a2)}`);
  }
}

function hash(algorithm: string | null, data: string | Buffer): string {
  const name = (algorithm ?? 'MD5').replace(/-sess$/, '');
  return createHash(HASHES[name] ?? name)
    .update(data)
    .digest('hex');
}

function withEscapes(text: string): string {
  return text.replace(/["\\]/g, '\\$&');
}

/** Strictly as RFC 7616 §3.4 writes it: what has to be quoted is, and what must not be is not. */
function read(text: string): Record<string, string> | null {
  const params: Record<string, string> = {};
  const quoted = new Set(['username', 'realm', 'nonce', 'uri', 'response', 'cnonce', 'opaque']);
  for (let rest = text; rest !== ''; ) {
    const [all, name = '', string, token] = /^([\w*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))(?:, |$)/.exec(rest) ?? [];
    if (all === undefined || quoted.has(name) !== (string !== undefined) || params[name] !== undefined) return null;
    params[name] = string?.replace(/\\(.)/g, '$1') ?? token ?? '';
    rest = rest.slice(all.length);
  }
  return params;
}
