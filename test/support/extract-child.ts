/**
 * Extracts an archive (first argument) into a place (second), and prints how that ended and how
 * much memory it took at most.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { extract } from '../../src/effects/extract.ts';
import { sumOf } from '../../src/effects/pieces.ts';
import { release } from './machine.ts';

const [archive = '', root = ''] = process.argv.slice(2);
const file = path.join(root, 'tmp', 'child.part');
mkdirSync(path.dirname(file), { recursive: true });
copyFileSync(archive, file);
const { sha256 } = await sumOf(file);
const outcome = await extract(
  { release: release('2.0.0'), path: file, sha256 },
  AbortSignal.timeout(200_000),
  {
    places: {
      root,
      bakedDir: path.join(root, 'baked'),
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    },
    app: { command: null, repositoryName: 'app', workdir: null, args: [], environment: {} },
    linked: { names: [], directory: path.join(root, 'data'), owner: null },
    maxUnpackedBytes: 4 * 2 ** 30,
    maxEntries: 100_000,
    sealed: new Map([[file, sha256]]),
    warn: () => {},
  },
).then(
  ({ type }) => type,
  (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
);
const peakBytes =
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
process.stdout.write(JSON.stringify({ outcome, peakBytes }));
