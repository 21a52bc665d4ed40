import { once } from 'node:events';
import http, { type IncomingHttpHeaders } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { type ConnectionOptions, connect } from 'node:tls';
import { closeAfterTest } from '../support/resources.ts';

export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request on a connection of its own, to an origin or, with an absolute `path`, to a proxy. */
export async function get(url: string, options: RequestOptions = {}): Promise<Answer> {
  const sent = send(url, options);
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** What a proxy answers to CONNECT, and the tunnel where it grants one, until the test ends. The target is host:port. */
export async function openTunnel(
  proxyUrl: string,
  target: string,
  options: RequestOptions = {},
): Promise<{ readonly status: number | undefined; readonly socket: Socket }> {
  const [response, socket] = await once(send(proxyUrl, { ...options, method: 'CONNECT', path: target }), 'connect');
  closeAfterTest({ [Symbol.asyncDispose]: async () => void socket.destroy() });
  return { status: response.statusCode, socket };
}

/** One request in the tunnel, on which no second one follows. */
export async function getInside(socket: Socket, url: string, tls: ConnectionOptions = {}): Promise<Answer> {
  const { protocol, hostname } = new URL(url);
  // An address is no server name: RFC 6066, section 3.
  const secure = () =>
    connect({ ...tls, socket, servername: /^[\d.]+$/.test(hostname) ? '' : hostname, host: hostname });
  return get(url, { createConnection: protocol === 'https:' ? secure : () => socket });
}

export function basic({ username, password }: { username: string; password: string }): Record<string, string> {
  return { 'proxy-authorization': `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

function send(url: string, options: RequestOptions): http.ClientRequest {
  const { request } = url.startsWith('https:') ? https : http;
  // An agent, also the one of `false`, would make the connection itself.
  return request(url, { ...(!options.createConnection && { agent: false }), ...options }).end();
}
