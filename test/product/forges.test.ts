/** The real program follows a Forgejo and a GitLab, and moves there from GitHub by configuration. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { FakeGitLab } from '../support/forges/gitlab.ts';
import { assertUpdated, filesOf } from '../support/forges/releases.ts';
import { Product, TOKEN } from '../support/product.ts';

const FORGES = {
  forgejo: () => new FakeForgejo({ token: TOKEN }).listen(),
  gitlab: () => new FakeGitLab({ token: TOKEN }).listen(),
};

describe('a forge', () => {
  for (const [name, serve] of Object.entries(FORGES)) {
    const follow = (product: Product, url: string) =>
      Object.assign(product.env, { UPDATE_SOURCE: name, UPDATE_SOURCE_URL: url });

    it(`${name}: is followed; a release without sums is refused, since it tells no digests`, async () => {
      await using forge = await serve();
      await using product = await Product.create();
      follow(product, forge.url);
      forge.publish('v0.0.2', await filesOf(product, '0.0.2'));
      await assertUpdated(product, '0.0.2');
      forge.publish('v0.0.3', await filesOf(product, '0.0.3', { sums: false }));
      const { exitCode, stderr } = await product.command(['update']);
      assert.equal(exitCode, 1);
      assert.match(stderr, /no digest .* and no checksums file.*\[DIGEST_MISSING\]/);
      assert.equal((await product.status()).version, '0.0.2');
      assert.deepEqual(product.github.requests, []);
    });

    it(`${name}: takes over from GitHub: journal kept, nothing fetched again, no downgrade`, async () => {
      await using forge = await serve();
      await using product = await Product.create();
      product.github.publish('v0.0.2', await filesOf(product, '0.0.2'));
      await assertUpdated(product, '0.0.2');
      const before = await product.events();
      follow(product, forge.url);
      forge.publish('v0.0.1', await filesOf(product, '0.0.1'));
      const older = await product.command(['update']);
      assert.equal(older.exitCode, 0, older.stderr);
      const place = `${new URL(forge.url).host} (${name})`;
      assert.ok(
        older.stderr.includes(`the configuration changed: following acme/app from ${place}, `),
        older.stderr,
      );
      forge.publish('v0.0.2', await filesOf(product, '0.0.2'));
      await assertUpdated(product, '0.0.2');
      assertNothingFetched(forge);
      const after = await product.events();
      assert.deepEqual(after.slice(0, before.length), before);
      assert.ok(!after.slice(before.length).some(({ type }) => type === 'switched'));
      forge.publish('v0.0.3', await filesOf(product, '0.0.3'));
      await assertUpdated(product, '0.0.3');
      const asked = product.github.requests.length;
      await product.command(['check']);
      assert.equal(product.github.requests.length, asked);
    });
  }
});

/** A GitLab is asked for one byte of the file that would be taken: its links tell no sizes. */
function assertNothingFetched(forge: FakeForgejo | FakeGitLab): void {
  if (forge instanceof FakeForgejo) {
    assert.ok(forge.requests.every(({ path }) => path.startsWith('/api/')));
    return;
  }
  const packages = forge.requests.filter(({ path }) => path.includes('/packages/'));
  assert.ok(packages.length > 0);
  assert.ok(packages.every(({ range }) => range === 'bytes=0-0'));
}
