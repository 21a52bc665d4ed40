import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import type { RealServer } from '../support/real-servers.ts';

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
}

/** A test that a server which is stopped leaves no process running and no directory. */
export function testLeavesNothing(start: () => Promise<RealServer>): void {
  test('leaves nothing behind', async () => {
    const before = pidsBelow(process.pid);
    const server = await start();
    const started = pidsBelow(process.pid).filter((pid) => !before.includes(pid));
    const dirs = started.flatMap(workDirOf);
    expect(started.length).toBeGreaterThanOrEqual(2); // The script and its server.
    expect(dirs.map((dir) => existsSync(dir))).toContain(true);
    await server.stop();
    const running = processes().filter(({ state }) => state !== 'Z');
    expect(running.filter(({ pid }) => started.includes(pid))).toEqual([]);
    expect(dirs.filter((dir) => existsSync(dir))).toEqual([]);
  }, 30_000);
}

function pidsBelow(root: number): number[] {
  const all = processes();
  const below = (pid: number): number[] =>
    all.filter(({ parent }) => parent === pid).flatMap((child) => [child.pid, ...below(child.pid)]);
  return below(root);
}

function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      // `PID (NAME) STATE PARENT …`, where the name may hold anything.
      const [state, parent] = procFile(pid, 'stat')
        .replace(/^.*\) /s, '')
        .split(' ');
      return state ? [{ pid: Number(pid), parent: Number(parent), state }] : [];
    });
}

/** The directory that a start script was given: the first argument after its own name. */
function workDirOf(pid: number): string[] {
  const [program, script, dir] = procFile(String(pid), 'cmdline').split('\0');
  return program === 'bash' && script?.endsWith('.sh') && dir ? [dir] : [];
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return ''; // It has ended.
  }
}
