// Removes what installing and building made, nested node_modules included.
import { readdirSync, rmSync } from 'node:fs';

const made = [
  'node_modules',
  'examples/dist',
  ...readdirSync('packages').flatMap((name) => [`packages/${name}/dist`, `packages/${name}/node_modules`]),
];
for (const path of made) rmSync(path, { recursive: true, force: true });
