import { addressText } from './address.ts';
import type { Intake } from './intake.ts';
import { SOCKS5, type SocksAddress, type SocksAddressType } from './socks-wire.ts';

/** What a client asked for. */
export interface SocksRequest extends SocksAddress {
  readonly command: number;
  /** `null`: a type that nobody knows, so that host and port are not known either. */
  readonly addressType: SocksAddressType | null;
}

// Longer than any name, shorter than patience.
const LONGEST_TEXT = 1024;

/** SOCKS4 after its version: command, port, address, user id; for 4a also a name. `null`: the client broke off. */
export async function readRequest4(intake: Intake): Promise<(SocksRequest & { readonly userId: string }) | null> {
  const head = await intake.take(7);
  const userId = head && (await intake.takeUntil(0, LONGEST_TEXT));
  if (!head || !userId) return null;
  const address = head.subarray(3);
  const known = { command: head.readUInt8(0), port: head.readUInt16BE(1), userId: userId.toString() };
  // SOCKS4a: the address 0.0.0.x, with an x other than 0, says that a name follows.
  if (address.readUInt32BE(0) >= 256 || address.readUInt32BE(0) === 0) {
    return { ...known, addressType: 'ipv4', host: addressText(address) };
  }
  const name = await intake.takeUntil(0, LONGEST_TEXT);
  return name && { ...known, addressType: 'name', host: name.toString() };
}

/** RFC 1928 §4: version, command, reserved, address type, address, port. `null`: the client broke off. */
export async function readRequest5(intake: Intake): Promise<SocksRequest | null> {
  const head = await intake.take(4);
  if (head?.[0] !== 5) return null;
  const command = head.readUInt8(1);
  const addressType = typeOf(head.readUInt8(3));
  if (addressType === null) return { command, addressType, host: '', port: 0 };
  const host = await readHost(addressType, intake);
  const port = host && (await intake.take(2));
  if (!port) return null;
  const text = addressType === 'name' ? host.toString() : addressText(host);
  return { command, addressType, host: text, port: port.readUInt16BE(0) };
}

/** RFC 1929 §2: version, and two texts with their lengths before them. `null`: the client broke off, or speaks otherwise. */
export async function readPassword(intake: Intake): Promise<{ username: string; password: string } | null> {
  const version = await intake.take(1);
  if (version?.[0] !== 1) return null;
  const username = await readText(intake);
  const password = username && (await readText(intake));
  return password && { username: username.toString(), password: password.toString() };
}

function typeOf(byte: number): SocksAddressType | null {
  if (byte === SOCKS5.addresses.ipv4) return 'ipv4';
  if (byte === SOCKS5.addresses.ipv6) return 'ipv6';
  return byte === SOCKS5.addresses.name ? 'name' : null;
}

function readHost(addressType: SocksAddressType, intake: Intake): Promise<Buffer | null> {
  if (addressType === 'name') return readText(intake);
  return intake.take(addressType === 'ipv4' ? 4 : 16);
}

async function readText(intake: Intake): Promise<Buffer | null> {
  const length = await intake.take(1);
  return length && intake.take(length.readUInt8(0));
}
