/**
 * Bundles the product into dist/: the program in one file, what only some need (HTTP, attestations, time windows) in files
 * beside it that are loaded when they are, and the dashboard. This is what the image runs.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { buildDashboard } from './dashboard.ts';

const ROOT = path.join(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'dist');

mkdirSync(DIST, { recursive: true });
// Names carry a hash of what is in them: what an earlier build left would stay for ever.
for (const name of readdirSync(DIST)) if (/\.(?:js|json|txt)$/.test(name)) rmSync(path.join(DIST, name));
await build({
  entryPoints: { 'self-update': path.join(ROOT, 'src', 'main.ts') },
  outdir: DIST,
  bundle: true,
  splitting: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  legalComments: 'linked',
  define: { BUNDLED_VERSION: JSON.stringify(packageJson.version) },
  // CommonJS dependencies ask for Node's own modules by require().
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
});
writeFileSync(path.join(DIST, 'dashboard.json'), JSON.stringify(await buildDashboard()));
for (const name of readdirSync(DIST).sort())
  if (!name.endsWith('.txt')) process.stdout.write(`dist/${name}: ${Math.round(statSync(path.join(DIST, name)).size / 1000)} kB\n`);
