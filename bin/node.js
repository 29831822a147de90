// `node bin/node.js …` is `node …` by the Node that this project is written for: what the scripts
// of package.json begin with.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNode } from './pinned-node.js';

const args = process.argv.slice(2);
// Test files share what they compiled: it is a third of what they cost. Coverage is exact only
// where nothing comes from a cache.
if (args.includes('--test') && !args.includes('--experimental-test-coverage'))
  process.env.NODE_COMPILE_CACHE ??= path.join(
    path.dirname(fileURLToPath(import.meta.url)),
    '..',
    'node_modules',
    '.cache',
    'test',
  );
runNode(args);
