/** An older version was killed in the middle of an update; this one is started in its place. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { extract } from 'tar';
import { FLIGHTS, type Flight, inFlight } from '../support/in-flight.ts';
import { holds } from '../support/kill-cases.ts';

const JOURNALS = path.join(import.meta.dirname, '..', 'journals');
const KEPT = '-in-flight.tar.gz';

for (const file of readdirSync(JOURNALS).filter((name) => name.endsWith(KEPT))) {
  const version = file.slice(0, -KEPT.length);
  describe(`an update that ${version} was killed in`, async () => {
    const kept = mkdtempSync(path.join(os.tmpdir(), 'in-flight-'));
    await extract({ file: path.join(JOURNALS, file), cwd: kept });
    const app = (name: string) => readFileSync(path.join(kept, `${name}.tar.gz`));
    after(() => rmSync(kept, { recursive: true }));

    for (const name of readdirSync(kept).filter((one) => !one.endsWith('.gz'))) {
      const flight = name.replace(/-\d+$/, '') as Flight;
      it(`is taken over and finished: ${flight}, after ${Number(name.slice(-2))} facts`, async () => {
        await using product = await inFlight(flight);
        cpSync(path.join(kept, name), product.dir, { recursive: true, verbatimSymlinks: true });
        product.github.publish('v0.0.1', { 'app.tar.gz': app('first') });
        product.github.publish('v0.0.2', { 'app.tar.gz': app(FLIGHTS[flight].next) });
        const taken = await product.command(['run', '--once']);
        assert.equal(taken.exitCode, 0, taken.stderr);
        if (flight === 'approval') {
          assert.equal((await holds(product)).state, 'waiting');
          assert.equal((await product.command(['approve', '0.0.2'])).exitCode, 0);
        }
        if (flight !== 'rollback') await product.command(['update']);
        const { version: runs, denied } = await holds(product);
        assert.equal(runs, flight === 'rollback' ? '0.0.1' : '0.0.2');
        assert.deepEqual(
          denied.map(({ code }) => code),
          flight === 'rollback' ? ['APP_EXITED'] : [],
        );
      });
    }
  });
}
