import type { ComputeNode, Driver, StoredContainer } from '@cloudlane/driver';
import { Command } from 'commander';
import { openCompute, openStorage, providersOf } from './providers.ts';
import { formatRoute, type RouteFlags, toRouteSettings, withRouteFlags } from './route-options.ts';
import { formatTable, type Terminal } from './terminal.ts';

interface ListFlags extends RouteFlags {
  readonly provider: string;
}

/** `cloudlane buckets --provider s3` */
export function bucketsCommand(terminal: Terminal): Command {
  const command = new Command('buckets').description('list the buckets of an account');
  return withProvider(command, 'storage', 's3').action(async (flags: ListFlags) => {
    const storage = await openStorage(flags.provider, terminal.env, toRouteSettings(flags));
    tellRoute(terminal, storage);
    const buckets = await storage.listContainers({ signal: terminal.signal }).all();
    show(terminal, flags, buckets, ['NAME', 'CREATED'], (bucket: StoredContainer) => [
      bucket.name,
      bucket.createdAt?.toISOString() ?? '',
    ]);
  });
}

/** `cloudlane nodes --provider digitalocean` */
export function nodesCommand(terminal: Terminal): Command {
  const command = new Command('nodes').description('list the virtual machines of an account');
  return withProvider(command, 'compute', 'digitalocean').action(async (flags: ListFlags) => {
    const compute = await openCompute(flags.provider, terminal.env, toRouteSettings(flags));
    tellRoute(terminal, compute);
    const nodes = await compute.listNodes({ signal: terminal.signal }).all();
    show(terminal, flags, nodes, ['ID', 'NAME', 'STATE', 'SIZE', 'LOCATION', 'ADDRESSES'], (node: ComputeNode) => [
      node.id,
      node.name,
      node.state,
      node.sizeId ?? '',
      node.locationId ?? '',
      node.addresses.map(({ address }) => address).join(' '),
    ]);
  });
}

function withProvider(command: Command, service: 'storage' | 'compute', fallback: string): Command {
  return withRouteFlags(command).option('--provider <name>', `one of: ${providersOf(service).join(', ')}`, fallback);
}

function tellRoute(terminal: Terminal, { connection }: Driver): void {
  const { route, source, rule, warnings } = connection.explain();
  terminal.err(`route: ${formatRoute(route)} (${source}: ${rule})`);
  for (const warning of warnings) terminal.err(`warning: ${warning}`);
}

function show<T extends { readonly raw: unknown }>(
  terminal: Terminal,
  flags: ListFlags,
  items: readonly T[],
  head: readonly string[],
  toRow: (item: T) => readonly string[],
): void {
  if (flags.json)
    terminal.out(
      JSON.stringify(
        items.map(({ raw, ...item }) => item),
        null,
        2,
      ),
    );
  else terminal.out(formatTable(head, items.map(toRow)));
}
