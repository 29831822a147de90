/**
 * Makes the golden journal of this version: a life with an update, failures and operators' words,
 * run by the product itself.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import packageJson from '../package.json' with { type: 'json' };
import { Journal } from '../src/journal/journal.ts';
import { appArchive } from '../test/support/app.ts';
import { toldBy } from '../test/support/golden.ts';
import { Product } from '../test/support/product.ts';

await using product = await Product.create({
  env: { UPDATE_PROBATION: '0', UPDATE_STRATEGY: 'kill-then-download' },
});
const publish = async (version: string) =>
  product.github.publish(`v${version}`, {
    'app.tar.gz': await appArchive({ version, port: product.port, padBytes: 500_000 }),
  });
await publish('0.0.1');
await product.command(['run', '--once']);
await publish('0.0.2');
await product.command(['update']);
await publish('0.0.3');
product.github.misbehave = { throttle: 2_000_000, cutAfterBytes: 200_000 };
await product.command(['update']);
product.github.misbehave = {};
await product.command(['update']);
await product.command(['install', 'v0.0.1']);
await product.command(['deny', '0.0.9']);
await product.command(['release']);
await product.command(['pause']);
product.github.publish('v0.0.4', { 'app.tar.gz': Buffer.from('no archive') });
await product.command(['resume']);
await product.command(['update']);
await product.command(['restart']);
const directory = path.join(import.meta.dirname, '..', 'test', 'journals', packageJson.version);
mkdirSync(directory, { recursive: true });
const source = path.join(product.dir, 'state', 'journal.db');
const db = new DatabaseSync(source);
db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
db.close();
copyFileSync(source, path.join(directory, 'journal.db'));
const journal = Journal.openForReading(directory);
writeFileSync(path.join(directory, 'told.jsonl'), `${toldBy(journal?.read() ?? []).join('\n')}\n`);
journal?.close();
