// `node bin/node.js …` is `node …` by the Node that this project is written for: what the scripts of package.json begin with.
import { runNode } from './pinned-node.js';

runNode(process.argv.slice(2));
