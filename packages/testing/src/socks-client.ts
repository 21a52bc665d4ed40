import type { Socket } from 'node:net';
import { Intake } from './intake.ts';
import { formatAddress, formatTarget, SOCKS5, type SocksAddress } from './socks-wire.ts';
import { UpstreamError } from './upstream-error.ts';

interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Asks a SOCKS5 proxy for a tunnel (RFC 1928), with a password if there is one (RFC 1929). Rejects with {@link UpstreamError}. */
export async function askSocks5(socket: Socket, target: SocksAddress, credentials: Credentials | null): Promise<void> {
  const intake = new Intake(socket);
  const { none, password } = SOCKS5.methods;
  const offered = credentials ? password : none;
  socket.write(Buffer.of(5, 1, offered));
  await expectBytes(intake, [5, offered], 'does not take our method');
  if (credentials) {
    socket.write(Buffer.concat([Buffer.of(1), text(credentials.username), text(credentials.password)]));
    await expectBytes(intake, [1, 0], 'does not take our password');
  }
  socket.write(Buffer.concat([Buffer.of(5, SOCKS5.commands.connect, 0), formatAddress(target)]));
  await expectBytes(intake, [5, SOCKS5.replies.granted, 0], `refused ${formatTarget(target)}`);
  await skipAddress(intake);
  socket.unshift(intake.release());
}

async function expectBytes(intake: Intake, expected: readonly number[], otherwise: string): Promise<void> {
  const bytes = await intake.take(expected.length);
  if (bytes?.equals(Buffer.from(expected))) return;
  const said = bytes ? [...bytes].join(' ') : 'it broke off';
  throw new UpstreamError('failed', `The next proxy ${otherwise}: ${said}`);
}

async function skipAddress(intake: Intake): Promise<void> {
  const type = (await intake.take(1))?.[0];
  const { ipv4, ipv6 } = SOCKS5.addresses;
  const length = type === ipv4 ? 4 : type === ipv6 ? 16 : (await intake.take(1))?.[0];
  const rest = length === undefined ? null : await intake.take(length + 2);
  if (!rest) throw new UpstreamError('failed', 'The next proxy broke off within its reply');
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}
