import { InvalidOptionError } from '@cloudlane/proxy';
import { checkRecord } from './given-values.ts';
import { readParams } from './merge.ts';
import type { QueryParams, SessionOptions } from './session-options.ts';

/**
 * A session's options with what can be told of them before anything is made of them; parameters as a plain object.
 * @throws InvalidOptionError naming the option that is of no use
 */
export function readSessionOptions(
  options: SessionOptions,
): Omit<SessionOptions, 'params'> & { readonly params: QueryParams | undefined } {
  const { transport, har, userAgent, noProxy, baseHeaders, params } = options;
  if (transport !== undefined && !hasMethods(transport, 'send', 'check'))
    throw new InvalidOptionError('transport', 'must be a Transport');
  if (har !== undefined && !hasMethods(har, 'answered', 'failed', 'save'))
    throw new InvalidOptionError('har', 'must be a HarRecorder');
  if (userAgent !== undefined && userAgent !== null && typeof userAgent !== 'string')
    throw new InvalidOptionError('userAgent', 'must be text, or null to send none');
  if (noProxy === null) throw new InvalidOptionError('noProxy', 'is null; write [] for none, or leave it out');
  if (baseHeaders !== undefined) checkRecord(baseHeaders, 'baseHeaders', "an object such as { Accept: 'text/plain' }");
  return { ...options, params: params ? readParams(params) : undefined };
}

function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  return (
    typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}
