/** `verify`: the downloaded bytes against every digest that the release offers. All of them must agree, or nothing is unpacked. */
import { rm } from 'node:fs/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { Release } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { type Http, hostOf, networkFault } from './github/http.ts';
import { assertSealed, type Sealed } from './seal.ts';

/** Sums of a thousand assets fit. */
const MOST_CHECKSUM_BYTES = 256 * 1024;

export type VerifyDependencies = { http: Http; requireDigest: boolean; sealed: Sealed };

export async function verify({ release, path, sha256 }: EffectInputs['verify'], signal: AbortSignal, deps: VerifyDependencies): Promise<Fact> {
  await assertSealed(path, sha256, deps.sealed);
  // The operator named the file: these are the bytes that were meant.
  if (release.origin !== 'github') return { type: 'verified', checks: ['file'] };
  if (!deps.requireDigest) return { type: 'verified', checks: [] };
  try {
    const checks = checkDigests(release, sha256, release.checksums ? await readSums(release, signal, deps.http) : null);
    return { type: 'verified', checks };
  } catch (error) {
    // A mismatch may have come from the wire: the next try starts from nothing.
    if (error instanceof Fault && error.code === 'DIGEST_MISMATCH') await rm(path, { force: true });
    throw error;
  }
}

/** Pure. The names of the checks that held. Throws `Fault` `DIGEST_MISMATCH` or `DIGEST_MISSING`. */
export function checkDigests(release: Release, sha256: string, sums: string | null): string[] {
  const checks: string[] = [];
  const { asset, checksums, tag } = release;
  const mismatch = (source: string, expected: string) =>
    new Fault(
      'DIGEST_MISMATCH',
      `${asset.name} of ${tag} has sha256 ${sha256}, and ${source} says ${expected}: the asset was damaged on the way, replaced, or tampered with`,
    );
  // Arbitrary installation, mix-and-match: what came must be what this very release announced.
  if (asset.digest !== null) {
    if (asset.digest !== sha256) throw mismatch('GitHub', asset.digest);
    checks.push('digest');
  }
  if (sums !== null && checksums !== null) {
    const expected = sumFor(sums, asset.name);
    if (expected === null && asset.digest === null)
      throw new Fault(
        'DIGEST_MISSING',
        `${checksums.name} of ${tag} does not list ${asset.name}, so it can't be verified: publish its sum, or set UPDATE_VERIFY=none`,
      );
    if (expected !== null && expected !== sha256) throw mismatch(checksums.name, expected);
    if (expected !== null) checks.push('checksums');
  }
  if (checks.length === 0)
    throw new Fault('DIGEST_MISSING', `${tag} offers no digest for ${asset.name}: upload the asset again, add a checksums.txt, or set UPDATE_VERIFY=none`);
  return checks;
}

/** The sum of a file in `sha256sum` format (`<hex>  <name>` or `<hex> *<name>`), or the only sum of a file without names. */
export function sumFor(text: string, name: string): string | null {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  for (const line of lines) {
    const match = /^([0-9a-fA-F]{64})[ \t]+[ *]?(?:\.\/)?(.+?)\s*$/.exec(line);
    if (match?.[2] === name) return match[1]?.toLowerCase() ?? null;
  }
  const [only] = lines;
  return lines.length === 1 && only !== undefined && /^[0-9a-fA-F]{64}$/.test(only.trim()) ? only.trim().toLowerCase() : null;
}

async function readSums({ checksums }: Release, signal: AbortSignal, http: Http): Promise<string> {
  if (checksums === null) throw new Error('invariant: there is a checksums asset');
  const answer = await http.get(checksums.url, { accept: 'application/octet-stream' }, signal, { decompress: true, sameHost: false });
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    if (answer.status !== 200)
      throw new Fault(
        'DOWNLOAD_REFUSED',
        `${hostOf(answer.url)} answered ${answer.status} for ${checksums.name}: it was removed or replaced, or the token may not read it`,
      );
    for await (const chunk of answer.stream) {
      size += (chunk as Buffer).length;
      if (size > MOST_CHECKSUM_BYTES)
        throw new Fault('ANSWER_TOO_LARGE', `${checksums.name} is larger than ${MOST_CHECKSUM_BYTES} bytes: that is no file of sums`);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw networkFault(error, answer.url);
  } finally {
    answer.stream.destroy();
  }
  return Buffer.concat(chunks).toString('utf8');
}
