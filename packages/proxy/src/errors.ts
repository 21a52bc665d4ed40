// Error                        code
// ├── InvalidProxyUrlError     ERR_INVALID_PROXY_URL
// └── InvalidOptionError       ERR_INVALID_OPTION

const ACCEPTED_FORM =
  'Write it as scheme://user:password@host:port, the scheme being http, https, socks4, socks4a, socks5 or socks5h';

/**
 * A proxy setting that cannot be used. Thrown when a request needs that setting, so that the request fails instead of
 * quietly going out without its proxy. A broken setting which no request needs does no harm.
 *
 * Neither the message nor any property holds the password, and there is no `cause`: the error of `new URL()` keeps the
 * whole text it was given.
 */
export class InvalidProxyUrlError extends Error {
  override readonly name = 'InvalidProxyUrlError';
  /** Stable, for branching. */
  readonly code = 'ERR_INVALID_PROXY_URL';
  /** Where the value came from: `env:https_proxy` (in the spelling found), `option http_proxy`, `system` … */
  readonly source: string;
  /** What is wrong with it, without the value. */
  readonly reason: string;

  /** @param shown the value with everything secret masked; left out where nothing of it may be shown */
  constructor(source: string, reason: string, shown?: string) {
    const value = shown === undefined ? '' : ` (${shown})`;
    super(`The proxy given by ${source}${value} cannot be used: ${reason}. ${ACCEPTED_FORM}.`);
    this.source = source;
    this.reason = reason;
  }
}

/**
 * An option which contradicts another one, has the wrong type, or could never take effect. Also thrown for an URL that
 * no route can be chosen for.
 */
export class InvalidOptionError extends Error {
  override readonly name = 'InvalidOptionError';
  /** Stable, for branching. */
  readonly code = 'ERR_INVALID_OPTION';
  /** The option's name as the caller wrote it: `noProxy`, `http_proxy.auth`, `url` … */
  readonly option: string;
  /** What is wrong with it, without secrets. */
  readonly reason: string;

  constructor(option: string, reason: string) {
    super(`The option ${option} cannot be used: ${reason}.`);
    this.option = option;
    this.reason = reason;
  }
}
