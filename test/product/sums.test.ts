/** Releases without a digest, whose sums are written as people write them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

const NAME = 'app_0.0.1.tar.gz';
const forms: [string, string, (sum: string) => Buffer][] = [
  [
    'BSD lines with a path and CRLF',
    'SHASUMS256.txt',
    (sum) =>
      Buffer.from(`SHA256 (other.zip) = ${'0'.repeat(64)}\r\nSHA256 (./dist/${NAME}) = ${sum}\r\n`),
  ],
  [
    'UTF-16, as PowerShell writes it',
    'checksums.sha256',
    (sum) => Buffer.from(`\uFEFF${sum.toUpperCase()} *${NAME}\r\n`, 'utf16le'),
  ],
  ["a bare sum in the asset's own file", 'app_0.0.1.sha256', (sum) => Buffer.from(`${sum}\n`)],
];

describe('a release without a digest is installed by', { concurrency: 3 }, () => {
  for (const [title, name, written] of forms)
    it(title, async () => {
      await using product = await Product.create({ env: { UPDATE_PROBATION: '0' } });
      const content = await appArchive({ version: '0.0.1', port: product.port });
      const sum = createHash('sha256').update(content).digest('hex');
      product.github.publish(
        'v0.0.1',
        { [NAME]: content, [name]: written(sum) },
        { digests: false },
      );
      const { exitCode, stderr } = await product.command(['run', '--once']);
      assert.equal(exitCode, 0, stderr);
      assert.equal((await product.status()).version, '0.0.1', stderr);
    });
});
