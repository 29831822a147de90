/** What is published at a forge in tests, and that the product follows it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appArchive } from '../app.ts';
import type { Product } from '../product.ts';

const NAME = 'app_linux_amd64.tar.gz';

export async function filesOf(
  { port }: Product,
  version: string,
  { sums = true } = {},
): Promise<Record<string, Buffer>> {
  const archive = await appArchive({ version, port });
  const sum = createHash('sha256').update(archive).digest('hex');
  return {
    [NAME]: archive,
    ...(sums ? { 'checksums.txt': Buffer.from(`${sum}  ${NAME}\n`) } : {}),
  };
}

export async function assertUpdated(product: Product, to: string): Promise<void> {
  const { exitCode, stderr } = await product.command(['update']);
  assert.equal(exitCode, 0, stderr);
  assert.equal((await product.status()).version, to);
}
