import type { Socket } from 'node:net';
import type { Attempt } from './attempt.ts';
import { type ConnectReply, ConnectReplyError, ConnectReplyParser } from './connect-reply.ts';
import { ProxyProtocolError, ProxyTunnelError } from './errors.ts';
import { nextChunk } from './next-chunk.ts';
import type { Origin } from './origin.ts';
import { MAX_ANSWER_BODY, proxyAuthentication, REFUSAL_WAIT } from './proxy-answer.ts';
import { startDeadline } from './timeouts.ts';

/**
 * Has a proxy open a tunnel to the origin, on a connected socket (RFC 9110 §9.3.6).
 * @throws ProxyTunnelError or ProxyAuthenticationError if it refuses, ProxyProtocolError if its answer is not HTTP
 */
export async function openTunnel(
  socket: Socket,
  origin: Origin,
  proxyHeaders: Readonly<Record<string, string>>,
  attempt: Attempt,
): Promise<void> {
  attempt.phase = 'proxy-handshake';
  // RFC 9110 §7.2: a request without Host is refused by many proxies.
  const lines = [`CONNECT ${origin.authority} HTTP/1.1`, `Host: ${origin.authority}`];
  for (const [name, value] of Object.entries(proxyHeaders)) lines.push(`${name}: ${value}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const reply = await readReply(socket, attempt);
  // RFC 9110 §9.3.6: any 2xx means that the tunnel is open, and that no body follows.
  if (reply.status >= 200 && reply.status < 300) {
    if (reply.rest.length > 0) socket.unshift(reply.rest);
    return;
  }
  const body = await readRefusal(socket, reply, attempt);
  socket.destroy();
  throw refusal(origin, { ...reply, body }, attempt);
}

async function readReply(socket: Socket, attempt: Attempt): Promise<ConnectReply> {
  const parser = new ConnectReplyParser();
  const broken = (why: string, retryable = false): ProxyProtocolError =>
    new ProxyProtocolError(`${attempt}: the proxy's answer to CONNECT cannot be read: ${why}`, {
      ...attempt.facts(),
      retryable,
    });
  for (let hasHeard = false; ; hasHeard = true) {
    const chunk = await nextChunk(socket);
    // Without a word it is no answer that breaks off: as a reset.
    if (chunk === null)
      throw hasHeard ? broken('the connection ended before it was complete', true) : new Error('it hung up');
    try {
      const reply = parser.push(chunk);
      if (reply) return reply;
    } catch (error) {
      throw error instanceof ConnectReplyError ? broken(error.message) : error;
    }
  }
}

function readRefusal(socket: Socket, reply: ConnectReply, attempt: Attempt): Promise<Buffer> {
  const declared = Number(reply.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  const wanted = Math.min(Number.isNaN(declared) ? Number.POSITIVE_INFINITY : declared, MAX_ANSWER_BODY);
  const chunked = /(^|,\s*)chunked$/i.test(String(reply.headers['transfer-encoding'] ?? ''));
  const chunks = [reply.rest];
  let length = reply.rest.length;
  const { handshake } = attempt.timeouts;
  return new Promise((resolve) => {
    const isComplete = (): boolean =>
      length >= wanted || (chunked && Buffer.concat(chunks).subarray(-7).toString('latin1').endsWith('0\r\n\r\n'));
    const finish = (): void => {
      stop();
      socket.off('data', onData).off('end', finish).off('close', finish);
      const body = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BODY);
      resolve(chunked ? dechunk(body) : body);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (isComplete()) finish();
    };
    const stop = startDeadline(handshake === 0 ? REFUSAL_WAIT : Math.min(handshake / 2, REFUSAL_WAIT), finish);
    if (isComplete()) return finish();
    socket.on('data', onData).on('end', finish).on('close', finish);
    socket.resume();
  });
}

// RFC 9112 §7.1; what is cut off or malformed is left as it came: the page is for people.
function dechunk(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at);
    const size = end === -1 ? Number.NaN : Number.parseInt(body.toString('latin1', at, end), 16);
    if (Number.isNaN(size)) return parts.length === 0 ? body : Buffer.concat(parts);
    if (size === 0) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

function refusal(origin: Origin, answer: ConnectReply & { readonly body: Buffer }, attempt: Attempt): Error {
  const { status, statusText, headers, body } = answer;
  const said = statusText === '' ? String(status) : `${status} ${statusText}`;
  const init = { ...attempt.facts(), status, statusText, headers, body };
  if (status === 407) return proxyAuthentication(`CONNECT ${origin.authority} through ${attempt.proxy}`, init, attempt);
  return new ProxyTunnelError(`CONNECT ${origin.authority} through ${attempt.proxy} was refused: ${said}`, {
    ...init,
    // 502, 503, 504: the proxy could not reach the origin this time.
    retryable: status === 429 || (status >= 502 && status <= 504),
  });
}
