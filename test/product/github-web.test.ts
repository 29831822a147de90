/** The real program follows GitHub's web pages: for want of quota, of the API, or by its setting. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { Product, type ProductOptions } from '../support/product.ts';

const NAME = 'app_linux_amd64.tar.gz';
const CONTAINERS = 10;
let github: FakeGitHub;
let products: Product[];

beforeEach(async () => {
  github = await new FakeGitHub().listen();
  products = [];
});
afterEach(async () => {
  for (const product of products) await product[Symbol.asyncDispose]();
  await github.close();
});

async function follower(env: ProductOptions['env'] = {}): Promise<Product> {
  const common = { UPDATE_GH_API_URL: github.url, UPDATE_GH_TOKEN: '', SLEEP: '300' };
  const product = await Product.create({ env: { ...common, ...env } });
  products.push(product);
  return product;
}

async function publish({ port }: Product, version: string, sums: 'right' | 'wrong' | 'none') {
  const archive = await appArchive({ version, port });
  const sum = createHash('sha256')
    .update(sums === 'wrong' ? version : archive)
    .digest('hex');
  github.publish(`v${version}`, {
    [NAME]: archive,
    ...(sums === 'none' ? {} : { 'checksums.txt': Buffer.from(`${sum}  ${NAME}\n`) }),
  });
}

const apiRequests = () => github.requests.filter(({ path }) => path.startsWith('/repos/'));
const WEB = { UPDATE_SOURCE: 'github-web' };

describe("GitHub's web pages", () => {
  it('serve updates while the API is down, under the same verification, and a first start', async () => {
    github.misbehave.api = { status: 503 };
    const product = await follower(WEB);
    await publish(product, '0.0.2', 'right');
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 0, stderr);
    assert.equal((await product.status()).version, '0.0.2');
    await publish(product, '0.0.3', 'wrong');
    const refused = await product.command(['update']);
    assert.match(refused.stderr, /DIGEST_MISMATCH/);
    assert.equal((await product.status()).version, '0.0.2');
    assert.deepEqual(apiRequests(), []);
  });

  it(`serve ${CONTAINERS} containers behind one address: nothing new, and no request to the API`, async () => {
    const all = await Promise.all(Array.from({ length: CONTAINERS }, () => follower(WEB)));
    const [first] = all;
    assert.ok(first);
    await publish(first, '0.0.1', 'none');
    for (const product of all) await product.command(['check']);
    for (const product of all) await product.command(['update']);
    github.requests.length = 0;
    for (const product of all) {
      await product.command(['update']);
      const { exitCode, stdout } = await product.command(['check']);
      assert.equal(exitCode, 0, stdout);
    }
    assert.deepEqual(apiRequests(), []);
    assert.equal(github.requests.length, 2 * CONTAINERS);
  });

  it('are followed while the API answers "limit", with one line that says so', async () => {
    // Full seconds, as the header has them.
    const resetAt = Math.ceil(Date.now() / 1000 + 1800) * 1000;
    github.rateLimit = { remaining: 0, resetAt };
    const product = await follower();
    await publish(product, '0.0.2', 'right');
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /its web pages are followed meanwhile/);
    const { version, lastError, source } = await product.status();
    assert.deepEqual([version, lastError], ['0.0.2', null]);
    assert.equal(source.name, 'github');
    assert.equal(source.webUntil, new Date(resetAt).toISOString());
    const limited = await product.command(['check']);
    assert.match(
      limited.stdout,
      /; asked GitHub's web pages, since its API answers no requests until/,
    );
    assert.equal(apiRequests().length, 1);
    // What the API says of the same release afterwards is no other one.
    github.rateLimit = null;
    const after = await product.command(['check']);
    assert.equal(after.exitCode, 0, after.stdout);
    assert.match(after.stdout, /up to date/);
  });
});
