import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import { VERSION } from '@cloudlane/session';
import { CloudlaneError } from '@cloudlane/transport';
import { Command, CommanderError } from 'commander';
import { bucketsCommand, nodesCommand } from './list-commands.ts';
import { routeCommand } from './route-command.ts';
import type { Terminal } from './terminal.ts';

/** Exit codes of the command. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/**
 * Runs one command line.
 * @param args without the interpreter and the script
 * @returns the exit code: 0 done, 1 the call failed, 2 wrong usage or options, 130 interrupted
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = new Command('cloudlane')
    .description('Which route do calls to cloud providers take, and the calls themselves.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    })
    .addHelpText('after', HELP);
  for (const command of [routeCommand(terminal), bucketsCommand(terminal), nodesCommand(terminal)]) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return exitCode(error, terminal);
  }
}

const HELP = `
Examples:
  cloudlane route https://api.digitalocean.com
  cloudlane buckets --provider s3 --http-proxy http://user:password@proxy.example:3128
  cloudlane nodes --provider digitalocean --json

Without --http-proxy or --direct, http_proxy, https_proxy, all_proxy and no_proxy decide.
Exit codes: 0 done, 1 the call failed, 2 wrong usage or options, 130 interrupted.`;

function exitCode(error: unknown, terminal: Terminal): number {
  // Commander has said what is wrong already; asking for help or the version is no fault.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (terminal.signal.aborted) return EXIT.interrupted;
  if (error instanceof InvalidOptionError || error instanceof InvalidProxyUrlError) {
    terminal.err(`cloudlane: ${error.message}`);
    return EXIT.usage;
  }
  if (!(error instanceof CloudlaneError)) throw error;
  terminal.err(`cloudlane: ${error.message} [${error.code}]`);
  return EXIT.failed;
}
