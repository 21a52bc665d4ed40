import { InvalidOptionError } from '@cloudlane/proxy';
import { readUrl } from '@cloudlane/transport';
import type { ConnectionOptions } from './connection-options.ts';

type Where = Pick<ConnectionOptions, 'baseUrl' | 'host' | 'port' | 'secure' | 'path'>;

/** @throws InvalidOptionError if the options do not say where the API is, say it twice, or name no http(s) URL */
export function resolveBaseUrl(where: Where, fallback: string | undefined): URL {
  const { baseUrl, ...parts } = where;
  const given = Object.entries(parts).filter(([, value]) => value !== undefined);
  if (baseUrl !== undefined) {
    if (given[0]) throw new InvalidOptionError('baseUrl', `contradicts ${given[0][0]}; give the URL or its parts`);
    return checked(baseUrl, 'baseUrl');
  }
  if (parts.host !== undefined) return fromParts(parts.host, parts);
  if (given[0]) throw new InvalidOptionError(given[0][0], 'needs host beside it; or write baseUrl');
  if (fallback === undefined) throw new InvalidOptionError('baseUrl', 'is missing; write the URL of the API');
  return checked(fallback, 'baseUrl');
}

/**
 * A URL below the base, however slashes stand between them. A `?query` of the action is kept.
 * @throws InvalidOptionError if the action has a segment `.` or `..`
 */
export function joinPath(base: URL, action: string): URL {
  const joined = new URL(base);
  const [path = '', query = ''] = splitOnce(action, '?');
  // URLs resolve such segments, encoded ones too (WHATWG URL §4.4): the request would be about something else.
  if (
    path
      .replace(/[\t\n\r]/g, '')
      .split(/[/\\]/)
      .some((segment) => /^(\.|%2e){1,2}$/i.test(segment))
  )
    throw new InvalidOptionError('action', 'has a segment "." or "..", which no URL can express');
  if (path !== '') joined.pathname = `${base.pathname.replace(/\/$/, '')}/${path.replace(/^\//, '')}`;
  joined.search = [base.search.slice(1), query].filter(Boolean).join('&');
  return joined;
}

function fromParts(host: string, { port, secure, path }: Where): URL {
  if (/[/\\@?#]/.test(host))
    throw new InvalidOptionError('host', 'must be a host name or address alone; write baseUrl for a URL');
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new InvalidOptionError('port', 'must be a whole number from 1 to 65535');
  }
  const bracketed = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const authority = port === undefined ? bracketed : `${bracketed}:${port}`;
  const url = checked(`${secure === false ? 'http' : 'https'}://${authority}`, 'host');
  url.pathname = path ?? '/';
  return url;
}

function checked(value: string | URL, option: string): URL {
  const url = value instanceof URL ? new URL(value) : readUrl(value);
  if (url === null) throw new InvalidOptionError(option, 'does not make a URL; write https://host/path');
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new InvalidOptionError(option, 'must be an http:// or https:// URL');
  return url;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
