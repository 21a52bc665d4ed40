// A client that shows what is on the wire: packets as they come, and how the connection ended.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

export class Wire implements AsyncDisposable {
  readonly packets: Buffer[] = [];
  readonly socket: Socket;
  /** 'fin', or the code of the error that ended it. */
  readonly ended: Promise<string>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (packet) => this.packets.push(packet));
    this.ended = new Promise((resolve) => {
      socket.once('end', () => resolve('fin'));
      socket.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
      socket.once('close', () => resolve('closed here'));
    });
  }

  /** Plain, or with TLS if given its options. */
  static async to(server: { host: string; port: number }, tls?: ConnectionOptions): Promise<Wire> {
    const { host, port } = server;
    const wire = new Wire(tls ? connectTls({ ...tls, host, port }) : connect(port, host));
    await once(wire.socket, tls ? 'secureConnect' : 'connect');
    return wire;
  }

  get text(): string {
    return Buffer.concat(this.packets).toString('latin1');
  }

  send(...lines: readonly string[]): this {
    this.socket.write(lines.map((line) => `${line}\r\n`).join(''));
    return this;
  }

  /** Bytes as they are, in one packet. */
  write(...bytes: readonly (number | string)[]): this {
    this.socket.write(
      Buffer.concat(bytes.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part)))),
    );
    return this;
  }

  /** The next so many bytes, as soon as they have come; `text` and `packets` have the rest. */
  async next(length: number): Promise<number[]> {
    while (this.text.length < length) await once(this.socket, 'data');
    const all = Buffer.concat(this.packets);
    this.packets.splice(0, this.packets.length, ...(all.length > length ? [all.subarray(length)] : []));
    return [...all.subarray(0, length)];
  }

  /** What has come, as soon as it matches. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) await once(this.socket, 'data');
    return this.text;
  }

  /** What has come, once the event loop has nothing more to deliver. */
  async settled(): Promise<string> {
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    return this.text;
  }

  /** Everything, once the other side has ended. */
  async all(): Promise<string> {
    await this.ended;
    return this.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }
}
