import type { IncomingHttpHeaders } from 'node:http';

/** The head of a proxy's answer to CONNECT, and the bytes that came right behind it. */
export interface ConnectReply {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingHttpHeaders;
  readonly rest: Buffer;
}

/** The same cap that Node puts on response headers (`--max-http-header-size`). */
export const MAX_REPLY_HEAD: number = 16 * 1024;

/** Why a reply cannot be read; the caller knows the proxy's name and turns it into a typed error. */
export class ConnectReplyError extends Error {}

const STATUS_LINE = /^HTTP\/1\.[01] ([1-9]\d\d)(?: (.*))?$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * Reads the answer to CONNECT from chunks as they come. Interim answers (1xx, RFC 9110 §15.2) are skipped; the head may
 * be split anywhere; at most 16 KiB are kept.
 */
export class ConnectReplyParser {
  #buffered: Buffer = Buffer.alloc(0);
  #total = 0;

  /**
   * Takes a chunk; returns the reply once its head is complete.
   * @throws ConnectReplyError if the bytes are not an HTTP/1.x reply, or the head is over 16 KiB
   */
  push(chunk: Buffer): ConnectReply | null {
    // Only the new bytes and three before them can hold the end of the head.
    let from = Math.max(0, this.#buffered.length - 3);
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    for (;;) {
      this.#checkStart();
      const end = endOfHead(this.#buffered, from);
      if (end === null) {
        if (this.#total + this.#buffered.length > MAX_REPLY_HEAD)
          throw new ConnectReplyError('its header is over 16 KiB');
        return null;
      }
      this.#total += end.next;
      if (this.#total > MAX_REPLY_HEAD) throw new ConnectReplyError('its header is over 16 KiB');
      const head = this.#buffered.toString('latin1', 0, end.at);
      this.#buffered = this.#buffered.subarray(end.next);
      from = 0;
      const reply = parseHead(head);
      // 101 is final in its meaning, but no proxy may switch protocols in answer to CONNECT.
      if (reply.status >= 200 || reply.status === 101) return { ...reply, rest: this.#buffered };
    }
  }

  // Garbage without a line end must not be waited for until the deadline.
  #checkStart(): void {
    const start = this.#buffered.toString('latin1', 0, 5);
    if (!'HTTP/'.startsWith(start)) throw new ConnectReplyError('it does not start with HTTP/');
  }
}

function endOfHead(bytes: Buffer, from: number): { at: number; next: number } | null {
  // RFC 9112 §2.2: a lone LF is to be taken as a line end.
  for (let at = bytes.indexOf(10, from); at !== -1; at = bytes.indexOf(10, at + 1)) {
    if (bytes[at + 1] === 10) return { at, next: at + 2 };
    if (bytes[at + 1] === 13 && bytes[at + 2] === 10) return { at, next: at + 3 };
  }
  return null;
}

function parseHead(head: string): Omit<ConnectReply, 'rest'> {
  const [first = '', ...lines] = head.split(/\r?\n/).map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  const status = STATUS_LINE.exec(first);
  if (!status) throw new ConnectReplyError('its status line is not HTTP/1.x');
  const headers: IncomingHttpHeaders = {};
  for (const line of lines) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    if (!FIELD_NAME.test(line.slice(0, Math.max(0, colon)))) throw new ConnectReplyError('a header line is malformed');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'set-cookie') headers[name] = [...(headers[name] ?? []), value];
    else headers[name] = Object.hasOwn(headers, name) ? `${String(headers[name])}, ${value}` : value;
  }
  return { status: Number(status[1]), statusText: status[2] ?? '', headers };
}
