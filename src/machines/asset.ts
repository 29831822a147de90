/**
 * Which asset of a release is for this machine. Pure: exactly one may match; none or several is an
 * explained refusal.
 */

import { preferenceOf } from './asset-format.ts';
import { namesOfRepository, REPOSITORY, type ReadName, readName } from './asset-name.ts';
import { DISTRIBUTIONS, type ToldPlatform } from './asset-platform.ts';
import type { Policy } from './model.ts';

export { chooseChecksums, chooseSignatures } from './asset-sums.ts';

type Platform = Policy['platform'];

/**
 * The operator's `UPDATE_ASSET`; the matcher comes with it, since globbing is not this folder's
 * business.
 */
export type AssetPattern = { glob: string; matches: (name: string) => boolean };

export type AssetChoice<T> =
  | { kind: 'one'; asset: T }
  /**
   * `unusable`: assets for this platform in a form that can't be unpacked: other archives,
   * packages, installers.
   */
  | { kind: 'none'; names: string[]; wanted: string; unusable: string[] }
  | { kind: 'several'; names: string[]; wanted: string };

type Candidate<T> = ReadName & { asset: T; fit: Fit };

/**
 * `exact`: names this system and processor. `system`: this system, and no processor. `processor`:
 * the reverse. `neutral`: neither. `no`: another platform.
 */
type Fit = 'exact' | 'system' | 'processor' | 'neutral' | 'no';

/**
 * Chooses by the operator's glob, or else by what the names tell: see docs/assets.md.
 * `repositoryName` is the name without its owner; its words tell no platform, and of several
 * programs the one of this name is the app.
 */
export function chooseAsset<T extends { name: string }>(
  assets: readonly T[],
  pattern: AssetPattern | null,
  platform: Platform,
  repositoryName = '',
): AssetChoice<T> {
  const names = assets.map((asset) => asset.name);
  if (pattern !== null) {
    const matching = assets.filter((asset) => pattern.matches(asset.name));
    return decide(matching, names, `the pattern ${JSON.stringify(pattern.glob)}`, []);
  }
  const wanted = `${platform.os}/${platform.arch}${platform.libc === 'musl' ? ' with musl' : ''}`;
  const repository = namesOfRepository(repositoryName);
  const read = meaningOfArm(
    tellBySiblings(assets.map((asset) => ({ asset, ...readName(asset.name, repository) }))),
  ).map((entry) => ({
    ...entry,
    fit: fitOf(entry, platform),
  }));
  const app = read.filter(
    ({ kind }) => kind === 'archive' || kind === 'compressed' || kind === 'bare',
  );
  const telling = read.filter(({ kind }) => kind !== 'other');
  const files = read.filter(({ kind }) => kind === 'file');
  const ofApp = tiersOf(app, telling, platform);
  const tiers = [...withoutHelpers(ofApp), ...tiersOf(files, telling, platform), portable(files)];
  for (const tier of tiers) {
    const fitting = withoutCompanions(narrow(tier, platform), telling);
    if (fitting.length > 0)
      return decide(
        fitting.map(({ asset }) => asset),
        names,
        wanted,
        [],
      );
  }
  return { kind: 'none', names, wanted, unusable: unusable(read) };
}

function decide<T extends { name: string }>(
  matching: readonly T[],
  names: string[],
  wanted: string,
  unusable: string[],
): AssetChoice<T> {
  const [first, ...others] = matching;
  if (!first) return { kind: 'none', names, wanted, unusable };
  if (others.length > 0)
    return { kind: 'several', names: matching.map((asset) => asset.name), wanted };
  return { kind: 'one', asset: first };
}

function fitOf({ platform: told }: ReadName, platform: Platform): Fit {
  const { systems, architectures, libcs, isUniversal } = told;
  if (systems.length > 0 && !systems.includes(platform.os)) return 'no';
  if (architectures.length > 0 && !architectures.includes(platform.arch)) return 'no';
  // A build for glibc doesn't start where there is only musl; a build for musl is static as a rule,
  // and starts everywhere.
  if (
    libcs.length > 0 &&
    !libcs.includes('musl') &&
    (platform.libc === 'musl' || !libcs.includes('glibc'))
  )
    return 'no';
  if (systems.length === 0) return architectures.length === 0 ? 'neutral' : 'processor';
  if (architectures.length > 0) return 'exact';
  // No processor means amd64; on a Mac such a build runs on both.
  return isUniversal || platform.arch === 'amd64' || platform.os === 'darwin' ? 'system' : 'no';
}

/** `app-x64.zip` beside `app-x64.msi` is for Windows. */
function tellBySiblings<T extends ReadName>(read: readonly T[]): readonly T[] {
  const packaged = new Map<string, Set<string>>();
  for (const { kind, stem, platform } of read) {
    if (kind !== 'package') continue;
    const systems = packaged.get(stem.toLowerCase()) ?? new Set();
    for (const system of platform.systems) systems.add(system);
    packaged.set(stem.toLowerCase(), systems);
  }
  return read.map((entry) => {
    const systems = packaged.get(entry.stem.toLowerCase());
    if (entry.kind !== 'archive' || entry.platform.systems.length > 0 || systems?.size !== 1)
      return entry;
    return { ...entry, platform: { ...entry.platform, systems: [...systems] } };
  });
}

/**
 * `linux-arm` means arm64 where the project says `arm` of Macs too, or leaves amd64 unsaid, and
 * names no 32-bit processor and no arm64 for the same system.
 */
function meaningOfArm<T extends ReadName>(read: readonly T[]): readonly T[] {
  const builds = read.filter(({ kind }) => kind !== 'other').map((entry) => entry.platform);
  const on = (system: string) => builds.filter(({ systems }) => systems.includes(system));
  const isOneWord =
    on('darwin').some(({ isPlainArm }) => isPlainArm) ||
    on('linux').some(({ architectures }) => architectures.length === 0);
  const isOther = ({ architectures, isPlainArm }: ToldPlatform) =>
    architectures.includes('386') || (architectures.includes('arm') && !isPlainArm);
  if (
    !isOneWord ||
    builds.some(isOther) ||
    on('linux').some(({ architectures }) => architectures.includes('arm64'))
  )
    return read;
  return read.map((entry) =>
    entry.platform.isPlainArm
      ? { ...entry, platform: { ...entry.platform, architectures: ['arm64'] } }
      : entry,
  );
}

/**
 * Sets of candidates, the surest first. `telling`: every name of the release that may tell which
 * platforms it is for.
 */
function tiersOf<T>(
  app: readonly Candidate<T>[],
  telling: readonly Candidate<T>[],
  platform: Platform,
): (readonly Candidate<T>[])[] {
  const of = (fit: Fit) => app.filter((candidate) => candidate.fit === fit);
  const systems = new Set(telling.flatMap((entry) => entry.platform.systems));
  const isTold =
    systems.size > 0 || telling.some((entry) => entry.platform.architectures.length > 0);
  // `app-x64.zip` of a project that names Windows alone is no program for Linux.
  const isElsewhere =
    systems.size === 1 &&
    !systems.has(platform.os) &&
    platform.os === 'linux' &&
    systems.has('windows');
  const neutral = of('neutral');
  // `app` beside `app-arm64` and `app-darwin` is the common one: Linux on amd64.
  const unmarked =
    platform.os === 'linux' && platform.arch === 'amd64' && isTold
      ? neutral.filter(
          ({ kind, isNamedAsRepository, words }) =>
            kind === 'bare' && isNamedAsRepository && words.length === 1,
        )
      : [];
  const archives = neutral.filter(({ kind }) => kind === 'archive');
  const processor = of('processor').filter(({ kind }) => !isElsewhere || kind === 'bare');
  // `app_alpine` is a system's name too, and comes after `app_amd64` where there is glibc.
  const isOtherLibc = ({ platform: { libcs } }: Candidate<T>) =>
    libcs.includes('musl') && platform.libc !== 'musl';
  const system = of('system');
  return [
    of('exact'),
    system.filter((entry) => !isOtherLibc(entry)),
    processor,
    system.filter(isOtherLibc),
    unmarked,
    ...(isTold ? [] : [archives, neutral]),
  ];
}

/**
 * `app.jar` runs wherever there is a Java, whatever else the release has; `.wasm` needs more than
 * that.
 */
function portable<T>(files: readonly Candidate<T>[]): readonly Candidate<T>[] {
  return files.filter(
    ({ fit, isNamedAsRepository, ending }) =>
      fit === 'neutral' && isNamedAsRepository && ending !== '.wasm',
  );
}

/**
 * Of builds that all fit, those that are for this machine before others; and one of several
 * wrappings.
 */
function narrow<T>(tier: readonly Candidate<T>[], platform: Platform): readonly Candidate<T>[] {
  const isMusl = platform.libc === 'musl';
  const steps: ((left: readonly Candidate<T>[]) => readonly Candidate<T>[])[] = [
    prefer(({ isNamedAsRepository }) => isNamedAsRepository),
    plainest(({ extras }) => extras),
    prefer(({ platform: { libcs } }) => libcs.includes('musl') === isMusl),
    prefer(({ platform: { isStatic } }) => isStatic === isMusl),
    least(({ platform: { level } }) => level),
    least(({ platform: { distribution } }) =>
      distribution === null ? -1 : DISTRIBUTIONS.indexOf(distribution[0]),
    ),
    least(({ platform: { distribution } }) => distribution?.[1] ?? 0),
    // `app-latest-linux.tar.gz` is a second name of the one that tells its version.
    prefer(({ words }) => !words.includes('latest')),
    prefer(({ kind }) => kind === 'archive'),
    plainest(({ words }) => words),
  ];
  return sameBuild(steps.reduce((left, step) => (left.length < 2 ? left : step(left)), tier));
}

/**
 * `kitten-linux-amd64` is a helper of kitty's, whose `kitty-0.35.2-x86_64.txz` names no system: the
 * program of the repository's name comes first, though another's name tells more. A `.zip` without
 * a system is often one for Windows, and has no such claim.
 */
function withoutHelpers<T>(
  tiers: readonly (readonly Candidate<T>[])[],
): readonly (readonly Candidate<T>[])[] {
  const isApp = ({ isNamedAsRepository, fit, ending }: Candidate<T>) =>
    isNamedAsRepository && (fit === 'system' || (fit === 'processor' && ending !== '.zip'));
  const [surest = [], ...others] = tiers;
  const isHelper =
    !surest.some(({ words }) => words.includes(REPOSITORY)) &&
    others.some((tier) => tier.some(isApp));
  return isHelper ? others : tiers;
}

/** `omnictl` for this platform is not the app where `omni` stands beside it on another. */
function withoutCompanions<T>(
  fitting: readonly Candidate<T>[],
  telling: readonly Candidate<T>[],
): readonly Candidate<T>[] {
  const place = ({ platform: { systems, architectures, libcs, distribution } }: ReadName) =>
    [...systems, ...architectures, ...libcs, ...(distribution ?? [])].join(' ');
  const program = ({ extras }: ReadName) => extras.toSorted().join(' ');
  const placesOfApp = new Set(
    telling.filter(({ isNamedAsRepository }) => isNamedAsRepository).map(place),
  );
  const companions = new Set(
    telling
      .filter((entry) => !entry.isNamedAsRepository && placesOfApp.has(place(entry)))
      .map(program),
  );
  return fitting.filter((candidate) => !companions.has(program(candidate)));
}

/** Those of which `is` holds, if there are any. */
function prefer<T>(is: (candidate: Candidate<T>) => boolean) {
  return (left: readonly Candidate<T>[]) => {
    const preferred = left.filter(is);
    return preferred.length > 0 ? preferred : left;
  };
}

function least<T>(of: (candidate: Candidate<T>) => number) {
  return (left: readonly Candidate<T>[]) => {
    const lowest = Math.min(...left.map(of));
    return left.filter((candidate) => of(candidate) === lowest);
  };
}

/**
 * Those whose words all others have too: `app` beside `app-extra`; all of them where none is so, as
 * with `client` and `server`.
 */
function plainest<T>(of: (candidate: Candidate<T>) => readonly string[]) {
  return (left: readonly Candidate<T>[]) => {
    const counts = new Map<string, number>();
    for (const candidate of left)
      for (const word of new Set(of(candidate))) counts.set(word, (counts.get(word) ?? 0) + 1);
    const plain = left.filter((candidate) =>
      of(candidate).every((word) => counts.get(word) === left.length),
    );
    return plain.length > 0 ? plain : left;
  };
}

/**
 * One build in several wrappings, or under two names of one platform, is one build: the preferred
 * wrapping serves.
 */
function sameBuild<T>(left: readonly Candidate<T>[]): readonly Candidate<T>[] {
  if (new Set(left.map(({ words }) => words.toSorted().join(' '))).size !== 1) return left;
  return left
    .toSorted((a, b) => rank(a.ending) - rank(b.ending) || (a.name < b.name ? -1 : 1))
    .slice(0, 1);
}

/**
 * The executable itself comes after archives and what unpacks without a tool, and before `.xz` and
 * `.bz2`.
 */
function rank(ending: string): number {
  return ending === '' ? preferenceOf('.zst') + 0.5 : preferenceOf(ending);
}

/** What would have been for this platform, if it could be unpacked. */
function unusable(read: readonly Candidate<unknown>[]): string[] {
  const isTold = read.some(
    ({ kind, platform }) =>
      kind !== 'other' && platform.systems.length + platform.architectures.length > 0,
  );
  const fits = ({ kind, fit }: Candidate<unknown>) =>
    (kind === 'unsupported' &&
      (fit === 'exact' ||
        fit === 'system' ||
        fit === 'processor' ||
        (fit === 'neutral' && !isTold))) ||
    (kind === 'package' && (fit === 'exact' || fit === 'system'));
  return read.filter(fits).map(({ name }) => name);
}
