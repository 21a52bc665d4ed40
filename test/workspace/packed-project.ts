import { type ExecFileOptions, execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { filesBelow, packages, root } from './packages.ts';

export const run: (
  file: string,
  args: readonly string[],
  options: ExecFileOptions,
) => Promise<{ stdout: string | Buffer; stderr: string | Buffer }> = promisify(execFile);

/**
 * An empty project with every package installed as users get it, from its tarball. It is kept in the system's
 * temporary folder until a package changes; below the workspace an import that a package does not declare would be
 * found in the workspace's own node_modules.
 */
export async function packedProject(): Promise<string> {
  const content = await contentOfPackages();
  const owner = createHash('sha256').update(`${root}\0${process.getuid?.()}`).digest('hex').slice(0, 12);
  const project = join(tmpdir(), `cloudlane-packed-${owner}`);
  const stamp = await readFile(join(project, 'content'), 'utf8').catch(() => '');
  if (stamp === content) return project;

  const fresh = await mkdtemp(`${project}-`);
  try {
    await install(fresh);
    await writeFile(join(fresh, 'content'), content);
    await rm(project, { recursive: true, force: true });
    await rename(fresh, project);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return project;
}

/** Changes with everything that goes into a tarball, and with the workspace's lock. */
async function contentOfPackages(): Promise<string> {
  const hash = createHash('sha256').update(process.version);
  const files = packages.flatMap(({ name, dir }) => {
    const built = filesBelow(join(dir, 'dist')).filter((file) => !file.endsWith('.tsbuildinfo'));
    if (built.length === 0) throw new Error(`${name} is not built: npm run build`);
    const beside = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'].map((file) => join(dir, file));
    return [...beside, ...built, ...filesBelow(join(dir, 'src'))];
  });
  for (const file of [...files, join(root, 'package-lock.json')]) {
    hash.update(`\0${file}\0`).update(await readFile(file).catch(() => ''));
  }
  return hash.digest('hex');
}

async function install(dir: string): Promise<void> {
  await mkdir(join(dir, 'tarballs'));
  await npm(root, 'pack', '--workspaces', '--pack-destination', join(dir, 'tarballs'));
  const tarballs = await readdir(join(dir, 'tarballs'));
  const dependencies = Object.fromEntries(
    packages.map(({ name, manifest }) => {
      const file = `${name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`;
      if (!tarballs.includes(file)) throw new Error(`npm packed no ${file}, but ${tarballs.join(', ')}`);
      return [name, `file:tarballs/${file}`];
    }),
  );
  await writeFile(join(dir, 'package.json'), JSON.stringify({ private: true, dependencies }));
  await npm(dir, 'install', '--prefer-offline', '--no-package-lock');
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  // npm names itself in npm_execpath to the scripts it runs, and is a script for this very Node. What it says about
  // the workspace must not reach the npm of another project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
  );
  const cli = process.env.npm_execpath ?? join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run(process.execPath, [cli, ...args, ...quiet], { cwd, env });
}
