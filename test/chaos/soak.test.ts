/**
 * Updates in a row under one updater: descriptors, memory, disk and what the journal takes for each
 * stay flat.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { appArchive } from '../support/app.ts';
import { cases, isFull } from '../support/chaos/cases.ts';
import { ask } from '../support/prober.ts';
import { Product } from '../support/product.ts';

const UPDATES = isFull ? 1000 : 30;
const PATIENCE_MS = 20_000;
/** What the stand-in keeps; real lists are paged. */
const RELEASES_LISTED = 3;
/** SQLite moves the log into the file every 1,000 pages of 4 KiB. */
const MAX_WAL_BYTES = 8_000_000;

type Usage = {
  descriptors: number;
  memoryBytes: number;
  trees: number;
  leftovers: number;
  factBytes: number;
  walBytes: number;
  processes: number;
};

function usage(product: Product, pid: number): Usage {
  const names = (directory: string) => readdirSync(path.join(product.dir, directory));
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    memoryBytes: Number(resident) * 1024,
    trees: names('releases').length,
    leftovers: names('tmp').length + names('inbox').length,
    factBytes: bytesOfFacts(product),
    walBytes: statSync(path.join(product.dir, 'state', 'journal.db-wal')).size,
    processes: product.apps().length,
  };
}

function bytesOfFacts(product: Product): number {
  const db = new DatabaseSync(path.join(product.dir, 'state', 'journal.db'), { readOnly: true });
  const { bytes } = db.prepare('SELECT sum(length(body)) AS bytes FROM facts').get() as {
    bytes: number;
  };
  db.close();
  return bytes;
}

async function update(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, {
    'app.tar.gz': await appArchive({ version, port: product.port }),
  });
  product.github.releases.splice(RELEASES_LISTED);
  product.github.requests.splice(0);
  const deadline = performance.now() + PATIENCE_MS;
  while ((await ask(product.port)) !== version) {
    product.updaters.at(-1)?.kill('SIGHUP');
    assert.ok(
      performance.now() < deadline,
      `${version} does not come: ${product.log.slice(-5).join('\n')}`,
    );
    await sleep(100);
  }
}

cases('soak', [{ title: `${UPDATES} updates in a row` }], { sample: 1 }, async () => {
  await using product = await Product.create({
    baked: '0.0.0',
    env: {
      UPDATE_STRATEGY: 'download-then-kill',
      UPDATE_PROBATION: '0',
      UPDATE_ASSET: '*.tar.gz',
      SLEEP: '3600',
    },
  });
  const updater = product.start();
  await product.fact('versionBecameHealthy');
  const seen: Usage[] = [];
  for (let number = 1; number <= UPDATES; number++) {
    await update(product, `0.0.${number}`);
    product.log.splice(0);
    if (number % Math.floor(UPDATES / 10) === 0) seen.push(usage(product, updater.pid ?? 0));
  }
  const [, early, last] = [seen[0], seen[Math.floor(seen.length / 2) - 1], seen.at(-1)];
  assert.ok(early && last);
  assert.ok(
    last.descriptors <= early.descriptors + 3,
    `descriptors: ${seen.map(({ descriptors }) => descriptors).join()}`,
  );
  assert.ok(
    last.memoryBytes < early.memoryBytes * 1.3 + 20_000_000,
    `memory: ${seen.map(({ memoryBytes }) => memoryBytes).join()}`,
  );
  for (const { trees, leftovers, processes } of seen)
    assert.ok(trees <= 3 && leftovers <= 2 && processes === 1, JSON.stringify(seen));
  // Its history is kept, so the journal grows by the same for each update, and by nothing else.
  const each = (from: Usage | null, to: Usage, updates: number) =>
    (to.factBytes - (from?.factBytes ?? 0)) / updates;
  const [firstHalf, secondHalf] = [each(null, early, UPDATES / 2), each(early, last, UPDATES / 2)];
  assert.ok(
    secondHalf < firstHalf * 1.1,
    `${firstHalf}, then ${secondHalf} bytes of journal an update`,
  );
  assert.ok(last.walBytes < MAX_WAL_BYTES, `${last.walBytes} bytes of write-ahead log`);
  return `${last.descriptors} descriptors (${early.descriptors} at half time), ${Math.round(last.memoryBytes / 1e6)} MB (${Math.round(early.memoryBytes / 1e6)} MB), ${last.trees} trees, ${Math.round(secondHalf / 100) / 10} kB of facts an update (${Math.round(firstHalf / 100) / 10} kB in the first half)`;
});
