/**
 * Bundles the product into dist/: the program in one file, what only some need (HTTP, attestations,
 * time windows) in files beside it that are loaded when they are, the dashboard, and the script of
 * the start-up snapshot. This is what the image runs.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { buildDashboard } from './dashboard.ts';
import { BESIDE, buildSnapshotScript } from './snapshot.ts';

const ROOT = path.join(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'dist');

/**
 * An `import` of node:http reads every export of it, and three of them (WebSocket and its events)
 * load undici, http2 and TLS: 40 ms of every start. Taken as `require` would, nothing is loaded
 * that nobody asks for.
 */
const plainHttp: Plugin = {
  name: 'plain-http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:node:)?http$/ }, ({ kind }) =>
      kind === 'require-call' ? undefined : { path: 'http', namespace: 'plain-http' },
    );
    onLoad({ filter: /.*/, namespace: 'plain-http' }, () => {
      const names = Object.entries(Object.getOwnPropertyDescriptors(http)).flatMap(
        ([name, { get }]) => (get === undefined ? [name] : []),
      );
      const contents = `const http = process.getBuiltinModule('node:http');\nexport default http;\nexport const { ${names.join(', ')} } = http;`;
      return { contents };
    });
  },
};

mkdirSync(DIST, { recursive: true });
// Names carry a hash of what is in them: what an earlier build left would stay for ever.
for (const name of readdirSync(DIST))
  if (/\.(?:c?js|json|gz|txt)$/.test(name)) rmSync(path.join(DIST, name));
await build({
  entryPoints: { 'self-update': path.join(ROOT, 'src', 'main.ts'), ...BESIDE },
  outdir: DIST,
  bundle: true,
  splitting: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  legalComments: 'linked',
  plugins: [plainHttp],
  define: { BUNDLED_VERSION: JSON.stringify(packageJson.version) },
  // CommonJS dependencies ask for Node's own modules by require().
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});
// Runs by itself, as the app's user.
await build({
  entryPoints: [path.join(ROOT, 'src', 'effects', 'linked-child.ts')],
  outfile: path.join(DIST, 'linked-child.js'),
  bundle: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  external: ['execa'],
});
const page = gzipSync(JSON.stringify(await buildDashboard()), { level: 9 });
writeFileSync(path.join(DIST, 'dashboard.json.gz'), page);
await buildSnapshotScript(path.join(DIST, 'snapshot.cjs'), packageJson.version);
for (const name of readdirSync(DIST).sort())
  if (!name.endsWith('.txt'))
    process.stdout.write(
      `dist/${name}: ${Math.round(statSync(path.join(DIST, name)).size / 1000)} kB\n`,
    );
