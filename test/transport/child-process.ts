import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { scrubProxyVariables } from '../support/environment.ts';
import { use } from './lab.ts';

const HOOKS = `import { register } from 'node:module'; register('${new URL('from-source.mjs', import.meta.url)}');`;

/** For tests that start a process: that may take its time on a busy machine. */
export const PROCESS_TIMEOUT = 20_000;

/** Runs a module in a process of its own, without proxy variables but the given ones. */
export async function runScript(
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ output: string; errors: string; code: number | null }> {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--import',
      `data:text/javascript,${encodeURIComponent(HOOKS)}`,
      '--input-type=module',
      '--eval',
      script,
    ],
    {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...scrubProxyVariables({ ...process.env }), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  await use({ [Symbol.asyncDispose]: async () => void child.kill() });
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { output, errors, code };
}
