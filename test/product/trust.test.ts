/**
 * Nothing runs that can't be trusted: a resident updater, real signatures and attestations, and
 * every way in which a release is wrong.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';
import { IDENTITY, Sigstore } from '../support/sigstore.ts';

const NAME = 'app_linux.tar.gz';
const hasMinisign = (await execa('minisign', ['-v'], { reject: false })).exitCode !== undefined;
const needsMinisign = { skip: !hasMinisign && 'needs minisign' };

/** A key pair, and what it signs. */
class Signer {
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  async key(): Promise<string> {
    await execa('minisign', ['-G', '-W', '-f', '-p', this.#file('pub'), '-s', this.#file('key')]);
    return readFileSync(this.#file('pub'), 'utf8').split('\n')[1] ?? '';
  }

  /**
   * `binding`: what its trusted comment says beside the file's name; without, it is what minisign
   * writes by itself.
   */
  async sign(
    name: string,
    content: Buffer,
    binding: string | null = 'tag:v2.0.0',
  ): Promise<Buffer> {
    const file = path.join(this.#directory, name);
    writeFileSync(file, content);
    const comment = binding === null ? [] : ['-t', `timestamp:1 file:${name} ${binding}`];
    await execa('minisign', [
      '-S',
      '-s',
      this.#file('key'),
      '-m',
      file,
      '-x',
      `${file}.minisig`,
      ...comment,
    ]);
    return readFileSync(`${file}.minisig`);
  }

  #file(ending: string): string {
    return path.join(this.#directory, `${this.#name}.${ending}`);
  }
}

async function signed(): Promise<{ product: Product; signer: Signer; content: Buffer }> {
  const product = await Product.create();
  const signer = new Signer(product.root, 'ours');
  Object.assign(product.env, {
    UPDATE_VERIFY: 'digest,minisign',
    UPDATE_MINISIGN_KEYS: await signer.key(),
    SLEEP: '3600',
    UPDATE_STRATEGY: 'download-then-kill',
  });
  return { product, signer, content: await appArchive({ version: '2.0.0', port: product.port }) };
}

const updated = async (product: Product) => {
  const { exitCode, stderr } = await product.command(['update']);
  const { version, lastError, waitingFor } = await product.status();
  return {
    exitCode,
    stderr,
    version,
    code: lastError?.code ?? null,
    waits: waitingFor?.reason ?? null,
  };
};

describe('under minisign', { concurrency: 2 }, () => {
  it('a signed asset is installed, and `verify` explains each rule', needsMinisign, async () => {
    const { product, signer, content } = await signed();
    await using _ = product;
    product.github.publish('v2.0.0', {
      [NAME]: content,
      [`${NAME}.minisig`]: await signer.sign(NAME, content),
    });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
    const verified = (await product.events()).find(({ type }) => type === 'verified');
    assert.deepEqual(verified?.type === 'verified' && verified.checks, ['digest', 'minisign']);
    const { exitCode, stdout } = await product.command(['verify', 'v2.0.0']);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /holds {2}digest .*as the source of the release says\n/);
    assert.match(stdout, /holds {2}minisign .*signed with key [0-9A-F]{16}; timestamp:/);
  });

  it(
    'an asset in a signed checksums.txt is installed, as goreleaser users sign',
    needsMinisign,
    async () => {
      const { product, signer, content } = await signed();
      await using _ = product;
      const sums = Buffer.from(`${createHash('sha256').update(content).digest('hex')}  ${NAME}\n`);
      product.github.publish('v2.0.0', {
        [NAME]: content,
        'checksums.txt': sums,
        'checksums.txt.minisig': await signer.sign('checksums.txt', sums),
      });
      product.start();
      await product.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
    },
  );

  it('a signature that is still to come is waited for', needsMinisign, async () => {
    const { product, signer, content } = await signed();
    await using _ = product;
    const published = product.github.publish('v2.0.0', { [NAME]: content });
    product.start();
    await product.fact('appStarted');
    assert.deepEqual((await updated(product)).waits, 'assets');
    product.github.attach(published, `${NAME}.minisig`, await signer.sign(NAME, content));
    assert.equal((await updated(product)).version, '2.0.0');
  });

  it(
    'a foreign key, a tampered asset and a signature of another file are refused, the app untouched, in at most two lines',
    needsMinisign,
    async () => {
      const { product, signer, content } = await signed();
      await using _ = product;
      const stranger = new Signer(product.root, 'theirs');
      await stranger.key();
      product.start();
      await product.fact('versionBecameHealthy');
      const wrong: Record<string, Buffer> = {
        'v2.0.0': await stranger.sign(NAME, content),
        'v2.0.1': await signer.sign(NAME, Buffer.concat([content, Buffer.from('x')]), 'tag:v2.0.1'),
        'v2.0.2': await signer.sign('app_windows.tar.gz', content),
      };
      for (const [tag, signature] of Object.entries(wrong)) {
        product.github.publish(tag, { [NAME]: content, [`${NAME}.minisig`]: signature });
        const { exitCode, version, code, stderr } = await updated(product);
        assert.deepEqual([exitCode, version, code], [1, '0.0.1', 'SIGNATURE_INVALID'], tag);
        const said =
          stderr
            .split('\n')
            .filter((line) => line.includes('SIGNATURE_INVALID'))
            .at(-1) ?? '';
        assert.ok(said.length < 400, said);
        const { exitCode: verified, stdout } = await product.command(['verify', tag]);
        assert.equal(verified, 1);
        assert.match(
          stdout,
          /holds {2}digest[^\n]*\nFAILS {2}minisign[^\n]*\[SIGNATURE_INVALID\]$/,
        );
      }
      assert.ok(!(await product.events()).some(({ type }) => type === 'appStopped'));
    },
  );

  it(
    'signed bytes of an older release under a new tag are refused with the remedy, or taken under UPDATE_MINISIGN_BINDING=none, which is warned of',
    needsMinisign,
    async () => {
      const { product, signer, content } = await signed();
      await using _ = product;
      // Signed once, without a version anywhere; the attacker owns the GitHub account, not the key.
      product.github.publish('v2.0.0', {
        [NAME]: content,
        [`${NAME}.minisig`]: await signer.sign(NAME, content, null),
      });
      product.start();
      await product.fact('appStarted');
      const { exitCode, version, code, stderr } = await updated(product);
      assert.deepEqual([exitCode, version, code], [1, '0.0.1', 'VERSION_UNBOUND'], stderr);
      assert.match(
        stderr,
        /Sign with -t 'file:app_linux\.tar\.gz tag:v2\.0\.0', or set UPDATE_MINISIGN_BINDING=none/,
      );
      assert.deepEqual((await product.status()).warnings, []);
      await product.killUpdater();
      product.env['UPDATE_MINISIGN_BINDING'] = 'none';
      product.start();
      assert.equal((await updated(product)).version, '2.0.0');
      assert.match((await product.status()).warnings.join(), /UPDATE_MINISIGN_BINDING=none/);
      assert.match(
        (await product.command(['status'])).stdout,
        /\nwarning +UPDATE_MINISIGN_BINDING=none/,
      );
      assert.match(
        product.log.join('\n'),
        /UPDATE_MINISIGN_BINDING=none: signed bytes of any version/,
      );
    },
  );

  it('a file is explained with what lies beside it', needsMinisign, async () => {
    const { product, signer, content } = await signed();
    await using _ = product;
    const file = path.join(product.root, 'app_2.0.0_linux.tar.gz');
    await signer.sign('app_2.0.0_linux.tar.gz', content, null);
    assert.match((await product.command(['verify', file])).stdout, /FAILS {2}digest required/);
    writeFileSync(
      path.join(product.root, 'checksums.txt'),
      `${createHash('sha256').update(content).digest('hex')}  app_2.0.0_linux.tar.gz\n`,
    );
    const { exitCode, stdout } = await product.command(['verify', file]);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /as checksums\.txt says\n(.*\n)*holds {2}minisign/);
  });
});

describe('under attestation', { concurrency: 2 }, () => {
  let sigstore: Sigstore;
  before(async () => {
    sigstore = await Sigstore.start();
  });
  after(() => sigstore[Symbol.asyncDispose]());

  async function attested(): Promise<{ product: Product; content: Buffer; sha256: string }> {
    const product = await Product.create();
    const root = path.join(product.root, 'trusted_root.json');
    writeFileSync(root, JSON.stringify(sigstore.trustedRoot));
    Object.assign(product.env, {
      UPDATE_VERIFY: 'attestation',
      UPDATE_ATTESTATION_IDENTITY: IDENTITY.replace('v2.0.0', '*'),
      UPDATE_ATTESTATION_ROOT: root,
      SLEEP: '3600',
    });
    const content = await appArchive({ version: '2.0.0', port: product.port });
    return { product, content, sha256: createHash('sha256').update(content).digest('hex') };
  }

  it("an asset with an attestation in GitHub's API is installed", async () => {
    const { product, content, sha256 } = await attested();
    await using _ = product;
    product.github.publish('v2.0.0', { [NAME]: content });
    product.github.attestations.set(sha256, [await sigstore.attest(sha256, { name: NAME })]);
    product.start();
    const verified = await product.fact('verified');
    assert.deepEqual(verified.checks, ['digest', 'attestation']);
    await product.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
  });

  it('an asset with a bundle beside it, and one whose checksums are attested, are installed', async () => {
    for (const over of ['asset', 'sums'] as const) {
      const { product, content, sha256 } = await attested();
      await using _ = product;
      const sums = Buffer.from(`${sha256}  ${NAME}\n`);
      const bundle =
        over === 'asset'
          ? await sigstore.attest(sha256, { name: NAME })
          : await sigstore.attest(createHash('sha256').update(sums).digest('hex'), {
              name: 'checksums.txt',
            });
      const name = over === 'asset' ? `${NAME}.sigstore.json` : 'checksums.txt.intoto.jsonl';
      product.github.publish('v2.0.0', {
        [NAME]: content,
        'checksums.txt': sums,
        [name]: Buffer.from(`${JSON.stringify(bundle)}\n`),
      });
      product.start();
      await product.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
      assert.ok(
        !product.github.requests.some((request) => request.path.includes('/attestations/')),
        'nobody else was asked',
      );
    }
  });

  it('no attestation, one of another tag, and one of the repository that took over the name are refused', async () => {
    const { product, content, sha256 } = await attested();
    await using _ = product;
    product.github.publish('v2.0.0', { [NAME]: content });
    product.start();
    await product.fact('appStarted');
    assert.equal((await updated(product)).code, 'ATTESTATION_MISSING');
    for (const claims of [{ sub: IDENTITY.replace('v2.0.0', 'v1.0.0') }, { repository_id: '9' }]) {
      product.github.attestations.set(sha256, [
        await sigstore.attest(sha256, { name: NAME }, claims),
      ]);
      assert.equal((await updated(product)).code, 'ATTESTATION_INVALID');
    }
    assert.equal((await product.status()).version, '0.0.1');
    product.github.attestations.set(sha256, [
      await sigstore.attest(sha256, { name: NAME }, { repository_id: '9' }),
      await sigstore.attest(sha256, { name: NAME }),
    ]);
    assert.equal((await updated(product)).version, '2.0.0');
  });
});

describe('what a release is bound to', { concurrency: 2 }, () => {
  it('is its repository by number: one that takes over the name is refused until the operator accepts it', async () => {
    await using product = await Product.create({ env: { SLEEP: '3600' } });
    const publish = async (version: string) =>
      product.github.publish(`v${version}`, {
        [NAME]: await appArchive({ version, port: product.port }),
      });
    await publish('0.0.2');
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    product.github.repositoryId = 666;
    await publish('0.0.3');
    const { version, code, stderr } = await updated(product);
    assert.deepEqual([version, code], ['0.0.2', 'REPOSITORY_REPLACED']);
    assert.match(stderr, /its id was 4711 and is 666/);
    assert.equal((await product.command(['install', 'v0.0.3'])).exitCode, 0);
    await product.command(['release']);
    await publish('0.0.4');
    assert.equal((await updated(product)).version, '0.0.4');
  });

  it('is its asset: one that is replaced under the same tag is reported once, and not followed', async () => {
    await using product = await Product.create({ env: { SLEEP: '3600' } });
    const published = product.github.publish('v0.0.2', {
      [NAME]: await appArchive({ version: '0.0.2', port: product.port }),
    });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    published.assets.length = 0;
    product.github.attach(
      published,
      NAME,
      await appArchive({ version: '0.0.2', port: product.port, files: { more: { content: 'x' } } }),
    );
    const { version, code } = await updated(product);
    assert.deepEqual([version, code], ['0.0.2', 'ASSET_REPLACED']);
    const facts = (await product.events()).length;
    await product.command(['update']);
    assert.equal((await product.events()).length, facts);
    assert.equal((await product.command(['install', 'v0.0.2'])).exitCode, 0);
    assert.ok(existsSync(path.join(product.dir, 'current', 'more')), 'the new bytes');
    await product.logged(/was replaced under the same tag\. The running version stays/);
  });
});

describe('what is on disk already', { concurrency: 2 }, () => {
  it(
    'does not vouch for itself under a new tag: rollback by a kept tree',
    needsMinisign,
    async () => {
      const { product, signer } = await signed();
      await using _ = product;
      const publish = async (version: string, content: Buffer, signature: Buffer) =>
        product.github.publish(`v${version}`, { [NAME]: content, [`${NAME}.minisig`]: signature });
      const old = await appArchive({ version: '1.0.0', port: product.port });
      const next = await appArchive({ version: '1.1.0', port: product.port });
      await publish('1.0.0', old, await signer.sign(NAME, old, 'tag:v1.0.0'));
      product.start();
      await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
      await publish('1.1.0', next, await signer.sign(NAME, next, 'tag:v1.1.0'));
      assert.equal((await updated(product)).version, '1.1.0');
      await publish('9.9.9', old, Buffer.from('rubbish'));
      const { version, code } = await updated(product);
      assert.deepEqual([version, code], ['1.1.0', 'SIGNATURE_INVALID']);
    },
  );

  it(
    'does not outlive the rules under which it was verified: a condition is added, a key is withdrawn',
    needsMinisign,
    async () => {
      await using product = await Product.create({
        env: { SLEEP: '3600', UPDATE_APPROVAL: '1', UPDATE_STRATEGY: 'download-then-kill' },
      });
      product.start();
      await product.fact('versionBecameHealthy');
      product.github.publish('v6.6.6', {
        [NAME]: await appArchive({ version: '6.6.6', port: product.port }),
      });
      assert.equal((await updated(product)).waits, 'approval');
      await product.killUpdater();
      const signer = new Signer(product.root, 'ours');
      Object.assign(product.env, {
        UPDATE_VERIFY: 'digest,minisign',
        UPDATE_MINISIGN_KEYS: await signer.key(),
      });
      product.start();
      const { stderr } = await product.command(['approve', '6.6.6']);
      const { version, lastError } = await product.status();
      assert.equal(version, '0.0.1', stderr);
      assert.match(lastError?.code ?? '', /SIGNATURE_MISSING|TREE_INCOMPLETE/);
      await product.command(['update']);
      assert.equal((await product.status()).version, '0.0.1');
    },
  );

  it('does not help a server that answers another tag than the one that was asked for', async () => {
    await using product = await Product.create({
      env: { SLEEP: '3600', UPDATE_TAG: 'v1.4.2', UPDATE_STRATEGY: 'download-then-kill' },
    });
    product.github.publish('v1.4.2', {
      [NAME]: await appArchive({ version: '1.4.2', port: product.port }),
    });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.4.2');
    const old = product.github.publish('v1.0.0', {
      [NAME]: await appArchive({ version: '1.0.0', port: product.port }),
    });
    product.github.misbehave = {
      spoil: (told) => ({
        ...told,
        tag_name: 'v1.0.0',
        assets: (told['assets'] as { id: number }[]).map((asset) => ({
          ...asset,
          id: old.assets[0]?.id,
        })),
      }),
    };
    const { version, code } = await updated(product);
    assert.deepEqual([version, code], ['1.4.2', 'ANSWER_UNEXPECTED']);
  });
});
