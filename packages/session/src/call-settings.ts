import { type Environment, InvalidOptionError, type RouteSettings } from '@cloudlane/proxy';
import {
  type ConnectionInfo,
  checkOptionNames,
  type RequestHeaders,
  type Timeouts,
  type TlsOptions,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from '@cloudlane/transport';
import { type Auth, type Authorizer, readAuth } from './auth.ts';
import { BEHAVIOUR_NAMES, type ResolvedBehaviour, resolveBehaviour } from './behaviour.ts';
import type { CookieJar } from './cookie-jar.ts';
import { curlObserver } from './curl.ts';
import { checkRecord } from './given-values.ts';
import { HookChain, type Hooks } from './hooks.ts';
import { mergeTimeouts, ownHeader } from './merge.ts';
import { chooseSetting, type ProxySetting } from './proxy-setting.ts';
import type { Session } from './session.ts';
import type {
  ClientCertificate,
  Cookies,
  DownloadProgress,
  QueryParams,
  RequestOptions,
  SessionOptions,
} from './session-options.ts';
import { verboseObserver } from './verbose.ts';
import { resolveVerification } from './verification.ts';
import type { WireObserver } from './wire-observer.ts';

/** What a session gives its calls, as it was when one of them began. */
export interface Defaults {
  readonly session: Session;
  readonly transport: Transport;
  readonly headers: RequestHeaders;
  readonly params: QueryParams;
  readonly jar: CookieJar;
  readonly auth: Auth | null;
  readonly timeout: number | Timeouts | undefined;
  readonly hooks: Hooks;
  readonly verify: boolean | string | undefined;
  readonly cert: ClientCertificate | null | undefined;
  readonly tls: TlsOptions;
  readonly proxyTls: TlsOptions;
  readonly proxy: ProxySetting | null;
  readonly environment: Pick<SessionOptions, 'noProxy' | 'trustEnv' | 'system'> & { env?: Environment | undefined };
  readonly behaviour: ResolvedBehaviour;
  readonly observer: WireObserver | undefined;
  /** Called with the connection of each answer. */
  readonly note: (connection: ConnectionInfo | null) => void;
}

/** What all requests of a call hand to the transport. */
export type WireSettings = Pick<
  TransportRequest,
  keyof RouteSettings | 'tls' | 'proxyTls' | 'timeout' | 'onUploadProgress' | 'keepAlive'
>;

/**
 * Sends one request over one hop, as `Transport.send` does. The headers of the request are its own: when it is sent again,
 * after a challenge for instance, they are written to.
 */
export interface Carry {
  (request: TransportRequest): Promise<TransportResponse>;
  /** What it makes of each request first, for whoever watches what goes out. @defaultValue nothing else */
  readonly adapt?: (request: TransportRequest) => TransportRequest;
}

/** What holds for one call, from its first request to its last redirect. */
export interface CallSettings {
  readonly behaviour: ResolvedBehaviour;
  readonly transport: Transport;
  /** In the transport's place. */
  readonly carry?: Carry | undefined;
  readonly hooks: HookChain;
  readonly auth: Authorizer | null;
  /** The call's own `Authorization`, which auth does not write over; null: none is sent, undefined: it has none. */
  readonly authorization: string | null | undefined;
  readonly jar: CookieJar;
  /** The call's own. */
  readonly cookies: Cookies | undefined;
  /** What every request of the call hands to the transport. */
  readonly wire: WireSettings;
  readonly signal: AbortSignal | undefined;
  readonly onDownloadProgress: DownloadProgress | undefined;
  readonly observers: readonly WireObserver[];
  readonly note: Defaults['note'];
}

/** @throws InvalidOptionError naming the option that is unknown, of no use, or contradicts another */
export function settleCall(defaults: Defaults, options: RequestOptions): CallSettings {
  const behaviour = resolveBehaviour(defaults.behaviour, options);
  const { verify = defaults.verify, cert = defaults.cert, auth = defaults.auth } = options;
  const { environment, transport, session, jar } = defaults;
  const { noProxy, env, trustEnv, system } = environment;
  const verification = resolveVerification({
    tls: defaults.tls,
    proxyTls: defaults.proxyTls,
    verify,
    cert,
    env,
    trustEnv,
  });
  const proxy = chooseSetting(defaults.proxy, options);
  const timeout = mergeTimeouts(defaults.timeout, options.timeout);
  if (options.timeout !== undefined) transport.check({ timeout });
  if (options.cookies !== undefined)
    checkRecord(options.cookies, 'cookies', 'an object of names and values; a CookieJar is the session’s');
  // Spelled out, as copies of whole objects are slow, and this is done for every call.
  return {
    behaviour,
    transport,
    hooks: new HookChain(session, defaults.hooks, options.hooks, behaviour.hookErrors),
    auth: auth === null ? null : readAuth(auth),
    authorization: options.auth === undefined ? ownHeader(options.headers, 'authorization') : undefined,
    jar,
    cookies: options.cookies,
    wire: {
      http_proxy: proxy?.value,
      source: proxy?.source,
      noProxy: chooseBypass(options.noProxy, noProxy),
      env,
      trustEnv,
      system,
      tls: verification.tls,
      proxyTls: verification.proxyTls,
      timeout,
      onUploadProgress: options.onUploadProgress,
      keepAlive: behaviour.keepAlive ? undefined : false,
    },
    signal: options.signal,
    onDownloadProgress: options.onDownloadProgress,
    observers: listObservers(behaviour, defaults.observer),
    note: defaults.note,
  };
}

/** The settings that choose a call's route. */
export function routeSettings(
  { environment, proxy: setting }: Pick<Defaults, 'environment' | 'proxy'>,
  options: Pick<RequestOptions, 'http_proxy' | 'proxies' | 'noProxy'>,
): RouteSettings {
  const proxy = chooseSetting(setting, options);
  const { noProxy, ...rest } = environment;
  return { ...rest, noProxy: chooseBypass(options.noProxy, noProxy), http_proxy: proxy?.value, source: proxy?.source };
}

function chooseBypass(own: RequestOptions['noProxy'], base: RequestOptions['noProxy']): RequestOptions['noProxy'] {
  const chosen = own === undefined ? base : own;
  if (chosen === null) throw new InvalidOptionError('noProxy', 'is null; write [] for none, or leave it out');
  return chosen;
}

const NO_OBSERVERS: readonly WireObserver[] = [];

function listObservers(
  { verbose, debug }: ResolvedBehaviour,
  recorder: WireObserver | undefined,
): readonly WireObserver[] {
  if (verbose === null && debug === null && recorder === undefined) return NO_OBSERVERS;
  return [
    ...(verbose === null ? [] : [verboseObserver(verbose)]),
    ...(debug === null ? [] : [curlObserver(debug === 'curl' ? { format: 'curl' } : debug)]),
    ...(recorder === undefined ? [] : [recorder]),
  ];
}

const CALL_NAMES: ReadonlySet<string> = new Set([
  ...BEHAVIOUR_NAMES,
  ...([
    'headers',
    'params',
    'cookies',
    'auth',
    'data',
    'json',
    'files',
    'hooks',
    'http_proxy',
    'proxies',
    'noProxy',
    'verify',
    'cert',
    'timeout',
    'signal',
    'onUploadProgress',
    'onDownloadProgress',
  ] satisfies (keyof RequestOptions)[]),
]);

/** @throws InvalidOptionError if there is no option of that name */
export function checkCallNames(options: RequestOptions): void {
  checkOptionNames(options, CALL_NAMES);
}
