import { STATUS_CODES } from 'node:http';

/** A reply of the proxy: head as names and values alternately, and a body. */
export interface Reply {
  readonly status: number;
  readonly reason?: string;
  readonly headers: readonly string[];
  readonly body?: Buffer;
}

/** Headers as people write them in tests, as names and values alternately. */
export function flatten(headers: Readonly<Record<string, string | readonly string[]>>): string[] {
  return Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, String(value)]));
}

export function hasHeader(headers: readonly string[], name: string): boolean {
  return headers.some((header, index) => index % 2 === 0 && header.toLowerCase() === name);
}

/** Status line and headers, with the empty line. */
export function formatHead({ status, reason, headers }: Reply, httpVersion: '1.0' | '1.1' = '1.1'): Buffer {
  const lines = [`HTTP/${httpVersion} ${status} ${reasonOf(status, reason)}`];
  for (let index = 0; index < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

export function reasonOf(status: number, reason?: string): string {
  return reason ?? STATUS_CODES[status] ?? 'Unknown';
}

/** A page in HTML, as proxies send where a client expected JSON. */
export function errorPage(status: number, detail: string, headers: readonly string[] = []): Reply {
  const reason = reasonOf(status);
  const body = Buffer.from(
    `<!DOCTYPE html><html><head><title>${status} ${reason}</title></head><body><h1>${reason}</h1><p>${detail}</p></body></html>\n`,
  );
  return {
    status,
    headers: [...headers, 'Content-Type', 'text/html; charset=utf-8', 'Content-Length', String(body.length)],
    body,
  };
}

/** 407, with one challenge per scheme. A scheme that brings its own parameters is sent as it is. */
export function challenge(realm: string, schemes: readonly string[]): Reply {
  const challenges = schemes.flatMap((scheme) => [
    'Proxy-Authenticate',
    /[\s=]/.test(scheme) ? scheme : `${scheme} realm="${realm.replace(/["\\]/g, '\\$&')}"`,
  ]);
  return errorPage(407, 'This proxy needs credentials.', challenges);
}
