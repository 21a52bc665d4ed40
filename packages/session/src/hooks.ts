import { types } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { checkRecord } from './given-values.ts';
import { HttpResponse } from './http-response.ts';
import { readHeaders, readParams } from './merge.ts';
import { PreparedRequest } from './prepared-request.ts';
import type { Session } from './session.ts';
import type { RequestOptions } from './session-options.ts';

/** The arguments of a call, as the hook `args` sees and may change them. */
export type RequestArgs = { -readonly [K in keyof RequestOptions]: RequestOptions[K] } & {
  method: string;
  url: string | URL;
};

/** What a hook is told besides its data. */
export interface HookContext {
  readonly session: Session;
  /** The answer, in `postRequest`. */
  readonly response?: HttpResponse;
}

/** Sees the data, and may change or, by returning another, replace it. Nothing, undefined and null keep it. */
export type Hook<T> =
  | ((data: T, context: HookContext) => T | null | undefined | Promise<T | null | undefined>)
  | ((data: T, context: HookContext) => void | Promise<void>);

/** A hook, or several that run one after the other; null: none, in the session's place too. */
export type HookList<T> = Hook<T> | readonly Hook<T>[] | null | undefined;

/** Callbacks on the way of a call. On redirects they run once: for the first request and the last answer. */
export interface Hooks {
  /** The arguments, before anything is made of them. */
  readonly args?: HookList<RequestArgs>;
  /** The request as it will go out, auth applied. */
  readonly preRequest?: HookList<PreparedRequest>;
  /** The answer, before the caller has it. */
  readonly response?: HookList<HttpResponse>;
  /** The request once more, after `response`. */
  readonly postRequest?: HookList<PreparedRequest>;
}

interface HookData {
  readonly args: RequestArgs;
  readonly preRequest: PreparedRequest;
  readonly response: HttpResponse;
  readonly postRequest: PreparedRequest;
}

type HookName = keyof HookData;

const CHECKS: { readonly [K in HookName]: readonly [what: string, check: (value: unknown) => boolean] } = {
  args: ['an object with method and url', isArgs],
  preRequest: ['a PreparedRequest', isRequest],
  response: ['an HttpResponse', (value) => value instanceof HttpResponse],
  postRequest: ['a PreparedRequest', isRequest],
};

/** The hooks of one call: the session's, and in their place those that the call names. */
export class HookChain {
  readonly #hooks: Hooks;
  readonly #errors: 'warn' | 'throw';
  readonly #session: Session;

  /** @throws InvalidOptionError if there is no such hook, or it is no function */
  constructor(session: Session, defaults: Hooks | null, call: Hooks | null | undefined, errors: 'warn' | 'throw') {
    this.#session = session;
    checkHooks(defaults);
    if (call !== undefined) checkHooks(call);
    this.#hooks = call === undefined ? (defaults ?? NO_HOOKS) : mergeHooks(defaults, call);
    this.#errors = errors;
  }

  has(name: HookName): boolean {
    const hooks = this.#hooks[name];
    return typeof hooks === 'function' || (hooks?.length ?? 0) > 0;
  }

  /**
   * Runs the hooks of that name one after the other.
   * @returns the data, or what the last of them put in its place
   * @throws InvalidOptionError if one returns something else; what a hook throws, with `hookErrors: 'throw'`
   */
  async run<K extends HookName>(name: K, data: HookData[K], response?: HttpResponse): Promise<HookData[K]> {
    const context = { session: this.#session, ...(response && { response }) };
    if (name === 'args') makePlain(data);
    let current = data;
    for (const hook of listOf<HookData[K]>(this.#hooks[name] as HookList<HookData[K]>)) {
      const returned = await this.#call(name, () => hook(current, context));
      if (returned === undefined || returned === null) continue;
      const [what, isRight] = CHECKS[name];
      if (!isRight(returned))
        throw new InvalidOptionError(`hooks.${name}`, `returned ${nameOf(returned)}; return ${what}, or nothing`);
      current = returned as HookData[K];
    }
    return current;
  }

  async #call(name: HookName, hook: () => unknown): Promise<unknown> {
    try {
      return await hook();
    } catch (error) {
      if (this.#errors === 'throw') throw error;
      const why = types.isNativeError(error) ? (error.stack ?? error.message) : String(error);
      process.emitWarning(`A hook (${name}) failed, and was passed over: ${why}`, {
        type: 'HookWarning',
        code: 'HOOK_ERROR',
      });
      return undefined;
    }
  }
}

/** @throws InvalidOptionError if there is no such hook, or it is no function */
export function checkHooks(hooks: Hooks | null): void {
  if (hooks === NO_HOOKS || hooks === null) return;
  checkRecord(hooks, 'hooks', `an object with ${Object.keys(CHECKS).join(', ')}`);
  for (const [name, hook] of Object.entries(hooks)) {
    if (!Object.hasOwn(CHECKS, name))
      throw new InvalidOptionError(`hooks.${name}`, `is unknown; write ${Object.keys(CHECKS).join(', ')}`);
    const list: readonly unknown[] = [hook ?? []].flat();
    if (list.some((each) => typeof each !== 'function'))
      throw new InvalidOptionError(`hooks.${name}`, 'must be a function, or a list of them');
  }
}

/** Not a hook. */
export const NO_HOOKS: Hooks = Object.freeze({});

/** Without their containers, which spread would lose without a word. */
function makePlain(args: object): void {
  const { headers, params }: Pick<RequestOptions, 'headers' | 'params'> = args;
  if (headers) Reflect.set(args, 'headers', readHeaders(headers));
  if (params) Reflect.set(args, 'params', readParams(params));
}

function mergeHooks(defaults: Hooks | null, call: Hooks | null): Hooks {
  if (call === null) return NO_HOOKS;
  const given = Object.entries(call).filter(([, hook]) => hook !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

function listOf<T>(hooks: HookList<T>): readonly Hook<T>[] {
  if (hooks === undefined || hooks === null) return [];
  return typeof hooks === 'function' ? [hooks] : hooks;
}

function isArgs(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'method' in value && 'url' in value;
}

function isRequest(value: unknown): boolean {
  return value instanceof PreparedRequest;
}

function nameOf(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? `an object (${value.constructor?.name ?? 'plain'})`
    : typeof value;
}
