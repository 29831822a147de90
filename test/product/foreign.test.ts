/**
 * UPDATE_DIR is the updater's own, and something in it is another user's: left from when the place
 * was open to all.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import { appArchive } from '../support/app.ts';
import { needsRoot, OTHER, startedByOther } from '../support/others.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';
import { missing } from '../support/tools.ts';

const THEIRS = '#!/bin/sh\nwhile :; do sleep 1; done # theirs\n';

async function publish(product: Product, version: string): Promise<void> {
  const archive = await appArchive({ version, port: product.port, padBytes: 5_000_000 });
  product.github.publish(`v${version}`, { [`app_${version}_linux_x64.tar.gz`]: archive });
}

const give = (file: string): Buffer =>
  execFileSync('chown', ['-Rh', `${OTHER.uid}:${OTHER.gid}`, file]);
const answer = async (product: Product): Promise<string> =>
  (await fetch(`http://127.0.0.1:${product.port}/`)).text();
const downloads = (product: Product, from: number): number =>
  product.github.requests.slice(from).filter((request) => /storage/.test(request.path)).length;

async function installed(product: Product): Promise<string> {
  chmodSync(product.root, 0o755);
  await publish(product, '1.0.0');
  product.start();
  await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
  const [app] = product.apps();
  return app?.tree ?? '';
}

async function ended(product: Product): Promise<void> {
  await product.killUpdater();
  for (const { pid } of product.apps()) sendSignal(pid, 'SIGKILL');
}

describe("another user's directory in UPDATE_DIR", { skip: needsRoot || missing('perl') }, () => {
  it('named tmp does not let him exchange the tree that was verified', async () => {
    await using product = await Product.create({ baked: null });
    chmodSync(product.root, 0o755);
    const tmp = path.join(product.dir, 'tmp');
    mkdirSync(tmp, { recursive: true });
    chownSync(tmp, OTHER.uid, OTHER.gid);
    chmodSync(tmp, 0o777);
    await publish(product, '1.0.0');
    const exchange = `$| = 1; umask 0; print "ready"; my $n = 0;
      while (1) {
        opendir(my $d, '${tmp}') or next;
        for my $x (readdir $d) {
          my $t = "${tmp}/$x";
          next if $x !~ /^tree-/ or (stat $t)[4] == $<;
          rename $t, "${tmp}/old" . $n++ or next;
          mkdir $t; open(my $f, '>', "$t/app") or next; print $f q(${THEIRS}); close $f; chmod 0777, "$t/app";
        }
      }`;
    const they = await startedByOther('perl', ['-e', exchange], {});
    try {
      product.start();
      await product.logged(/tmp belongs to user 65534.*moved to .*\[NOT_OURS\]/);
      await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
      assert.equal(await answer(product), '1.0.0');
      assert.equal(statSync(tmp).uid, 0);
      assert.equal(statSync(tmp).mode & 0o777, 0o700);
    } finally {
      they.kill('SIGKILL');
    }
  });

  it('planted in releases as a tree, with a manifest, is not run: the release is fetched and verified', async () => {
    await using product = await Product.create({ baked: null });
    const tree = await installed(product);
    await ended(product);
    const stash = path.join(product.root, 'stash');
    renameSync(tree, stash);
    execFileSync('sh', [
      '-c',
      `chmod -R u+w '${product.dir}' '${stash}' && rm -rf '${product.dir}' && printf '%s' "$1" > '${stash}/app'`,
      'sh',
      THEIRS,
    ]);
    mkdirSync(path.dirname(tree), { recursive: true });
    renameSync(stash, tree);
    give(tree);
    const before = product.github.requests.length;
    product.log.length = 0;
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
    assert.equal(await answer(product), '1.0.0');
    assert.equal(downloads(product, before), 1);
    assert.equal(statSync(tree).uid, 0);
    const told = product.log.join('\n');
    assert.match(told, /belongs to user 65534, and is not run: remove it/);
    assert.match(
      told,
      /belongs to user 65534, who could exchange verified files: it was moved to .*\[NOT_OURS\]/,
    );
    assert.ok((await product.status()).warnings.some((one) => one.includes('and is not run')));
  });

  it('that the app runs from does not stop it: it runs on until the next version is there', async () => {
    await using product = await Product.create({ baked: null });
    const tree = await installed(product);
    const before = product.apps();
    await product.killUpdater();
    give(path.dirname(tree));
    await using prober = new Prober(product.port).start();
    product.log.length = 0;
    product.start();
    await product.logged(/releases belongs to user 65534, who can change what runs/);
    // Once more round: nothing is done about it.
    assert.equal((await product.command(['pause'])).exitCode, 0);
    assert.equal((await product.command(['resume'])).exitCode, 0);
    assert.deepEqual(product.apps(), before);
    await prober.answers('1.0.0');
    await publish(product, '1.1.0');
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.1.0');
    assert.equal(await answer(product), '1.1.0');
    assert.equal(statSync(path.dirname(tree)).uid, 0);
  });

  for (const moment of [
    'is replaced',
    'was replaced by half, where the updater was killed between two renames',
  ] as const)
    it(`that the app runs from ${moment}: the running tree keeps its path, and the next version comes`, async () => {
      await using product = await Product.create({
        baked: null,
        env: { UPDATE_STRATEGY: 'download-then-kill' },
      });
      const tree = await installed(product);
      const before = product.apps();
      await product.killUpdater();
      const releases = path.dirname(tree);
      give(releases);
      if (moment !== 'is replaced') {
        mkdirSync(`${releases}.next`);
        symlinkSync(
          `../releases.odd-1/${path.basename(tree)}`,
          path.join(`${releases}.next`, path.basename(tree)),
        );
        renameSync(releases, `${releases}.odd-1`);
      }
      await using prober = new Prober(product.port).start();
      product.log.length = 0;
      product.github.misbehave = { stallAfterBytes: 1000 };
      await publish(product, '1.1.0');
      product.start();
      await product.github.nextRequest(/storage/);
      assert.equal(statSync(releases).uid, 0);
      assert.ok(
        readFileSync(path.join(tree, 'app')).length > 0,
        'what the app opens only now is there',
      );
      assert.deepEqual(product.apps(), before);
      const { warnings } = await product.status();
      assert.deepEqual(
        warnings,
        [`user ${OTHER.uid} can change what runs from ${tree}, until another version runs`],
        'advice that would not help, or harm, is none',
      );
      product.github.misbehave = {};
      await product.killUpdater();
      assert.deepEqual(product.apps(), before);
      await prober.answers('1.0.0');
      product.start();
      await product.fact('versionBecameHealthy', ({ version }) => version === '1.1.0');
      assert.equal(await answer(product), '1.1.0');
      await product.fact('oldVersionsRemoved', ({ names }) => names.includes(path.basename(tree)));
      assert.ok(!existsSync(tree), 'the link goes when nothing runs by it');
    });

  it('named state or inbox is moved aside, and the updater goes on', async () => {
    await using product = await Product.create();
    for (const name of ['state', 'inbox'])
      mkdirSync(path.join(product.dir, name), { recursive: true });
    for (const name of ['state', 'inbox']) give(path.join(product.dir, name));
    product.start();
    for (const name of ['state', 'inbox'])
      await product.logged(new RegExp(`${name} belongs to user 65534.*\\[NOT_OURS\\]`));
    await product.fact('versionBecameHealthy');
    for (const name of ['state', 'inbox'])
      assert.equal(statSync(path.join(product.dir, name)).uid, 0);
    assert.equal((await product.command(['pause'])).exitCode, 0);
  });
});

describe('a whole UPDATE_DIR of an earlier user', { skip: needsRoot }, () => {
  for (const [how, change] of [
    ['that is his still', (directory: string) => give(directory)],
    [
      'that a group may write (fsGroup)',
      (directory: string) => {
        give(directory);
        chownSync(directory, 0, 1234);
        chmodSync(directory, 0o2775);
      },
    ],
  ] as const)
    it(`${how}, goes on being used, which is warned of`, async () => {
      await using product = await Product.create({ baked: null });
      const tree = await installed(product);
      await ended(product);
      change(product.dir);
      const before = product.github.requests.length;
      product.log.length = 0;
      product.start();
      await product.logged(/version 1\.0\.0 is started/);
      await using prober = new Prober(product.port).start();
      await prober.answers('1.0.0');
      assert.equal(downloads(product, before), 0);
      assert.ok(existsSync(tree));
      assert.deepEqual(
        readdirSync(product.dir).filter((name) => name.includes('.odd-')),
        [],
      );
      assert.ok((await product.status()).warnings.length > 0);
    });
});
