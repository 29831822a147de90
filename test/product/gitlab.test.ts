/** What is a GitLab's alone: groups, tokens and links; the rest is in forges.test.ts. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { FakeGitLab } from '../support/forges/gitlab.ts';
import { assertUpdated, filesOf } from '../support/forges/releases.ts';
import { Product, TOKEN } from '../support/product.ts';

let gitlab: FakeGitLab;
let product: Product;
let open: AsyncDisposableStack;

beforeEach(async () => {
  open = new AsyncDisposableStack();
  product = open.use(await Product.create());
});
afterEach(() => open.disposeAsync());

async function follow(project = 'acme/app'): Promise<void> {
  gitlab = open.use(await new FakeGitLab({ token: TOKEN, project }).listen());
  Object.assign(product.env, {
    UPDATE_SOURCE: 'gitlab',
    UPDATE_SOURCE_URL: gitlab.url,
    GH_USER: project.replace(/\/[^/]+$/, ''),
  });
}

const publish = async (version: string) =>
  gitlab.publish(`v${version}`, await filesOf(product, version));

describe('a GitLab', () => {
  it('is followed in a subgroup', async () => {
    await follow('acme/tools/app');
    await publish('0.0.2');
    await assertUpdated(product, '0.0.2');
    assert.equal((await product.status()).repository, 'acme/tools/app');
  });

  it('gets the token, and the host where it keeps its packages does not', async () => {
    await follow();
    await publish('0.0.2');
    await assertUpdated(product, '0.0.2');
    const { host } = new URL(gitlab.url);
    for (const { path, authorization, ...request } of gitlab.requests)
      assert.equal(authorization, request.host === host ? `Bearer ${TOKEN}` : undefined, path);
    assert.ok(gitlab.requests.some((request) => request.host !== host));
  });

  it('is not downloaded from a host that nobody allowed', async () => {
    await follow();
    delete product.env['UPDATE_ASSET_HOSTS'];
    await publish('0.0.2');
    const { exitCode, stderr } = await product.command(['update']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /UPDATE_ASSET_HOSTS.*\[REDIRECT_REFUSED\]/);
  });

  it('takes over from a Forgejo: other numbers for the same files are no other files', async () => {
    await using forgejo = await new FakeForgejo({ token: TOKEN }).listen();
    const files = await filesOf(product, '0.0.2');
    forgejo.publish('v0.0.2', files);
    Object.assign(product.env, { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: forgejo.url });
    await assertUpdated(product, '0.0.2');
    await follow();
    gitlab.publish('v0.0.2', files);
    await assertUpdated(product, '0.0.2');
    assert.equal((await product.status()).lastError, null);
    const { stdout } = await product.command(['check']);
    assert.match(stdout, /^up to date: 0\.0\.2, latest 0\.0\.2; asked /);
    await publish('0.0.3');
    await assertUpdated(product, '0.0.3');
    // Of one source they are.
    gitlab.releases.length = 0;
    await publish('0.0.3');
    assert.match((await product.command(['update'])).stderr, /\[ASSET_REPLACED\]/);
  });
});
