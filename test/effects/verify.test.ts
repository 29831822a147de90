import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkDigests, sumFor } from '../../src/effects/verify.ts';
import { release } from '../support/machine.ts';

const [right, wrong] = ['a'.repeat(64), 'b'.repeat(64)];
const found = release('2.0.0');
const withDigest = (digest: string | null) => ({ ...found, asset: { ...found.asset, digest } });
const withSums = (digest: string | null) => ({ ...withDigest(digest), checksums: { ...found.asset, name: 'checksums.txt' } });
const sums = (sum: string, name = 'app.tar.gz') => `${sum}  ${name}\n${wrong}  other.tar.gz\n`;

describe('what a release says about its bytes', () => {
  it('is believed when all of it agrees', () => {
    assert.deepEqual(checkDigests(withDigest(right), right, null), ['digest']);
    assert.deepEqual(checkDigests(withSums(null), right, sums(right)), ['checksums']);
    assert.deepEqual(checkDigests(withSums(right), right, sums(right)), ['digest', 'checksums']);
  });

  it('is refused when any of it disagrees', () => {
    assert.throws(() => checkDigests(withDigest(wrong), right, null), { code: 'DIGEST_MISMATCH' });
    assert.throws(() => checkDigests(withSums(null), right, sums(wrong)), { code: 'DIGEST_MISMATCH' });
    assert.throws(() => checkDigests(withSums(right), right, sums(wrong)), { code: 'DIGEST_MISMATCH' });
    assert.throws(() => checkDigests(withSums(wrong), right, sums(right)), { code: 'DIGEST_MISMATCH' });
  });

  it('is refused when there is none of it', () => {
    assert.throws(() => checkDigests(withDigest(null), right, null), { code: 'DIGEST_MISSING' });
    assert.throws(() => checkDigests(withSums(null), right, sums(right, 'another.tar.gz')), { code: 'DIGEST_MISSING' });
  });
});

describe('a file of sums', () => {
  it('is read as sha256sum writes it, or as one bare sum', () => {
    assert.equal(sumFor(`${right} *app.tar.gz\r\n`, 'app.tar.gz'), right);
    assert.equal(sumFor(`${right.toUpperCase()}  ./app.tar.gz\n`, 'app.tar.gz'), right);
    assert.equal(sumFor(`${right}\n`, 'app.tar.gz'), right);
    assert.equal(sumFor(`${right}  app.tar.gz.sig\n`, 'app.tar.gz'), null);
  });
});
