import { basicCredentials, type TransportRequest } from '@cloudlane/transport';
import type { CurlBody } from './curl-body.ts';
import type { SecretFilter } from './secret-filter.ts';
import { quoteLatin1ForShell } from './shell-quote.ts';

/** Headers of a request as options of curl; those that curl would add of its own are taken away. */
export function curlHeaders(transported: TransportRequest, body: CurlBody, filter: SecretFilter): string[] {
  const sent = [...listHeaders(transported)].filter(([name]) => !isForProxy(name) && !(body.hasData && isLength(name)));
  const names = new Set(sent.map(([name]) => name.toLowerCase()));
  const own = ['User-Agent', 'Accept', ...(body.hasData ? ['Content-Type'] : [])];
  // curl asks before it sends a long body, or one whose length it does not know.
  if (body.isLong) own.push('Expect');
  return [
    ...sent.map(([name, value]) => headerWord('--header', name, filter.header(name, value))),
    ...own.filter((name) => !names.has(name.toLowerCase())).map((name) => `--header ${name}:`),
    ...(transported.keepAlive === false && !names.has('connection') ? ["--header 'Connection: close'"] : []),
  ];
}

/** A header as a word for curl, which reads `Name:` as "send none", and wants `Name;` for one without a value. */
export function headerWord(option: string, name: string, value: string): string {
  return `${option} ${quoteLatin1ForShell(/^[ \t]*$/.test(value) ? `${name};` : `${name}: ${value}`)}`;
}

/** The headers of a request as they go out, line by line: with the credentials of its URL. */
export function* listHeaders({ headers = {}, url }: TransportRequest): Generator<[name: string, value: string]> {
  let hasAuthorization = false;
  for (const [name, value] of Object.entries(headers)) {
    if (value === null || value === undefined) continue;
    hasAuthorization ||= name.toLowerCase() === 'authorization';
    if (!Array.isArray(value)) yield [name, String(value)];
    // Node sends one Cookie only, as RFC 6265 §5.4 wants it.
    else if (name.toLowerCase() === 'cookie' && value.length > 0) yield [name, value.join('; ')];
    else for (const each of value) yield [name, String(each)];
  }
  const { username, password, hostname, host } = new URL(url);
  if (username + password !== '' && !hasAuthorization)
    yield ['Authorization', basicCredentials(decode(username), decode(password))];
  // No server knows itself by the final dot of a full name.
  if (hostname.endsWith('.') && !Object.keys(headers).some((name) => name.toLowerCase() === 'host'))
    yield ['Host', host.replace(/\.(?=:|$)/, '')];
}

/** Whether a header never reaches an origin. */
export function isForProxy(name: string): boolean {
  return /^proxy-/i.test(name);
}

function isLength(name: string): boolean {
  return name.toLowerCase() === 'content-length';
}

// A request with a malformed escape is refused; until then it can be printed.
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
