import { InvalidOptionError, InvalidProxyUrlError } from './errors.ts';
import { maskEntry, maskProxyText } from './mask.ts';

/** Environment variables by name; `process.env` is one. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What stands before `_proxy` in the variables this package reads. */
export type EnvironName = 'http' | 'https' | 'ws' | 'wss' | 'socks' | 'all' | 'no';

/** One proxy variable. Its value can be read; `JSON.stringify` and `util.inspect` show it masked. */
export interface EnvironProxy {
  /** In the spelling found, such as `HTTPS_PROXY`. */
  readonly variable: string;
  /** As it stands in the environment, not checked. May contain a password. */
  readonly value: string;
}

/** The proxy variables that are set and not blank, by what stands before `_proxy`. */
export type EnvironProxies = { readonly [Name in EnvironName]?: EnvironProxy };

/**
 * The proxy variables of the environment, one spelling of each.
 *
 * Of each name the lower-case variable counts if it exists, even empty, else the upper-case one, else the first other
 * spelling in code-unit order. A blank value means "no proxy under this name" and leaves the name out. Where
 * `REQUEST_METHOD` exists (CGI) only the exact `http_proxy` counts for http, as a request header `Proxy:` arrives there as
 * `HTTP_PROXY` (https://httpoxy.org); where names have no case, as on Windows, http is then left out.
 *
 * @param env read at the time of the call. @defaultValue process.env
 * @throws InvalidOptionError if `env` is not an object
 * @throws InvalidProxyUrlError if a value in it is not a string
 */
export function getEnvironProxies(env?: Environment): EnvironProxies {
  const reader = new EnvironReader(env);
  const proxies: { [Name in EnvironName]?: EnvironProxy } = {};
  for (const name of ENVIRON_NAMES) {
    const found = reader.find(name);
    if (found && found.value.trim() !== '') proxies[name] = found;
  }
  return Object.freeze(proxies);
}

/** Every {@link EnvironName}. */
export const ENVIRON_NAMES: readonly EnvironName[] = ['http', 'https', 'ws', 'wss', 'socks', 'all', 'no'];

/** Finds the proxy variables of one environment; lists the whole of it only if it must. */
export class EnvironReader {
  readonly #env: Readonly<Record<string, unknown>>;
  #spellings: Map<string, string> | undefined;

  constructor(env: Environment | undefined) {
    const given: unknown = env ?? readProcessEnvironment();
    if (!isRecord(given)) throw new InvalidOptionError('env', 'it is not an object');
    this.#env = given;
  }

  /** The variable that counts for a name, also when it is blank. */
  find(name: EnvironName): EnvironProxy | undefined {
    const variable = this.#findSpelling(name);
    if (variable === undefined) return undefined;
    const value = this.#env[variable];
    if (typeof value === 'string') return new MaskedVariable(variable, value, name);
    if (name === 'no') throw new InvalidOptionError('env', `the value of ${variable} is not a string`);
    throw new InvalidProxyUrlError(`env:${variable}`, 'the value is not a string');
  }

  /** Like {@link find}, for whether there is a value at all: gives its variable, and never throws. */
  findSet(name: EnvironName): string | undefined {
    const variable = this.#findSpelling(name);
    return variable !== undefined && !isBlank(this.#env[variable]) ? variable : undefined;
  }

  /** A variable in upper case whose value does not count because the lower-case one exists and is blank. */
  findHidden(name: EnvironName): string | undefined {
    const lower = this.#env[`${name}_proxy`];
    const variable = `${name.toUpperCase()}_PROXY`;
    const upper = this.#env[variable];
    const hidden = isBlank(lower) && upper !== undefined && !isBlank(upper);
    return hidden && !this.#isGuarded(name) ? variable : undefined;
  }

  /** A variable for http that is not read because the process answers requests (CGI). */
  findGuarded(): string | undefined {
    if (!this.#isGuarded('http')) return undefined;
    if (this.#has('http_proxy')) return this.#ignoresCase() ? 'http_proxy' : undefined;
    return this.#has('HTTP_PROXY') ? 'HTTP_PROXY' : this.#findOtherSpelling('http_proxy');
  }

  #findSpelling(name: EnvironName): string | undefined {
    const lower = `${name}_proxy`;
    if (this.#isGuarded(name)) return this.#has(lower) && !this.#ignoresCase() ? lower : undefined;
    if (this.#has(lower)) return lower;
    const upper = lower.toUpperCase();
    return this.#has(upper) ? upper : this.#findOtherSpelling(lower);
  }

  #findOtherSpelling(lower: string): string | undefined {
    this.#spellings ??= listSpellings(this.#env);
    return this.#spellings.get(lower);
  }

  #isGuarded(name: EnvironName): boolean {
    return name === 'http' && this.#has('REQUEST_METHOD');
  }

  /** Windows' `process.env` answers to any spelling; no other environment answers to this one. */
  #ignoresCase(): boolean {
    return this.#has('rEQUEST_mETHOD');
  }

  #has(variable: string): boolean {
    return this.#env[variable] !== undefined;
  }
}

class MaskedVariable implements EnvironProxy {
  readonly variable: string;
  readonly #value: string;
  readonly #name: EnvironName;

  constructor(variable: string, value: string, name: EnvironName) {
    this.variable = variable;
    this.#value = value;
    this.#name = name;
    Object.freeze(this);
  }

  get value(): string {
    return this.#value;
  }

  toJSON(): EnvironProxy {
    const mask = this.#name === 'no' ? maskEntry : maskProxyText;
    return { variable: this.variable, value: mask(this.#value.trim()) };
  }

  [Symbol.for('nodejs.util.inspect.custom')](): EnvironProxy {
    return this.toJSON();
  }
}

/** The one place that reads `process.env`. Other runtimes have none. */
function readProcessEnvironment(): unknown {
  return typeof process === 'object' ? process.env : {};
}

function listSpellings(env: Readonly<Record<string, unknown>>): Map<string, string> {
  const spellings = new Map<string, string>();
  const variables = Object.keys(env).filter((key) => /^[a-z]{2,5}_proxy$/i.test(key) && env[key] !== undefined);
  for (const variable of variables.sort().reverse()) spellings.set(variable.toLowerCase(), variable);
  return spellings;
}

function isBlank(value: unknown): boolean {
  return typeof value === 'string' && value.trim() === '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
