/** The real program follows a GitLab, and moves there from GitHub by configuration. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { FakeGitLab } from '../support/forges/gitlab.ts';
import { Product, TOKEN } from '../support/product.ts';

const NAME = 'app_linux_amd64.tar.gz';
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

describe('a GitLab', () => {
  it('is followed in a subgroup; a release without sums is refused, since it tells no digests', async () => {
    await follow('acme/tools/app');
    gitlab.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    assert.equal((await product.status()).repository, 'acme/tools/app');
    gitlab.publish('v0.0.3', await filesOf('0.0.3', false));
    const { exitCode, stderr } = await product.command(['update']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /no digest .* and no checksums file.*\[DIGEST_MISSING\]/);
    assert.equal((await product.status()).version, '0.0.2');
    assert.deepEqual(product.github.requests, []);
  });

  it('gets the token, and the host where it keeps its packages does not', async () => {
    await follow();
    gitlab.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    const { host } = new URL(gitlab.url);
    for (const { path, authorization, ...request } of gitlab.requests)
      assert.equal(authorization, request.host === host ? `Bearer ${TOKEN}` : undefined, path);
    assert.ok(gitlab.requests.some((request) => request.host !== host));
  });

  it('is not downloaded from a host that nobody allowed', async () => {
    await follow();
    delete product.env['UPDATE_ASSET_HOSTS'];
    gitlab.publish('v0.0.2', await filesOf('0.0.2'));
    const { exitCode, stderr } = await product.command(['update']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /UPDATE_ASSET_HOSTS.*\[REDIRECT_REFUSED\]/);
  });

  it('takes over from GitHub: journal kept, nothing fetched again, no downgrade', async () => {
    product.github.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    const before = await product.events();
    await follow();
    gitlab.publish('v0.0.1', await filesOf('0.0.1'));
    const older = await product.command(['update']);
    assert.equal(older.exitCode, 0, older.stderr);
    gitlab.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    // Of the file that would be taken one byte is asked for: links tell no sizes.
    const packages = gitlab.requests.filter(({ path }) => path.includes('/packages/'));
    assert.ok(packages.length > 0);
    assert.ok(packages.every(({ range }) => range === 'bytes=0-0'));
    const after = await product.events();
    assert.deepEqual(after.slice(0, before.length), before);
    assert.ok(!after.slice(before.length).some(({ type }) => type === 'switched'));
    gitlab.publish('v0.0.3', await filesOf('0.0.3'));
    await updated('0.0.3');
    const asked = product.github.requests.length;
    await product.command(['check']);
    assert.equal(product.github.requests.length, asked);
  });

  it('takes over from a Forgejo: other numbers for the same files are no other files', async () => {
    await using forgejo = await new FakeForgejo({ token: TOKEN }).listen();
    const files = await filesOf('0.0.2');
    forgejo.publish('v0.0.2', files);
    Object.assign(product.env, { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: forgejo.url });
    await updated('0.0.2');
    await follow();
    gitlab.publish('v0.0.2', files);
    await updated('0.0.2');
    assert.equal((await product.status()).lastError, null);
    const { stdout } = await product.command(['check']);
    assert.match(stdout, /^up to date: 0\.0\.2, latest 0\.0\.2; asked /);
    gitlab.publish('v0.0.3', await filesOf('0.0.3'));
    await updated('0.0.3');
    // Of one source they are.
    gitlab.releases.length = 0;
    gitlab.publish('v0.0.3', await filesOf('0.0.3'));
    assert.match((await product.command(['update'])).stderr, /\[ASSET_REPLACED\]/);
  });
});
