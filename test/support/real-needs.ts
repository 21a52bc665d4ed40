import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { describe } from '@jest/globals';
import { notRunHere } from './not-run.ts';

/** What a machine must have: a program, or a right. */
export type Requirement = RequiredProgram | RequiredRight;

interface RequiredProgram {
  readonly program: string;
  /** The Debian package that has it. */
  readonly package: string;
}

interface RequiredRight {
  /** In the words of "install these packages and …". */
  readonly right: string;
  readonly isGiven: () => boolean;
}

/** Servers live here, which the search path of an ordinary user leaves out. */
const SYSTEM_PROGRAMS = ['/usr/sbin', '/sbin'];

const openssl = { program: 'openssl', package: 'openssl' };
const root = { right: 'run as root', isGiven: () => process.getuid?.() === 0 };

/** What each of the servers here needs: for {@link describeReal}. */
export const needs = {
  squid: [{ program: 'squid', package: 'squid-openssl' }, openssl],
  swift: [
    { program: 'swift-proxy-server', package: 'swift-proxy' },
    { program: 'swift-account-server', package: 'swift-account' },
    { program: 'swift-container-server', package: 'swift-container' },
    { program: 'swift-object-server', package: 'swift-object' },
    { program: 'memcached', package: 'memcached' },
  ],
  nginx: [{ program: 'nginx', package: 'nginx-light' }, openssl],
  apache: [{ program: 'apache2', package: 'apache2-bin' }, openssl],
  tinyproxy: [{ program: 'tinyproxy', package: 'tinyproxy-bin' }],
  dante: [{ program: 'danted', package: 'dante-server' }, openssl, root],
  microsocks: [{ program: 'microsocks', package: 'microsocks' }, root],
  sshSocks: [{ program: 'sshd', package: 'openssh-server' }, { program: 'ssh', package: 'openssh-client' }, root],
  stunnel: [{ program: 'stunnel4', package: 'stunnel4' }, openssl],
  privoxy: [{ program: 'privoxy', package: 'privoxy' }],
  mitmproxy: [{ program: 'mitmdump', package: 'mitmproxy' }, openssl],
  // As somebody else it cannot forget a connection.
  haproxy: [{ program: 'haproxy', package: 'haproxy' }, openssl, root],
  network: [
    { program: 'ip', package: 'iproute2' },
    { program: 'python3', package: 'python3' },
    root,
    { right: 'allow network namespaces and /dev/net/tun', isGiven: hasNetworkNamespaces },
  ],
} as const satisfies Record<string, readonly Requirement[]>;

/**
 * A `describe` that runs where its requirements are met. Where one is not, one skipped test says what to install or
 * to allow; on the CI that test fails.
 */
export function describeReal(name: string, requirements: readonly Requirement[], body: () => void): void {
  const missing = requirements.filter((requirement) => !isMet(requirement));
  if (missing.length === 0) describe(name, body);
  else notRunHere(name, remedy(missing));
}

function isMet(requirement: Requirement): boolean {
  if (process.platform !== 'linux') return false;
  return 'program' in requirement ? isInstalled(requirement.program) : requirement.isGiven();
}

function isInstalled(program: string): boolean {
  return [...(process.env.PATH ?? '').split(':'), ...SYSTEM_PROGRAMS].some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** By making one, with the devices that netns.sh wants; it is gone when the command ends. */
function hasNetworkNamespaces(): boolean {
  const attempt = 'ip link add link0 type veth peer name link1 && ip tuntap add dev link2 mode tun';
  const PATH = `${process.env.PATH}:${SYSTEM_PROGRAMS.join(':')}`;
  return spawnSync('unshare', ['--net', '--mount', 'sh', '-c', attempt], { env: { PATH } }).status === 0;
}

function remedy(missing: readonly Requirement[]): string {
  const packages = missing.flatMap((requirement) => ('package' in requirement ? [requirement.package] : []));
  const rights = missing.flatMap((requirement) => ('right' in requirement ? [requirement.right] : []));
  return [[...new Set(packages)].join(' ') || 'nothing', ...new Set(rights)].join(' and ');
}
