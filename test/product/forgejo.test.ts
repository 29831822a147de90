/** The real program follows a Forgejo, and moves there from GitHub by configuration. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { Product, TOKEN } from '../support/product.ts';

const NAME = 'app_linux_amd64.tar.gz';
let forgejo: FakeForgejo;
let product: Product;

beforeEach(async () => {
  forgejo = await new FakeForgejo({ token: TOKEN }).listen();
  product = await Product.create();
});
afterEach(async () => {
  await product[Symbol.asyncDispose]();
  await forgejo[Symbol.asyncDispose]();
});

const follow = () =>
  Object.assign(product.env, { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: forgejo.url });

async function filesOf(version: string, sums = true): Promise<Record<string, Buffer>> {
  const archive = await appArchive({ version, port: product.port });
  const sum = createHash('sha256').update(archive).digest('hex');
  return {
    [NAME]: archive,
    ...(sums ? { 'checksums.txt': Buffer.from(`${sum}  ${NAME}\n`) } : {}),
  };
}

const updated = async (to: string) => {
  const { exitCode, stderr } = await product.command(['update']);
  assert.equal(exitCode, 0, stderr);
  assert.equal((await product.status()).version, to);
};

describe('a Forgejo', () => {
  it('is followed; a release without sums is refused, since it tells no digests', async () => {
    follow();
    forgejo.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    forgejo.publish('v0.0.3', await filesOf('0.0.3', false));
    const { exitCode, stderr } = await product.command(['update']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /no digest .* and no checksums file.*\[DIGEST_MISSING\]/);
    assert.equal((await product.status()).version, '0.0.2');
    assert.deepEqual(product.github.requests, []);
  });

  it('takes over from GitHub: journal kept, nothing fetched again, no downgrade', async () => {
    product.github.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    const before = await product.events();
    follow();
    forgejo.publish('v0.0.1', await filesOf('0.0.1'));
    const older = await product.command(['update']);
    assert.equal(older.exitCode, 0, older.stderr);
    const place = `${new URL(forgejo.url).host} (forgejo)`;
    assert.ok(
      older.stderr.includes(`the configuration changed: following acme/app from ${place}, `),
      older.stderr,
    );
    forgejo.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    assert.ok(forgejo.requests.every(({ path }) => path.startsWith('/api/')));
    const after = await product.events();
    assert.deepEqual(after.slice(0, before.length), before);
    assert.ok(!after.slice(before.length).some(({ type }) => type === 'switched'));
    forgejo.publish('v0.0.3', await filesOf('0.0.3'));
    await updated('0.0.3');
    const asked = product.github.requests.length;
    await product.command(['check']);
    assert.equal(product.github.requests.length, asked);
  });
});
