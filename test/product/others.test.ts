/**
 * A machine with others on it, and an updater outside the container: it starts its own app, obeys
 * its own operator, and goes on.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { mkfifo, needsRoot, OTHER, startedByOther } from '../support/others.ts';
import { MARKER, Product } from '../support/product.ts';
import { missing } from '../support/tools.ts';

describe("another user's process and files", { skip: needsRoot || missing('perl') }, () => {
  it('neither take the place of the app nor keep the updater from its work', async () => {
    await using product = await Product.create();
    const [state, inbox] = ['state', 'inbox'].map((name) => path.join(product.dir, name)) as [
      string,
      string,
    ];
    mkdirSync(state, { recursive: true, mode: 0o700 });
    mkdirSync(inbox);
    chmodSync(inbox, 0o777);
    const theirs = await startedByOther('perl', ['-e', '$| = 1; print "ready"; sleep 1 while 1'], {
      [MARKER]: `${product.dir}:${product.env['UPDATE_BAKED_DIR']}/0.0.1`,
    });
    try {
      for (const name of ['lock', 'journal.db', 'app.json']) mkfifo(path.join(state, name));
      mkfifo(path.join(product.dir, 'app.log'));
      mkfifo(path.join(inbox, '0.json'));
      mkdirSync(path.join(inbox, '1.json', 'inside'), { recursive: true });
      writeFileSync(path.join(inbox, '2.json'), JSON.stringify({ type: 'paused' }));
      chownSync(path.join(inbox, '2.json'), OTHER.uid, OTHER.gid);

      product.start();
      // Until then there is a FIFO in the place of what a command would look at.
      await product.logged(/journal\.db was a FIFO/);
      await product.fact('versionBecameHealthy');
      assert.equal((await product.command(['deny', '9.9.9'])).exitCode, 0);
      const { version, paused, warnings } = await product.status();
      assert.deepEqual([version, paused], ['0.0.1', false]);
      assert.equal(product.apps().length, 1);
      assert.equal(await (await fetch(`http://127.0.0.1:${product.port}/`)).text(), '0.0.1');
      assert.equal(
        theirs.exitCode ?? theirs.signalCode,
        null,
        'their process is none of ours to end',
      );
      assert.ok(
        warnings.some((one) => one.includes(`${inbox} can be written by others (mode 777)`)),
        warnings.join('\n'),
      );
      for (const told of [
        /lock was a FIFO/,
        /journal\.db was a FIFO/,
        /0\.json .*is a FIFO/,
        /1\.json .*is a directory/,
        /2\.json .*belongs to user 65534/,
      ])
        assert.equal(
          product.log.filter((line) => told.test(line)).length,
          1,
          `${told}\n${product.log.join('\n')}`,
        );
      assert.deepEqual(
        readdirSync(inbox).filter((name) => name.endsWith('.json')),
        [],
      );
      // Placed while it runs.
      mkfifo(path.join(inbox, '3.json'));
      await product.logged(/3\.json .*is a FIFO/);
      assert.equal((await product.command(['pause'])).exitCode, 0);
    } finally {
      theirs.kill('SIGKILL');
    }
  });
});
