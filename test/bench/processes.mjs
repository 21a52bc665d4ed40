// What the benchmarks share: fresh processes that run from the sources, and what is said of several runs.
import { fork } from 'node:child_process';
import { once } from 'node:events';

const FROM_SOURCE = `import { register } from 'node:module'; register('${new URL('../transport/from-source.mjs', import.meta.url)}');`;
const NODE_OPTIONS = [
  '--expose-gc',
  '--disable-warning=ExperimentalWarning',
  '--import',
  `data:text/javascript,${encodeURIComponent(FROM_SOURCE)}`,
];

/** A process that runs a file of this folder. */
export function start(file) {
  return fork(new URL(file, import.meta.url), { execArgv: NODE_OPTIONS });
}

/** What a process says next. Fails if it ends instead. */
export async function answerOf(child) {
  const died = new AbortController();
  const onExit = () => died.abort(new Error(`${child.spawnargs.at(-1)} has ended`));
  child.once('exit', onExit);
  try {
    const [message] = await once(child, 'message', { signal: died.signal });
    return message;
  } finally {
    child.off('exit', onExit);
  }
}

/** Lets processes end, and waits for it. */
export async function end(...children) {
  for (const child of children) if (child.connected) child.disconnect();
  for (const child of children) if (child.exitCode === null) await once(child, 'exit');
}

export function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}
