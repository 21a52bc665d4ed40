// SOCKS by hand, so that what the servers answer is known without any client of ours.
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

interface Login {
  readonly username: string;
  readonly password: string;
}

/** Where the server said no, with its code, or what came back to a GET once it had said yes. */
export type SocksAnswer =
  | { readonly step: 'method' | 'login' | 'connect'; readonly code: number | undefined }
  | { readonly step: 'done'; readonly body: string };

/** Sends a GET through the server that the URL names, in the way its scheme says. The code of no reply is undefined. */
export async function getThrough(
  proxyUrl: string,
  target: { readonly host: string; readonly port: number; readonly path?: string },
  login?: Login,
): Promise<SocksAnswer> {
  const { protocol, hostname, port } = new URL(proxyUrl);
  const socket = connect(Number(port), hostname);
  try {
    const refusal = protocol.startsWith('socks4')
      ? await socks4(socket, protocol === 'socks4a:', target)
      : await socks5(socket, target, login);
    if (refusal) return refusal;
    // Not `end`: microsocks takes half of an end for the whole.
    socket.write(`GET ${target.path ?? '/'} HTTP/1.0\r\n\r\n`);
    return { step: 'done', body: (await text(socket)).split('\r\n\r\n')[1] ?? '' };
  } finally {
    socket.destroy();
  }
}

async function socks4(socket: Socket, withName: boolean, { host, port }: { host: string; port: number }) {
  const address = withName ? [0, 0, 0, 1] : host.split('.').map(Number);
  socket.write(Buffer.from([4, 1, port >> 8, port & 255, ...address, 0]));
  if (withName) socket.write(`${host}\0`);
  const reply = await take(socket, 8);
  return reply[1] === 90 ? undefined : ({ step: 'connect', code: reply[1] } as const);
}

async function socks5(socket: Socket, { host, port }: { host: string; port: number }, login: Login | undefined) {
  const method = login ? 2 : 0;
  socket.write(Buffer.from([5, 1, method]));
  const choice = await take(socket, 2);
  if (choice[1] !== method) return { step: 'method', code: choice[1] } as const;
  if (login) {
    socket.write(Buffer.concat([Buffer.from([1]), counted(login.username), counted(login.password)]));
    const status = await take(socket, 2);
    if (status[1] !== 0) return { step: 'login', code: status[1] } as const;
  }
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3]), counted(host), Buffer.from([port >> 8, port & 255])]));
  const reply = await take(socket, 10); // With an IPv4 address, which all of ours give.
  return reply[1] === 0 ? undefined : ({ step: 'connect', code: reply[1] } as const);
}

function counted(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** So many bytes, or none where the server closes instead. */
async function take(socket: Socket, count: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length < count) continue;
    socket.unshift(bytes.subarray(count));
    return bytes.subarray(0, count);
  }
  return Buffer.alloc(0);
}
