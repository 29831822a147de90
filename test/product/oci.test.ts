/** The real program follows a real registry, and moves there from GitHub by configuration. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product, TOKEN } from '../support/product.ts';
import { ByName } from '../support/registry/by-name.ts';
import { CREDENTIAL, NAME, TestRegistry } from '../support/registry/registry.ts';
import { IDENTITY, Sigstore } from '../support/sigstore.ts';

const FILE = 'app_linux_amd64.tar.gz';
let registry: TestRegistry;
let product: Product;

beforeEach(async () => {
  registry = await TestRegistry.start({ authorization: 'token', redirectsTo: 'localhost' });
  product = await Product.create();
});
afterEach(async () => {
  await product[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const follow = () =>
  Object.assign(product.env, {
    UPDATE_SOURCE: 'oci',
    UPDATE_SOURCE_URL: registry.url,
    UPDATE_GH_TOKEN: CREDENTIAL,
  });

function followAttested(sigstore: Sigstore, identity: string): void {
  const root = path.join(product.root, 'root.json');
  writeFileSync(root, JSON.stringify(sigstore.trustedRoot));
  Object.assign(follow(), {
    UPDATE_VERIFY: 'digest,attestation',
    UPDATE_ATTESTATION_IDENTITY: identity,
    UPDATE_ATTESTATION_ROOT: root,
  });
}

async function filesOf(version: string): Promise<Record<string, Buffer>> {
  return { [FILE]: await appArchive({ version, port: product.port }) };
}

const updated = async (to: string) => {
  const { exitCode, stderr } = await product.command(['update']);
  assert.equal(exitCode, 0, stderr);
  assert.equal((await product.status()).version, to);
};
const refused = async (code: string) => {
  const { exitCode, stderr } = await product.command(['update']);
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, new RegExp(`\\[${code}\\]`));
  return stderr;
};

/** Everything that the updater wrote. */
function written(directory: string): string {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(directory, name))
    .filter((file) => statSync(file).isFile())
    .map((file) => readFileSync(file, 'latin1'))
    .join('');
}

describe('a registry', () => {
  it('is followed by its digests, and a container image is refused', async () => {
    follow();
    await registry.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    await registry.push('v0.0.3', { layers: [{ bytes: Buffer.from('layer') }] });
    assert.match(await refused('IMAGE_NOT_FILES'), /v0\.0\.3 is a container image.*oras push/);
    assert.equal((await product.status()).version, '0.0.2');
    assert.deepEqual(product.github.requests, []);
  });

  it('and its storage get no secret that is not theirs, and nothing is written of any', async () => {
    follow();
    await registry.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    const { front } = registry;
    const { host } = new URL(front.url);
    for (const { path: asked, host: there, authorization = '' } of front.requests) {
      const basic = authorization.startsWith('Basic ');
      assert.equal(basic, asked.startsWith('/token'), asked);
      if (there !== host) assert.equal(authorization, '', asked);
    }
    assert.ok(front.requests.some((request) => request.host !== host));
    const text = written(product.root);
    assert.ok(text.length > 10_000);
    for (const secret of [TOKEN, ...(front.realm?.tokens ?? [])])
      assert.ok(!text.includes(secret), secret.slice(0, 10));
  });

  it('that names a realm elsewhere gets no token there, and its followers run on', async () => {
    follow();
    await registry.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    const { front } = registry;
    const realm = front.url.replace('127.0.0.1', '127.0.0.2');
    front.requests.length = 0;
    front.wrong = () => ({
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="${realm}/token",service="x"` },
    });
    assert.match(await refused('REALM_REFUSED'), /127\.0\.0\.2.*UPDATE_ASSET_HOSTS/);
    assert.deepEqual(
      front.requests.filter(({ authorization }) => authorization !== undefined),
      [],
    );
    assert.equal((await product.status()).version, '0.0.2');
  });

  it('holds bundles that were attached to a release, and one without any is refused', async () => {
    await using sigstore = await Sigstore.start();
    followAttested(sigstore, IDENTITY.replace('v2.0.0', '*'));
    const files = await filesOf('2.0.0');
    const sha256 = createHash('sha256')
      .update(files[FILE] ?? '')
      .digest('hex');
    const digest = await registry.publish('v2.0.0', files);
    await refused('ATTESTATION_MISSING');
    await registry.attach(digest, await sigstore.attest('0'.repeat(64), { name: FILE }));
    await refused('ATTESTATION_INVALID');
    await registry.attach(digest, await sigstore.attest(sha256, { name: FILE }));
    await updated('2.0.0');
    const { exitCode, stdout } = await product.command(['verify', 'v2.0.0']);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /holds {2}attestation/);
  });

  it('holds what is attested about the manifest, as GitHub pushes it there, for its own files', async () => {
    await using sigstore = await Sigstore.start();
    // Of any release: the manifest alone tells them apart.
    followAttested(sigstore, IDENTITY);
    const { [FILE]: bytes = Buffer.alloc(0) } = await filesOf('2.0.0');
    const attested = async (digest: string, name: string) =>
      registry.attach(digest, await sigstore.attest(digest.slice('sha256:'.length), { name }));
    // Mix-and-match: the same bytes in an attested manifest, under another name.
    await attested(await registry.publish('v1.0.0', { [`old-${FILE}`]: bytes }), `ghcr.io/${NAME}`);
    await updated('1.0.0');
    const digest = await registry.publish('v2.0.0', { [FILE]: bytes });
    await refused('ATTESTATION_INVALID');
    await attested(digest, 'ghcr.io/mallory/app');
    await refused('ATTESTATION_INVALID');
    await attested(digest, `ghcr.io/${NAME}`);
    await updated('2.0.0');
    const { exitCode, stdout } = await product.command(['verify', 'v2.0.0']);
    assert.equal(exitCode, 0, stdout);
    assert.match(
      stdout,
      /holds {2}attestation.*listed in the manifest of acme\/app, which was built/,
    );
  });

  it('takes over from GitHub: journal kept, nothing fetched again, no downgrade', async () => {
    const files = await filesOf('0.0.2');
    product.github.publish('v0.0.2', files);
    await updated('0.0.2');
    const before = await product.events();
    follow();
    await registry.publish('v0.0.1', await filesOf('0.0.1'));
    const older = await product.command(['update']);
    assert.equal(older.exitCode, 0, older.stderr);
    await registry.publish('v0.0.2', files);
    await updated('0.0.2');
    assert.ok(!registry.front.asked.some((asked) => asked.includes('GET /v2/acme/app/blobs/')));
    const after = await product.events();
    assert.deepEqual(after.slice(0, before.length), before);
    assert.ok(!after.slice(before.length).some(({ type }) => type === 'switched'));
    await registry.publish('v0.0.3', await filesOf('0.0.3'));
    await updated('0.0.3');
    const asked = product.github.requests.length;
    registry.front.requests.length = 0;
    await product.command(['check']);
    assert.equal(product.github.requests.length, asked);
    assert.deepEqual(registry.front.asked.slice(-2), [
      `GET /v2/${NAME}/tags/list?n=1000`,
      `HEAD /v2/${NAME}/manifests/v0.0.3`,
    ]);
  });
});

describe('Docker Hub', () => {
  const HUB = 'registry-1.docker.io';
  const REALM = 'auth.docker.io';
  const STORAGE = 'production.cloudflare.docker.com';

  it('is followed by the name that people write, and its hosts are known', async () => {
    await using hub = await TestRegistry.start({
      authorization: 'token',
      realmAt: `https://${REALM}`,
      redirectsTo: `https://${STORAGE}`,
    });
    await using names = await ByName.start([HUB, REALM, STORAGE], (request, response) =>
      hub.front.answer(request, response),
    );
    delete product.env['UPDATE_ASSET_HOSTS'];
    Object.assign(product.env, {
      UPDATE_SOURCE: 'oci',
      UPDATE_SOURCE_URL: `https://docker.io/${NAME}`,
      UPDATE_GH_TOKEN: CREDENTIAL,
      HTTPS_PROXY: names.proxy,
      NODE_EXTRA_CA_CERTS: names.certificate,
    });
    await hub.publish('v0.0.2', await filesOf('0.0.2'));
    await updated('0.0.2');
    assert.deepEqual(new Set(names.asked), new Set([HUB, REALM, STORAGE].map((it) => `${it}:443`)));
    const kinds = hub.front.requests.map(({ host, authorization = 'none' }) => {
      return `${host} ${authorization.split(' ')[0]}`;
    });
    assert.deepEqual(
      new Set(kinds),
      new Set([`${HUB} none`, `${REALM} Basic`, `${HUB} Bearer`, `${STORAGE} none`]),
    );
  });
});
