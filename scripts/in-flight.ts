/**
 * Keeps what this version leaves when an update is cut short after each of its facts, for every
 * later version to take over: test/journals/<version>-in-flight.tar.gz, a directory for each. Run
 * before states or facts change their shape.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { create } from 'tar';
import packageJson from '../package.json' with { type: 'json' };
import { FLIGHTS, type Flight, inFlight, quietApp } from '../test/support/in-flight.ts';

const TESTS = path.join(import.meta.dirname, '..', 'test');
const MORTAL = path.join(TESTS, 'support', 'mortal.ts');
const out = mkdtempSync(path.join(os.tmpdir(), 'in-flight-'));

/** False where the update has fewer facts. */
async function keep(flight: Flight, facts: number, apps: Record<string, Buffer>): Promise<boolean> {
  await using product = await inFlight(flight, MORTAL);
  product.github.publish('v0.0.1', { 'app.tar.gz': apps['first'] as Buffer });
  const first = await product.command(['run', '--once'], { UPDATE_APPROVAL: '' });
  assert.equal(first.exitCode, 0, first.stderr);
  product.github.publish('v0.0.2', { 'app.tar.gz': apps[FLIGHTS[flight].next] as Buffer });
  if (flight === 'retry') product.github.misbehave = { cutAfterBytes: 50 };
  const { exitCode } = await product.command(['run', '--once', '--now'], {
    MORTAL_AT: `${facts}:after`,
  });
  if (exitCode !== undefined) return false;
  const db = new DatabaseSync(path.join(product.dir, 'state', 'journal.db'));
  const last = db.prepare('SELECT * FROM facts ORDER BY seq DESC LIMIT 1').get();
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  console.log(flight, facts, JSON.stringify(last).slice(0, 150));
  cpSync(product.dir, path.join(out, `${flight}-${String(facts).padStart(2, '0')}`), {
    recursive: true,
    verbatimSymlinks: true,
  });
  return true;
}

const apps = {
  first: await quietApp('0.0.1', true),
  good: await quietApp('0.0.2', true),
  broken: await quietApp('0.0.2', false),
};
for (const [name, content] of Object.entries(apps))
  writeFileSync(path.join(out, `${name}.tar.gz`), content);
for (const flight of Object.keys(FLIGHTS) as Flight[]) {
  let facts = 1;
  while (await keep(flight, facts, apps)) facts += 1;
}
await create(
  {
    file: path.join(TESTS, 'journals', `${packageJson.version}-in-flight.tar.gz`),
    gzip: true,
    cwd: out,
  },
  ['.'],
);
rmSync(out, { recursive: true });
