/** Bundles the product into one file, dist/self-update.js: what the image runs. */
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };

const ROOT = path.join(import.meta.dirname, '..');
const OUT = path.join(ROOT, 'dist', 'self-update.js');

mkdirSync(path.dirname(OUT), { recursive: true });
await build({
  entryPoints: [path.join(ROOT, 'src', 'main.ts')],
  outfile: OUT,
  bundle: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  legalComments: 'linked',
  define: { BUNDLED_VERSION: JSON.stringify(packageJson.version) },
  // CommonJS dependencies ask for Node's own modules by require().
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
});
process.stdout.write(`dist/self-update.js: ${Math.round(statSync(OUT).size / 1000)} kB\n`);
