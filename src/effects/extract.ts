/**
 * `extract`: unpack into a private directory → manifest last → sync → rename into `releases/` →
 * sync both parents. A crash anywhere leaves either nothing under `releases/` or a complete tree.
 */
import { chmodSync } from 'node:fs';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { fingerprint, type InstalledVersion } from '../machines/model.ts';
import { setForeignAside } from '../support/own.ts';
import { refused } from './archive/rules.ts';
import { unpack } from './archive/unpack.ts';
import { makeReadOnly, walk } from './archive/walk.ts';
import { claimDirectories } from './claim.ts';
import { removeTree, renameDurably, syncTree } from './durable.ts';
import { type AppOptions, checkEntryPoint, unwrap } from './entry-point.ts';
import { ensureLinked, type LinkedOptions } from './linked.ts';
import {
  assertDescribable,
  MANIFEST_NAME,
  type Manifest,
  readEntries,
  readManifest,
  type TreeEntry,
  writeManifest,
} from './manifest.ts';
import { headOf, isProgram } from './program.ts';
import { assertSealed, type Sealed } from './seal.ts';
import { inSlices } from './slices.ts';
import { keptTree, type Places, releasesDir, temporaryDir, treeName } from './trees.ts';

export type ExtractDependencies = {
  places: Places;
  app: AppOptions;
  linked: LinkedOptions;
  maxUnpackedBytes: number;
  maxEntries: number;
  sealed: Sealed;
  warn: (message: string) => void;
};

export async function extract(
  { release, path: archive, sha256 }: EffectInputs['extract'],
  signal: AbortSignal,
  deps: ExtractDependencies,
): Promise<Fact> {
  const { places } = deps;
  const name = treeName(release.version, sha256);
  const target = path.join(releasesDir(places), name);
  const version: InstalledVersion = {
    repository: release.repository,
    version: release.version,
    tag: release.tag,
    digest: sha256,
    fingerprint: fingerprint(release),
    path: target,
    ...(release.source === undefined ? {} : { source: release.source }),
  };
  await claimDirectories(places, deps.warn);
  const known = (await keptTree(places, target)) && (await readManifest(target));
  // The name holds 48 bits of the digest; the manifest holds all of it.
  if (known !== null && known.version.digest !== sha256)
    throw refused(`another archive is already at ${name}, by chance or on purpose`);
  if (known !== null)
    await describeAnew(target, known, {
      ...known,
      version: descriptionOf(version),
      release,
      verifiedUnder: places.rules ?? '',
    });
  if (known === null) {
    // Before minutes of unpacking, too.
    assertDescribable(release, places.rules ?? '');
    await assertSealed(archive, sha256, deps.sealed);
    const work = path.join(temporaryDir(places), `tree-${sha256.slice(0, 12)}`);
    await removeTree(work);
    await mkdir(work, { mode: 0o700 });
    const tree = await build(archive, work, { release, version }, signal, deps).catch(
      async (error: unknown) => {
        // Until the next try, which may be an hour away, a half of a tree would keep the disk full,
        // for the app too.
        await removeTree(work).catch(() => {});
        throw error;
      },
    );
    // Planted by another user: neither its manifest nor its files are of any account. Not before:
    // an app may run from it.
    setForeignAside(target, places.root, deps.warn);
    // Left by a crash between rename and sync, or by hand: without a manifest it counts as nothing.
    await removeTree(target);
    await renameDurably(tree, target);
    await chmod(target, 0o555);
    await removeTree(work);
  }
  if (release.origin !== 'baked') await rm(archive, { force: true });
  return { type: 'installed', version };
}

function descriptionOf({ path: _, ...described }: InstalledVersion): Manifest['version'] {
  return described;
}

/**
 * The same bytes were verified anew: by other rules, or as an asset that was uploaded again.
 * Undescribed, they would not be found as that release.
 */
async function describeAnew(tree: string, known: Manifest, manifest: Manifest): Promise<void> {
  if (JSON.stringify(known) === JSON.stringify(manifest)) return;
  await chmod(tree, 0o755);
  try {
    await writeManifest(tree, manifest, readEntries(tree));
  } finally {
    await chmod(tree, 0o555);
  }
}

/**
 * The tree of an asset in `work`, an empty directory, before it is known how it is started. Throws
 * `Fault`.
 */
export async function unpackTree(
  archive: string,
  work: string,
  asset: string,
  signal: AbortSignal,
  deps: Pick<ExtractDependencies, 'app' | 'linked' | 'maxEntries' | 'maxUnpackedBytes'>,
): Promise<{ tree: string; entries: TreeEntry[] }> {
  const { app, linked, maxEntries, maxUnpackedBytes } = deps;
  await unpack(
    archive,
    work,
    { asset, program: app.repositoryName },
    { maxEntries, maxUnpackedBytes },
    signal,
  );
  if ((await readdir(work)).length === 0) throw refused('it is empty');
  const tree = await unwrap(work, app.command);
  // Also the name under which it is written first: a link there would be followed.
  if ((await readdir(tree)).some((file) => file.startsWith(MANIFEST_NAME)))
    throw refused(`it brings a ${MANIFEST_NAME}, which is reserved`);
  // Megabytes go to the disk while their sums are made; the sync after the last change then has
  // little left to do.
  const [found] = await Promise.all([walk(tree, namesOf(linked), signal), syncTree(work)]);
  return { tree, entries: await withModes(tree, found) };
}

async function build(
  archive: string,
  work: string,
  { release, version }: { release: Manifest['release']; version: InstalledVersion },
  signal: AbortSignal,
  deps: ExtractDependencies,
): Promise<string> {
  const { app, linked, places } = deps;
  const { tree, entries } = await unpackTree(archive, work, release.asset.name, signal, deps);
  await checkEntryPoint(tree, app);
  const asInstalled = await makeReadOnly(tree, entries);
  await chmod(tree, 0o755);
  await ensureLinked(tree, linked);
  await syncTree(work);
  signal.throwIfAborted();
  await writeManifest(
    tree,
    { schema: 1, version: descriptionOf(version), release, verifiedUnder: places.rules ?? '' },
    asInstalled,
  );
  return tree;
}

/**
 * An archive that was made where files have no modes (a zip of Windows, .NET or Go) has no
 * executable file: its programs are told by their first bytes.
 */
async function withModes(tree: string, entries: TreeEntry[]): Promise<TreeEntry[]> {
  if (entries.some(({ type, mode }) => type === 'file' && (mode & 0o111) !== 0)) return entries;
  for await (const entry of inSlices(entries)) {
    const file = path.join(tree, entry.path);
    if (entry.type !== 'file' || !isProgram(headOf(file, 8))) continue;
    chmodSync(file, 0o555);
    entry.mode = 0o555;
  }
  return entries;
}

/** As the walk knows them: `UPDATE_LINKED` names a directory with or without its slash. */
function namesOf({ names }: LinkedOptions): string[] {
  return names.map((name) => path.posix.normalize(name).replace(/\/+$/, ''));
}
