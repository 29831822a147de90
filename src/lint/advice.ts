/** What would make a release better that is taken as it is. Pure. */
import { compareGlibc } from '../support/glibc.ts';
import type { AdviceCode } from './codes.ts';
import { IMAGE_GLIBC, IMAGE_LIBRARIES, IMAGE_PROGRAMS, type LintPlatform } from './platforms.ts';
import type { EvidenceKind, Level, Needs, Remark } from './report.ts';

export type Facts = {
  platform: LintPlatform;
  asset: string;
  /** UPDATE_SOURCE. */
  source: string;
  /** The conditions of UPDATE_VERIFY. */
  conditions: readonly string[];
  evidence: readonly EvidenceKind[];
  /** Name of the file of sums; null for none. */
  sums: string | null;
  needs: Needs;
  /** Libraries for another processor, by their paths. */
  foreign: readonly string[];
  /** What the file asks of xz that the image's does not know; null for nothing. */
  demand: string | null;
};

/** Sources that tell digests of their own, so that no file of sums is needed. */
const LISTS_SUMS = new Set(['directory', 'oci']);

export function adviceOn(facts: Facts): Remark[] {
  const { platform, asset, source, conditions, evidence, sums, needs, foreign, demand } = facts;
  const advice = (code: AdviceCode, kind: Level, message: string): Remark => ({
    code,
    kind,
    message,
  });
  const has = (kind: EvidenceKind) => evidence.includes(kind);
  const missing = needs.programs.filter((name) => !IMAGE_PROGRAMS.includes(name));
  const absent = needs.libraries.filter((name) => !IMAGE_LIBRARIES.test(name));
  const all: (Remark | false)[] = [
    !LISTS_SUMS.has(source) &&
      sums === null &&
      advice(
        'SUMS_MISSING',
        'warning',
        'the release has no file of sums, so only GitHub can say what its files should be: mirrors, Forgejo and GitLab need one, and UPDATE_SOURCE=github-web asks the API without it. `self-update lint --sums DIRECTORY` writes checksums.txt',
      ),
    sums !== null &&
      !has('checksums') &&
      advice(
        'SUMS_INCOMPLETE',
        'warning',
        `${sums} does not list ${asset}: publish its sum there as well`,
      ),
    !has('minisign') &&
      !has('attestation') &&
      !has('index') &&
      advice(
        'UNSIGNED',
        'notice',
        `nothing is signed or attested, so whoever can publish here can exchange the files: ${source === 'directory' ? '`minisign -S -m releases.json` signs the index' : '`self-update lint --sums --sign KEYFILE DIRECTORY` signs sums of the files'} (UPDATE_VERIFY=digest,minisign)`,
      ),
    has('minisign') &&
      !conditions.includes('minisign') &&
      advice(
        'UNCHECKED_SIGNATURE',
        'notice',
        'there is a minisign signature, which was not looked at: set UPDATE_VERIFY=digest,minisign and UPDATE_MINISIGN_KEYS',
      ),
    platform.libc === 'glibc' &&
      needs.glibc !== null &&
      compareGlibc(needs.glibc, IMAGE_GLIBC) > 0 &&
      advice(
        'GLIBC_NEWER',
        'warning',
        `${asset} needs glibc ${needs.glibc}, and the image has ${IMAGE_GLIBC} (Debian 12): it would end at its start. Build it on an older system (Debian 12, ubuntu-22.04), or statically`,
      ),
    platform.libc === 'glibc' &&
      absent.length > 0 &&
      advice(
        'LIBRARY_NEEDED',
        'warning',
        `${asset} loads ${absent.join(', ')}, which the image lacks, so that it would end at its start there: link it statically, or install it in an image of your own`,
      ),
    missing.length > 0 &&
      advice(
        'PROGRAM_NEEDED',
        'notice',
        `${asset} needs ${missing.join(', ')}, which the image lacks: install it in an image of your own`,
      ),
    demand !== null &&
      advice(
        'XZ_DEMANDING',
        'warning',
        `${asset} was made with ${demand}, which the image's xz can't read (TOOL_FAILED): publish it as \`xz -9\` makes it, or as .tar.gz`,
      ),
    foreign.length > 0 &&
      advice(
        'NATIVE_FOREIGN',
        'warning',
        `${asset} brings libraries for another processor (${foreign.slice(0, 3).join(', ')}): build one file for each platform on its own`,
      ),
  ];
  return all.filter((remark) => remark !== false);
}
