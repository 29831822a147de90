/** Signatures and attestations in the image, where the program is one bundled file. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, nativeArchive } from '../support/docker/container.ts';
import { IDENTITY, Sigstore } from '../support/sigstore.ts';

const NAME = 'app_linux_amd64.tar.gz';

describe('the image', () => {
  it('installs what is signed and attested, refuses what is not, and explains both', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'trust-'));
    try {
      await using sigstore = await Sigstore.start();
      writeFileSync(path.join(directory, 'root.json'), JSON.stringify(sigstore.trustedRoot));
      const [publicKey, secretKey] = [
        path.join(directory, 'ours.pub'),
        path.join(directory, 'ours.key'),
      ];
      await execa('minisign', ['-G', '-W', '-f', '-p', publicKey, '-s', secretKey]);
      await using container = await Container.run({
        run: ['--volume', `${directory}:/trust:ro`],
        env: {
          SLEEP: '3600',
          UPDATE_VERIFY: 'digest,minisign,attestation',
          UPDATE_MINISIGN_KEYS: readFileSync(publicKey, 'utf8').split('\n')[1] ?? '',
          UPDATE_ATTESTATION_IDENTITY: IDENTITY.replace('v2.0.0', '*'),
          UPDATE_ATTESTATION_ROOT: '/trust/root.json',
        },
      });
      await container.answers('0.0.1');
      const content = await nativeArchive('2.0.0');
      const file = path.join(directory, NAME);
      writeFileSync(file, content);
      await execa('minisign', [
        '-S',
        '-s',
        secretKey,
        '-m',
        file,
        '-x',
        `${file}.minisig`,
        '-t',
        `file:${NAME} tag:v2.0.0`,
      ]);
      const sha256 = createHash('sha256').update(content).digest('hex');
      container.github.publish('v2.0.0', {
        [NAME]: content,
        [`${NAME}.minisig`]: readFileSync(`${file}.minisig`),
      });
      assert.equal((await container.command('update')).exitCode, 1);
      assert.equal((await container.status()).lastError?.code, 'ATTESTATION_MISSING');
      assert.equal(await container.ask(), '0.0.1');
      container.github.attestations.set(sha256, [await sigstore.attest(sha256, { name: NAME })]);
      const { stdout, exitCode } = await container.command('verify', 'v2.0.0');
      assert.equal(exitCode, 0, stdout);
      assert.match(
        stdout,
        /holds {2}minisign.*\nholds {2}attestation {6}built by https:\/\/github\.com\/acme\/app/,
      );
      assert.equal((await container.command('update')).exitCode, 0);
      assert.equal(await container.ask(), '2.0.0');
      assert.match(
        (await container.command('status')).stdout,
        /verifying +digest, minisign, attestation/,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
