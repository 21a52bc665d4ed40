import { EventEmitter, once } from 'node:events';
import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** What a server has written down of its work. */
export interface Logging<Entry> {
  log(): Promise<readonly Entry[]>;
  /** The first log entry with these fields; waits for it. */
  logged(fields: Partial<Entry>): Promise<Entry>;
}

export interface LogFile<Entry> {
  readonly path: string;
  /** The entry in a line of the file, or none. */
  readonly parse: (line: string) => Entry | undefined;
}

/** Reads the logs of a server, of which there are several where it takes several processes. */
export function logging<Entry extends object>(...files: readonly LogFile<Entry>[]): Logging<Entry> {
  const log = async () => (await Promise.all(files.map(readLog))).flat();
  return { log, logged: (fields) => logged(files, log, fields) };
}

async function readLog<Entry>({ path, parse }: LogFile<Entry>): Promise<Entry[]> {
  // What follows the last line end is a line still being written.
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  return lines.map(parse).filter((entry) => entry !== undefined);
}

async function logged<Entry extends object>(
  files: readonly LogFile<Entry>[],
  log: () => Promise<readonly Entry[]>,
  fields: Partial<Entry>,
): Promise<Entry> {
  const signal = AbortSignal.timeout(4_000); // Before jest's own five seconds, which would hide the log.
  const wanted = Object.entries(fields);
  const changes = new EventEmitter();
  const watchers = files.map(({ path }) => watch(path, () => changes.emit('change')));
  try {
    for (;;) {
      // Listens before it reads, so that no line falls between the two.
      const change = once(changes, 'change', { signal }).then(
        () => true,
        () => false,
      );
      const entries = await log();
      const found = entries.find((entry) => wanted.every(([name, value]) => Reflect.get(entry, name) === value));
      if (found) return found;
      if (!(await change)) {
        throw new Error(`The log has no ${JSON.stringify(fields)}, but:\n${JSON.stringify(entries, null, 2)}`);
      }
    }
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}
