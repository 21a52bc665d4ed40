import { InvalidOptionError, type Route, resolveRoute } from '@cloudlane/proxy';
import type { TransportRequest } from '@cloudlane/transport';
import { curlBody } from './curl-body.ts';
import { curlHeaders } from './curl-headers.ts';
import { curlProxy } from './curl-proxy.ts';
import { curlTls } from './curl-tls.ts';
import { isWritable, writeLine } from './line-writer.ts';
import { SecretFilter } from './secret-filter.ts';
import type { CurlOptions } from './session-options.ts';
import { quoteForShell } from './shell-quote.ts';
import { targetOf } from './shown-url.ts';
import type { WireObserver } from './wire-observer.ts';

/**
 * A command for bash that makes the same request with curl: the same method, target, headers and body, over the same
 * route. It is on one line, and can be run as it is, unless something is masked or a comment at its end says what to do.
 *
 * Masked are the headers, parameters and passwords that messages never show; of bodies the values of fields whose names
 * look like a secret (password, token, key …), in forms, JSON and XML. A compressed body is not printed, as nobody can
 * tell what is in it, and none of more than 1 MiB.
 *
 * What only the transport was told when it was made (its own TLS options, `tunnelHttp` …) is not in it.
 *
 * @param options showSecrets: names of headers, parameters and fields to be printed as they are; `proxy` for the
 * credentials and headers of the proxy, `key` and `passphrase` for those of a client certificate, `body` for all of the
 * body; `*` for everything. `cert` itself is no secret, nor is a user name with a password
 * @throws InvalidOptionError or InvalidProxyUrlError if the request could not be sent either
 */
export function toCurl(
  transported: TransportRequest,
  options: { readonly showSecrets?: readonly string[] | undefined } = {},
): string {
  return command(transported, new SecretFilter(options.showSecrets));
}

/**
 * Prints each request that goes out as a command that makes the same one; see `toCurl`.
 * @throws InvalidOptionError naming the option that cannot be used
 */
export function curlObserver(options: 'curl' | CurlOptions): WireObserver {
  const { to = process.stderr, showSecrets } = checked(options);
  const filter = new SecretFilter(showSecrets);
  return {
    sending({ transported }) {
      writeLine(to, () => command(transported, filter));
    },
  };
}

const NAMES: ReadonlySet<string> = new Set(['format', 'to', 'showSecrets'] satisfies (keyof CurlOptions)[]);

function checked(options: 'curl' | CurlOptions): Partial<CurlOptions> {
  if (options === 'curl') return {};
  if (typeof options !== 'object' || options === null || options.format !== 'curl')
    throw new InvalidOptionError('debug', "must be 'curl', or an object with format: 'curl'");
  if (options.to !== undefined && !isWritable(options.to))
    throw new InvalidOptionError('debug.to', 'must be a writable stream');
  for (const name of Object.keys(options)) {
    if (!NAMES.has(name)) throw new InvalidOptionError(`debug.${name}`, 'is not an option of it');
  }
  return options;
}

function command(transported: TransportRequest, filter: SecretFilter): string {
  const url = new URL(transported.url);
  const route = resolveRoute(url, transported);
  const body = curlBody(transported, filter);
  const tls = curlTls(transported, url, route, filter);
  const words = [
    // First, or the user's own .curlrc would add to it.
    'curl --disable',
    ...curlMethod(transported, body.hasData),
    ...curlHeaders(transported, body, filter),
    ...body.words,
    ...curlProxy(transported, route, filter),
    ...tls.words,
    ...curlTimeouts(transported),
    ...curlUrl(transported, url, route, filter),
  ];
  const notes = [...body.notes, ...tls.notes];
  return `${body.before}${words.join(' ')}${notes.length === 0 ? '' : ` # ${notes.join('; ')}`}`;
}

function curlMethod({ method = 'GET' }: TransportRequest, hasData: boolean): string[] {
  const name = method.toUpperCase() || 'GET';
  if (name === (hasData ? 'POST' : 'GET')) return [];
  return [name === 'HEAD' && !hasData ? '--head' : `--request ${quoteForShell(name)}`];
}

function curlUrl(transported: TransportRequest, url: URL, route: Route, filter: SecretFilter): string[] {
  const base = `${url.protocol}//${url.host}`;
  const { target } = transported;
  const words = ['--globoff', '--path-as-is'];
  if (target === undefined) return [...words, quoteForShell(filter.url(`${base}${targetOf(transported)}`))];
  // A proxy that forwards is asked in absolute form (RFC 9112 §3.2.2).
  const shown = filter.url(route.kind === 'forward' ? `${base}${target === '*' ? '' : target}` : target);
  return [...words, `--request-target ${quoteForShell(shown)}`, quoteForShell(`${base}/`)];
}

// curl has one deadline for all of connecting, the handshakes included.
function curlTimeouts({ timeout = {} }: TransportRequest): string[] {
  const { total = 0, connect = 0, handshake = 15_000 } = typeof timeout === 'number' ? { total: timeout } : timeout;
  const words = connect > 0 && handshake > 0 ? [`--connect-timeout ${seconds(connect + handshake)}`] : [];
  return total > 0 ? [...words, `--max-time ${seconds(total)}`] : words;
}

function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds) / 1000;
}
