import { MASK } from '@cloudlane/transport';
import type { SecretFilter } from './secret-filter.ts';

/**
 * A body for people and logs: the values of fields whose names look like a secret are `***`. It knows forms, forms with
 * files, JSON (one value or one a line) and XML; what is none of these it gives back as it is.
 */
export function filterBody(body: Buffer, contentType: string, filter: SecretFilter): Buffer {
  // One character for each byte, so that any file within a form survives.
  const text = body.toString('latin1');
  const filtered = filterText(text, contentType, filter);
  return filtered === text ? body : Buffer.from(filtered, 'latin1');
}

/** As `filterBody`, for a body that is text. */
export function filterText(text: string, contentType: string, filter: SecretFilter): string {
  if (filter.showsAll) return text;
  const boundary = /^multipart\/[\s\S]*;\s*boundary="?([^";]+)/i.exec(contentType)?.[1];
  if (boundary !== undefined) return filterParts(text, boundary, filter);
  if (/json/i.test(contentType) || /^\s*[[{]/.test(text)) return filterJson(text, filter);
  if (/xml/i.test(contentType) || /^\s*</.test(text)) return filterXml(text, filter);
  if (/urlencoded/i.test(contentType) || /^[^\s=&]+=\S*\s*$/.test(text)) return filter.pairs(text);
  return text;
}

function filterParts(text: string, boundary: string, filter: SecretFilter): string {
  const delimiter = `--${boundary}`;
  return text
    .split(delimiter)
    .map((part) => {
      const end = part.indexOf('\r\n\r\n') + 4;
      const [, quoted, plain = ''] = /\bname=(?:"([^"]*)"|([^;\s]+))/i.exec(part.slice(0, Math.max(0, end))) ?? [];
      return filter.hides(quoted ?? plain) ? `${part.slice(0, end)}${MASK}\r\n` : part;
    })
    .join(delimiter);
}

const JSON_TOKEN = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"?|[{}[\]:,]|[^\s{}[\]:,"]+/g;

// By its tokens: what is not quite JSON is filtered too, and all that is no secret stays as it was written.
function filterJson(text: string, filter: SecretFilter): string {
  const tokens = [...text.matchAll(JSON_TOKEN)].map(({ 0: token, index }) => ({ token, end: index + token.length }));
  let result = '';
  let written = 0;
  for (let at = 1; at < tokens.length; at += 1) {
    const [key, colon] = [tokens[at - 1], tokens[at]];
    if (colon?.token !== ':' || !key?.token.startsWith('"') || !filter.hides(unquote(key.token))) continue;
    at = lastOfValue(tokens, at + 1);
    result += `${text.slice(written, colon.end)}"${MASK}"`;
    written = tokens[at]?.end ?? text.length;
  }
  return result + text.slice(written);
}

/** Where the value ends that begins with this token; an object or a list ends with its bracket. */
function lastOfValue(tokens: readonly { readonly token: string }[], first: number): number {
  let depth = 0;
  for (let at = first; at < tokens.length; at += 1) {
    const { token } = tokens[at] ?? { token: '' };
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    if (depth <= 0) return at;
  }
  return tokens.length;
}

function unquote(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token.slice(1, -1);
  }
}

const XML_ATTRIBUTE = /(\s)([\w.:-]+)=(?:"[^"]*"|'[^']*')/g;
// With a bound, so that what is never closed is not looked through again and again.
const XML_ELEMENT = /<([\w.:-]+)(\s[^<>]*)?>(?:[^<]|<!\[CDATA\[[\s\S]{0,4096}?\]\]>)*<\/\1>/g;

function filterXml(text: string, filter: SecretFilter): string {
  return text
    .replaceAll(XML_ATTRIBUTE, (all, space, name) => (hidesXml(name, filter) ? `${space}${name}="${MASK}"` : all))
    .replaceAll(XML_ELEMENT, (all, name, attributes = '') =>
      hidesXml(name, filter) ? `<${name}${attributes}>${MASK}</${name}>` : all,
    );
}

function hidesXml(name: string, filter: SecretFilter): boolean {
  return filter.hides(name.slice(name.lastIndexOf(':') + 1));
}
