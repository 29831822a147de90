/**
 * The product follows a directory: by http, by https and on a disk; with updates, a download that
 * was cut, a hostile index, a signed one, and without any network.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { appArchive } from '../support/app.ts';
import { FakeDirectory } from '../support/directory/server.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { Product } from '../support/product.ts';

const NAME = 'app.tar.gz';

/** A product that asks the directory and nothing else: GitHub's stand-in must hear nothing. */
async function following(url: string, env: Record<string, string> = {}): Promise<Product> {
  return Product.create({
    env: {
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: url,
      UPDATE_ASSET_HOSTS: '',
      UPDATE_STRATEGY: 'download-then-kill',
      SLEEP: '3600',
      ...env,
    },
  });
}

const archiveOf = (product: Product, version: string, padBytes = 0) =>
  appArchive({ version, port: product.port, padBytes });

async function updated(product: Product) {
  const { exitCode, stderr } = await product.command(['update']);
  const { version, lastError } = await product.status();
  return { exitCode, stderr, version, code: lastError?.code ?? null };
}

async function selfSigned(): Promise<{ key: string; cert: string; file: string; root: string }> {
  const root = mkdtempSync(path.join(os.tmpdir(), 'certificate-'));
  const at = (name: string) => path.join(root, name);
  const subject = ['-subj', '/CN=directory', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', at('key.pem'), '-out', at('cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-days', '2'];
  await execa('openssl', ['req', '-x509', '-nodes', ...kind, ...files, ...subject]);
  const read = (name: string) => readFileSync(at(name), 'utf8');
  return { key: read('key.pem'), cert: read('cert.pem'), file: at('cert.pem'), root };
}

describe('a directory', { concurrency: 2 }, () => {
  for (const scheme of ['https', 'file'] as const)
    it(`is followed by ${scheme}:, from the first release to the next`, async () => {
      const tls = scheme === 'https' ? await selfSigned() : null;
      await using directory = await new FakeDirectory(tls).listen();
      await using product = await following(
        scheme === 'file' ? directory.fileUrl : directory.url,
        tls === null ? {} : { NODE_EXTRA_CA_CERTS: tls.file },
      );
      await directory.publish('v1.0.0', { [NAME]: await archiveOf(product, '1.0.0') });
      product.start();
      await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
      await directory.publish('v1.1.0', { [NAME]: await archiveOf(product, '1.1.0') });
      await directory.publish('v2.0.0-rc.1', { [NAME]: await archiveOf(product, '2.0.0-rc.1') });
      const { stderr, ...seen } = await updated(product);
      assert.deepEqual(seen, { exitCode: 0, version: '1.1.0', code: null }, stderr);
      assert.deepEqual(product.github.requests, [], 'GitHub is not asked');
      const verified = await product.command(['verify', 'v1.1.0']);
      assert.equal(verified.exitCode, 0, verified.stdout);
      if (tls !== null) rmSync(tls.root, { recursive: true });
    });

  it('whose index did not change costs a conditional request, and no body', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await following(directory.url);
    await directory.publish('v1.0.0', { [NAME]: await archiveOf(product, '1.0.0') });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
    directory.requests.length = 0;
    await product.command(['update']);
    assert.equal(directory.requests.length, 1, 'one for all that a check asks');
    for (const { headers, path: asked } of directory.requests) {
      assert.equal(asked, '/releases.json');
      assert.match(String(headers['if-none-match']), /^"/);
    }
  });

  it('keeps the app running while it is away, and goes on when it is back', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await following(directory.fileUrl);
    await directory.publish('v1.0.0', { [NAME]: await archiveOf(product, '1.0.0') });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
    const index = directory.index;
    rmSync(directory.root, { recursive: true });
    const { version, code } = await updated(product);
    assert.deepEqual([version, code], ['1.0.0', 'FILE_MISSING']);
    mkdirSync(directory.root);
    assert.equal((await updated(product)).code, 'NOT_FOUND');
    directory.write('releases.json', index);
    await directory.publish('v1.1.0', { [NAME]: await archiveOf(product, '1.1.0') });
    assert.equal((await updated(product)).version, '1.1.0');
  });
});

describe('an app that moves from GitHub to a directory', () => {
  it('keeps its journal, fetches nothing again, and is never taken back', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', SLEEP: '3600' },
    });
    const [older, same, newer] = [
      await archiveOf(product, '0.9.0'),
      await archiveOf(product, '1.0.0'),
      await archiveOf(product, '1.1.0'),
    ];
    product.github.publish('v1.0.0', { [NAME]: same });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
    const before = (await product.events()).length;
    await product.killUpdater();
    Object.assign(product.env, {
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: directory.url,
      UPDATE_ASSET_HOSTS: '',
    });
    product.github.requests.length = 0;
    product.start();
    for (const [tag, content] of [
      ['v0.9.0', older],
      ['v1.0.0', same],
    ] as const) {
      await directory.publish(tag, { [NAME]: content });
      assert.equal((await updated(product)).version, '1.0.0', tag);
    }
    assert.deepEqual(
      directory.requests.filter(({ path: asked }) => asked !== '/releases.json'),
      [],
    );
    await directory.publish('v1.1.0', { [NAME]: newer });
    assert.equal((await updated(product)).version, '1.1.0');
    assert.ok((await product.events()).length > before);
    assert.deepEqual(product.github.requests, []);
  });
});

describe('an index that is hostile', { concurrency: 2 }, () => {
  it('is refused with a code, the app untouched, nothing asked elsewhere', async () => {
    await using directory = await new FakeDirectory().listen();
    await using elsewhere = await new FakeDirectory().listen();
    await using product = await following(directory.url);
    const content = await archiveOf(product, '1.0.0');
    await directory.publish('v1.0.0', { [NAME]: content });
    const good = JSON.parse(directory.index.toString()) as {
      releases: { tag: string; assets: object[] }[];
    };
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
    await directory.publish('v2.0.0', { [NAME]: content }, { index: false });
    const [asset] = good.releases[0]?.assets ?? [];
    const withAsset = (changes: object) => ({
      releases: [{ tag: 'v2.0.0', assets: [{ ...asset, ...changes }] }],
    });
    const others = elsewhere.url.replace('127.0.0.1', 'localhost');
    const cases: [title: string, index: unknown, code: string][] = [
      ['no JSON', '<html>', 'ANSWER_MALFORMED'],
      ['no list', '{}', 'ANSWER_MALFORMED'],
      ['a path out of it', withAsset({ url: '../v1.0.0/app.tar.gz' }), 'ANSWER_MALFORMED'],
      ['an encoded one', withAsset({ url: 'x/%2e%2e/%2e%2e/app.tar.gz' }), 'ANSWER_MALFORMED'],
      ['an encoded slash', withAsset({ url: '..%2fapp.tar.gz' }), 'ANSWER_MALFORMED'],
      ['a host without a scheme', withAsset({ url: `//${others}` }), 'ANSWER_MALFORMED'],
      ['a file of ours', withAsset({ url: 'file:///etc/passwd' }), 'ANSWER_MALFORMED'],
      ['another host', withAsset({ url: `${others}app.tar.gz` }), 'REDIRECT_REFUSED'],
      ['a name that is a path', withAsset({ name: '../../app.tar.gz' }), 'ANSWER_MALFORMED'],
      ['a negative size', withAsset({ sizeBytes: -1 }), 'ANSWER_MALFORMED'],
      ['half a sum', withAsset({ sha256: 'abc' }), 'ANSWER_MALFORMED'],
      ['bytes without end', ' '.repeat(4 * 1024 * 1024), 'ANSWER_TOO_LARGE'],
    ];
    for (const [title, index, code] of cases) {
      directory.writeIndex(index);
      const seen = await updated(product);
      assert.deepEqual([seen.version, seen.code], ['1.0.0', code], `${title}: ${seen.stderr}`);
    }
    assert.deepEqual(elsewhere.requests, []);
  });

  it('on a disk leads nowhere out of its directory, and to no FIFO', async () => {
    await using directory = new FakeDirectory();
    await using product = await following(directory.fileUrl);
    const content = await archiveOf(product, '1.0.0');
    await directory.publish('v1.0.0', { [NAME]: content });
    product.start();
    await product.fact('versionBecameHealthy');
    const file = path.join(directory.root, 'v1.0.0', NAME);
    const outside = path.join(product.root, NAME);
    writeFileSync(outside, await archiveOf(product, '2.0.0'));
    const index = directory.index.toString().replaceAll('1.0.0', '2.0.0');
    mkdirSync(path.join(directory.root, 'v2.0.0'));
    const target = file.replace('v1.0.0', 'v2.0.0');
    for (const place of [() => symlinkSync(outside, target), () => execa('mkfifo', [target])]) {
      directory.writeIndex(index);
      rmSync(target, { force: true });
      await place();
      const { version, code } = await updated(product);
      assert.deepEqual([version, code], ['1.0.0', 'FILE_MISSING']);
    }
  });
});

describe('a signed index', { concurrency: 2 }, () => {
  const signer = new FakeMinisign();
  const env = { UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: signer.publicKey };
  const sign = (directory: FakeDirectory, by = signer, comment = 'file:releases.json') =>
    directory.write('releases.json.minisig', by.sign(directory.index, comment));

  it('vouches for the bytes of its assets by their sums; without it, or wrongly signed, nothing is followed', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await following(directory.url, env);
    product.start();
    await product.fact('versionBecameHealthy');
    await directory.publish('v1.0.0', { [NAME]: await archiveOf(product, '1.0.0') });
    assert.equal((await updated(product)).code, 'SIGNATURE_MISSING');
    sign(directory, new FakeMinisign());
    assert.equal((await updated(product)).code, 'SIGNATURE_INVALID');
    sign(directory, signer, 'file:checksums.txt');
    assert.equal((await updated(product)).code, 'SIGNATURE_INVALID');
    sign(directory);
    directory.write('releases.json', directory.index.toString().replace('v1.0.0', 'v9.0.0'));
    assert.deepEqual((({ version, code }) => [version, code])(await updated(product)), [
      '0.0.1',
      'SIGNATURE_INVALID',
    ]);
    directory.write('releases.json', directory.index.toString().replace('v9.0.0', 'v1.0.0'));
    assert.equal((await updated(product)).version, '1.0.0');
    const explained = await product.command(['verify', 'v1.0.0']);
    assert.match(explained.stdout, /holds {2}minisign .*releases\.json, which is signed with key/);
  });

  it('does not vouch for other bytes than its sums name', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await following(directory.url, env);
    product.start();
    await product.fact('versionBecameHealthy');
    const content = await archiveOf(product, '1.0.0');
    await directory.publish('v1.0.0', { [NAME]: content });
    sign(directory);
    const wrong = Buffer.from(content);
    wrong[100] = (wrong[100] ?? 0) ^ 1;
    await directory.publish('v1.0.0', { [NAME]: wrong }, { index: false });
    const { version, code } = await updated(product);
    assert.deepEqual([version, code], ['0.0.1', 'DIGEST_MISMATCH']);
  });

  it('that is older, replayed, takes nothing back', async () => {
    await using directory = await new FakeDirectory().listen();
    await using product = await following(directory.url, env);
    await directory.publish('v1.0.0', { [NAME]: await archiveOf(product, '1.0.0') });
    sign(directory);
    const old = ['releases.json', 'releases.json.minisig'].map(
      (name) => [name, readFileSync(path.join(directory.root, name))] as const,
    );
    await directory.publish('v1.1.0', { [NAME]: await archiveOf(product, '1.1.0') });
    sign(directory);
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.1.0');
    for (const [name, content] of old) directory.write(name, content);
    const { version, code } = await updated(product);
    assert.deepEqual([version, code], ['1.1.0', null]);
    const installed = (await product.events()).filter(({ type }) => type === 'installed');
    assert.equal(installed.length, 1);
  });
});
