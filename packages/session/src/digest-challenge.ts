import { type Challenge, parseChallenges } from '@cloudlane/transport';
import { type DigestAlgorithm, findAlgorithm } from './digest-hash.ts';

/** A Digest challenge that can be answered (RFC 7616 §3.3). */
export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | null;
  readonly algorithm: DigestAlgorithm;
  /** In the server's spelling; null: it named none. */
  readonly algorithmName: string | null;
  /** In lower case; null where the server is as old as RFC 2069. */
  readonly qop: readonly string[] | null;
  /** The credentials were right, but not the nonce. */
  readonly stale: boolean;
  readonly userhash: boolean;
  /** Whether the server said that it reads names in UTF-8. */
  readonly utf8: boolean;
  /** URIs that the credentials are for; none: all of the origin. */
  readonly domain: readonly string[];
}

/** The Digest challenges of a `WWW-Authenticate` field whose algorithm is known, strongest first. */
export function readDigestChallenges(field: string | undefined): DigestChallenge[] {
  return parseChallenges(field)
    .filter(({ scheme }) => scheme === 'digest')
    .map(readChallenge)
    .filter((challenge) => challenge !== null)
    .sort((one, other) => other.algorithm.strength - one.algorithm.strength);
}

function readChallenge({ params }: Challenge): DigestChallenge | null {
  const algorithmName = params.get('algorithm') ?? null;
  const algorithm = findAlgorithm(algorithmName ?? 'MD5');
  const realm = params.get('realm');
  const nonce = params.get('nonce');
  if (realm === undefined || nonce === undefined || algorithm === null) return null;
  const qop = wordsOf(params.get('qop')?.toLowerCase());
  return {
    realm,
    nonce,
    opaque: params.get('opaque') ?? null,
    algorithm,
    algorithmName,
    qop: qop.length === 0 ? null : qop,
    stale: isTrue(params.get('stale')),
    userhash: isTrue(params.get('userhash')),
    utf8: params.get('charset')?.toLowerCase() === 'utf-8',
    domain: wordsOf(params.get('domain')),
  };
}

function isTrue(value: string | undefined): boolean {
  return value?.toLowerCase() === 'true';
}

function wordsOf(list: string | undefined): string[] {
  return (list ?? '').split(/[\s,]+/).filter((word) => word !== '');
}
