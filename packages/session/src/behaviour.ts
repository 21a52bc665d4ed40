import { InvalidOptionError } from '@cloudlane/proxy';
import { isWritable } from './line-writer.ts';
import type { Behaviour } from './session-options.ts';

/** Behaviour with every default in place. */
export type ResolvedBehaviour = {
  readonly [K in keyof Required<Behaviour>]:
    | Exclude<Behaviour[K], undefined>
    | (K extends 'allowRedirects' ? undefined : never);
};

/** What a session does unless it is told otherwise. */
export const DEFAULT_BEHAVIOUR: ResolvedBehaviour = {
  allowRedirects: undefined,
  maxRedirects: 30,
  allowInsecureRedirects: false,
  strictMode: false,
  prefetch: false,
  keepAlive: true,
  maxRetries: 0,
  safeMode: false,
  dangerMode: false,
  encodeUri: true,
  hookErrors: 'warn',
  verbose: null,
  debug: null,
};

/** Names of the options of `Behaviour`. */
export const BEHAVIOUR_NAMES: readonly (keyof Behaviour)[] = Object.keys(DEFAULT_BEHAVIOUR) as (keyof Behaviour)[];

/**
 * Lays a call's behaviour over its session's.
 * @throws InvalidOptionError naming the option whose value is of no use
 */
export function resolveBehaviour(base: ResolvedBehaviour, over: Behaviour): ResolvedBehaviour {
  const resolved = {
    allowRedirects: over.allowRedirects ?? base.allowRedirects,
    maxRedirects: over.maxRedirects ?? base.maxRedirects,
    allowInsecureRedirects: over.allowInsecureRedirects ?? base.allowInsecureRedirects,
    strictMode: over.strictMode ?? base.strictMode,
    prefetch: over.prefetch ?? base.prefetch,
    keepAlive: over.keepAlive ?? base.keepAlive,
    maxRetries: over.maxRetries ?? base.maxRetries,
    safeMode: over.safeMode ?? base.safeMode,
    dangerMode: over.dangerMode ?? base.dangerMode,
    encodeUri: over.encodeUri ?? base.encodeUri,
    hookErrors: over.hookErrors ?? base.hookErrors,
    verbose: over.verbose === undefined ? base.verbose : over.verbose,
    debug: over.debug === undefined ? base.debug : over.debug,
  };
  check(resolved);
  return resolved;
}

const SWITCHES = [
  'allowInsecureRedirects',
  'strictMode',
  'prefetch',
  'keepAlive',
  'safeMode',
  'dangerMode',
  'encodeUri',
] as const;

function check(behaviour: ResolvedBehaviour): void {
  for (const name of SWITCHES) {
    if (typeof behaviour[name] !== 'boolean') throw new InvalidOptionError(name, 'must be true or false');
  }
  const { allowRedirects, maxRedirects, maxRetries, hookErrors, verbose, debug } = behaviour;
  if (allowRedirects !== undefined && typeof allowRedirects !== 'boolean')
    throw new InvalidOptionError('allowRedirects', 'must be true or false');
  for (const [name, value] of [['maxRedirects', maxRedirects] as const, ['maxRetries', maxRetries] as const]) {
    if (!(Number.isInteger(value) && value >= 0)) throw new InvalidOptionError(name, 'must be a whole number from 0');
  }
  if (hookErrors !== 'warn' && hookErrors !== 'throw')
    throw new InvalidOptionError('hookErrors', "must be 'warn' or 'throw'");
  if (verbose !== null && !isWritable(typeof verbose === 'object' && 'to' in verbose ? verbose.to : verbose))
    throw new InvalidOptionError('verbose', 'must be a writable stream, or { to: a writable stream }');
  if (debug !== null && debug !== 'curl' && debug.format !== 'curl')
    throw new InvalidOptionError('debug', "must be 'curl', or { format: 'curl', … }");
}
