/** Bundles the program into the one script that a start-up snapshot is made of. */
import path from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = path.join(import.meta.dirname, '..');

/**
 * Modules of Node's that a snapshot can't hold, or that only some commands need: each of their
 * functions is asked for where it is used. `node:v8` is the snapshot's own.
 */
const LATE = [
  ...[
    'child_process',
    'crypto',
    'diagnostics_channel',
    'dns',
    'dns/promises',
    'http',
    'http2',
    'https',
    'inspector',
    'module',
    'net',
    'perf_hooks',
  ],
  ...[
    'readline',
    'sqlite',
    'stream/promises',
    'timers/promises',
    'tls',
    'vm',
    'worker_threads',
    'zlib',
  ],
];

/** Asking for these loads half of Node: HTTP/2, TLS and undici. */
const NEVER = new Set(['WebSocket', 'CloseEvent', 'MessageEvent']);

const late: Plugin = {
  name: 'late',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(?:node:)?(?:${LATE.join('|')})$`) }, ({ path: name }) => ({
      path: name.replace('node:', ''),
      namespace: 'late',
    }));
    onLoad({ filter: /.*/, namespace: 'late' }, ({ path: name }) => {
      const names = Object.keys(process.getBuiltinModule(`node:${name}`) ?? {}).filter(
        (key) => !NEVER.has(key),
      );
      const contents = `
        const load = () => process.getBuiltinModule('node:${name}');
        for (const name of ${JSON.stringify(names)}) Object.defineProperty(exports, name, { enumerable: true, get: () => load()[name] });
        Object.defineProperty(exports, 'default', { get: load });
        Object.defineProperty(exports, '__esModule', { value: true });`;
      return { contents };
    });
  },
};

/** An updater with HTTP, or that writes metrics, is loaded, not woken (docker/self-update). */
const withoutWeb: Plugin = {
  name: 'without-web',
  setup({ onResolve, onLoad }) {
    const stubs: Record<string, string> = {
      server: 'startWeb',
      metrics: 'measure',
      lint: 'showLint',
    };
    onResolve({ filter: /\/(?:web\/(?:server|metrics)|cli\/lint)\.ts$/ }, ({ path: file }) => ({
      path: path.basename(file, '.ts'),
      namespace: 'without-web',
    }));
    onLoad({ filter: /.*/, namespace: 'without-web' }, ({ path: name }) => ({
      contents: `export function ${stubs[name]}() { throw new Error('${name} is not in the snapshot'); }`,
    }));
  },
};

/**
 * Packages that only windows of time and attestations need. They would be twice in the image: in
 * the snapshot, and in the program. A woken program loads them from the latter, which lies beside
 * its Node.
 */
export const BESIDE = {
  sigstore: path.join(ROOT, 'src', 'trust', 'sigstore.ts'),
  temporal: 'temporal-polyfill',
};

const beside: Plugin = {
  name: 'beside',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^temporal-polyfill$|\/sigstore\.ts$/ }, ({ path: file }) => ({
      path: file === BESIDE.temporal ? 'temporal' : 'sigstore',
      namespace: 'beside',
    }));
    onLoad({ filter: /.*/, namespace: 'beside' }, ({ path: name }) => ({
      contents: `module.exports = process.getBuiltinModule('node:module').createRequire(process.execPath)('../dist/${name}.js');`,
    }));
  },
};

export async function buildSnapshotScript(outfile: string, version: string): Promise<void> {
  await build({
    entryPoints: [path.join(ROOT, 'src', 'snapshot.ts')],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    plugins: [late, withoutWeb, beside],
    legalComments: 'none',
    // Nothing is looked for beside the script: there is none when it wakes.
    define: {
      BUNDLED_VERSION: JSON.stringify(version),
      'import.meta.dirname': '"/"',
      'import.meta.url': '"file:///"',
    },
  });
}
