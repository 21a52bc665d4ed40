/** An element of an answer: the text or elements below it, by name. */
export type XmlElement = Readonly<Record<string, unknown>>;

/** The element of that name, or an empty one. */
export function child(parent: unknown, name: string): XmlElement {
  const value = isElement(parent) ? parent[name] : undefined;
  return isElement(value) ? value : {};
}

/** The elements of that name, however many there are. */
export function children(parent: unknown, name: string): readonly XmlElement[] {
  const value = isElement(parent) ? parent[name] : undefined;
  return [value].flat().filter(isElement);
}

/** The text of the element of that name; null if there is none, or no text in it. */
export function textOf(parent: unknown, name: string): string | null {
  const value = isElement(parent) ? parent[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : null;
}

/** A date of ISO 8601 or HTTP; null if there is none. */
export function dateOf(text: string | null | undefined): Date | null {
  const date = new Date(text ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** An entity tag without its quotes. */
export function bareEtag(text: string | null | undefined): string | null {
  return text?.replace(/^(W\/)?"(.*)"$/, '$2') || null;
}

function isElement(value: unknown): value is XmlElement {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What an error's answer says; nothing, if it is not S3's XML: HEAD has no body, and something between may answer. */
export interface S3ErrorBody {
  readonly code: string | null;
  readonly message: string | null;
  readonly requestId: string | null;
  readonly region: string | null;
  readonly endpoint: string | null;
}

/**
 * Reads the few elements it needs and no others: to a wrong signature the service answers with the whole of what was to
 * be signed, the session token included.
 */
export function readError(body: string): S3ErrorBody {
  const error = /<Error(?:\s[^>]*)?>([\s\S]*)<\/Error>/.exec(body)?.[1] ?? '';
  const read = (name: string): string | null => {
    const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(error)?.[1] ?? '';
    return unescapeXml(text).trim() || null;
  };
  return {
    code: read('Code'),
    message: read('Message'),
    requestId: read('RequestId'),
    region: read('Region'),
    endpoint: read('Endpoint'),
  };
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

function unescapeXml(text: string): string {
  return text.replace(/&(#x[\da-f]{1,6}|#\d{1,7}|\w+);/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return ENTITIES[name] ?? whole;
    const point = Number(name.startsWith('#x') ? `0${name.slice(1)}` : name.slice(1));
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
