/**
 * The trees on disk, and the links that name them. A tree is complete when its manifest is there:
 * the manifest is written last, and the tree gets its name in `releases/` by one rename after
 * everything in it was synced.
 */
import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  fingerprint,
  type InstalledVersion,
  type Release,
  type Versioning,
  type World,
} from '../machines/model.ts';
import { runOrder } from '../machines/rules.ts';
import { compareVersions, versionFromTag } from '../machines/version.ts';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { foreignOwner } from '../support/own.ts';
import { readLink } from './durable.ts';
import { MANIFEST_NAME, readManifest } from './manifest.ts';

export type Places = {
  /** UPDATE_DIR. */
  root: string;
  bakedDir: string;
  repository: string;
  versioning: Versioning;
  tagPrefix: string;
  /**
   * Stands for what a download must show. A tree that was verified under other rules (another key,
   * fewer conditions) is no kept one.
   */
  rules?: string;
};

export const releasesDir = (places: Places): string => path.join(places.root, 'releases');
export const temporaryDir = (places: Places): string => path.join(places.root, 'tmp');
export const stateDir = (places: Places): string => path.join(places.root, 'state');
export const inboxDir = (places: Places): string => path.join(places.root, 'inbox');
export const currentLink = (places: Places): string => path.join(places.root, 'current');
export const lastGoodLink = (places: Places): string => path.join(places.root, 'last-good');

/** `<version>-<digest12>`. A version comes from a tag, so what a path can't hold is replaced. */
export function treeName(version: string, digest: string): string {
  return `${version.replace(/[^0-9A-Za-z.+_-]/g, '_').slice(0, 100)}-${digest.slice(0, 12)}`;
}

/**
 * Whether a tree is complete, without reading it: the manifest is written last. What came with the
 * image has none.
 */
export function isTreeThere(directory: string, places: Places): boolean {
  if (directory.startsWith(`${places.bakedDir}/`)) return existsSync(directory);
  return isOurs(places, directory) && existsSync(path.join(directory, MANIFEST_NAME));
}

/**
 * Planted tree: what another user left in `releases/`, or a whole `releases/` of his, is none,
 * whatever its manifest says.
 */
function isOurs(places: Places, directory: string): boolean {
  // A link leads out of our place: see claim.ts.
  if (isLink(directory)) return false;
  const files = [releasesDir(places), directory, path.join(directory, MANIFEST_NAME)];
  return files.every((file) => foreignOwner(file, places.root) === null);
}

function isLink(file: string): boolean {
  try {
    return lstatSync(file).isSymbolicLink();
  } catch {
    return false;
  }
}

export type KeptTree = { version: InstalledVersion; release: Release; verifiedUnder: string };

/** Every complete tree in `releases/`. */
export async function keptTrees(places: Places): Promise<KeptTree[]> {
  const names = await readdir(releasesDir(places)).catch(() => []);
  const trees = await Promise.all(
    names.map((name) => keptTree(places, path.join(releasesDir(places), name))),
  );
  return trees.filter((tree) => tree !== null);
}

/** Null where it is not complete, or another user's. */
export async function keptTree(places: Places, directory: string): Promise<KeptTree | null> {
  const manifest = isOurs(places, directory) ? await readManifest(directory) : null;
  return (
    manifest && {
      version: { ...manifest.version, path: directory },
      release: manifest.release,
      verifiedUnder: manifest.verifiedUnder,
    }
  );
}

/** The highest version among the complete trees of this repository; null if there is none. */
export async function highestKept(places: Places): Promise<string | null> {
  const versions = (await keptTrees(places)).flatMap(({ version }) =>
    version.repository === places.repository ? [version.version] : [],
  );
  return versions.sort((a, b) => compareVersions(b, a, places.versioning))[0] ?? null;
}

/**
 * The tree of a release, if it is still on disk. Rollback: old bytes under a new tag are not that
 * release, and are looked at like any other; and so is what was verified by rules that hold no
 * longer.
 */
export async function findKept(places: Places, release: Release): Promise<InstalledVersion | null> {
  const trees = (await keptTrees(places)).filter(
    ({ verifiedUnder }) => verifiedUnder === (places.rules ?? ''),
  );
  const isIt = ({ version }: KeptTree) =>
    version.repository === release.repository &&
    version.version === release.version &&
    version.tag === release.tag &&
    // The digest also where another source, or none, told it before.
    (version.fingerprint === fingerprint(release) ||
      (version.digest !== null && version.digest === release.asset.digest));
  return trees.find(isIt)?.version ?? null;
}

/** An image can say whose app it brings: for another repository it then brings none. */
const BAKED_REPOSITORY = '.repository';

function bakedFor({ bakedDir }: Places): string {
  try {
    return readBounded(path.join(bakedDir, BAKED_REPOSITORY), MAX_NOTE_BYTES).toString('utf8');
  } catch {
    return '';
  }
}

/**
 * The newest version that came with the image: a directory named by its version, complete by
 * construction.
 */
export async function readBaked(places: Places): Promise<InstalledVersion | null> {
  const owner = bakedFor(places);
  if (owner.trim() !== '' && owner.trim() !== places.repository) return null;
  const entries = await readdir(places.bakedDir, { withFileTypes: true }).catch(() => []);
  const versions = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({
      tag: name,
      version:
        versionFromTag(name, places.versioning, places.tagPrefix) ?? versionFromTag(name, 'loose'),
    }))
    .filter((entry): entry is { tag: string; version: string } => entry.version !== null)
    .sort((a, b) => compareVersions(b.version, a.version, places.versioning));
  const [newest] = versions;
  if (!newest) return null;
  const tag = newest.tag === newest.version ? `${places.tagPrefix}v${newest.version}` : newest.tag;
  return {
    repository: places.repository,
    version: newest.version,
    tag,
    digest: null,
    fingerprint: null,
    path: path.join(places.bakedDir, newest.tag),
  };
}

/** The path that a link of ours names, whether something is there or not. */
export function linkedPath(places: Places, link: string): string | null {
  try {
    return path.resolve(places.root, readlinkSync(link));
  } catch {
    return null;
  }
}

/** What a link names: a complete tree, the baked one, or null. */
async function readLinked(
  places: Places,
  link: string,
  baked: InstalledVersion | null,
): Promise<InstalledVersion | null> {
  const target = await readLink(link);
  if (target === null) return null;
  const directory = path.resolve(places.root, target);
  if (directory === baked?.path) return baked;
  if (path.dirname(directory) !== releasesDir(places)) return null;
  return (await keptTree(places, directory))?.version ?? null;
}

/** Recovery observes the world: what is linked, what is baked. */
export async function readWorld(places: Places): Promise<World> {
  const baked = await readBaked(places);
  return {
    baked,
    current: await readLinked(places, currentLink(places), baked),
    lastGood: await readLinked(places, lastGoodLink(places), baked),
  };
}

/** What is to be run where only the disk is asked; null where there is nothing. */
export async function whatToRun(places: Places): Promise<InstalledVersion | null> {
  return runOrder(await readWorld(places))[0] ?? null;
}

/**
 * How a link names a tree: relative inside the updater's directory, so that the volume may be
 * mounted elsewhere.
 */
export function linkTarget(places: Places, version: InstalledVersion): string {
  return version.path.startsWith(`${places.root}/`)
    ? path.relative(places.root, version.path)
    : version.path;
}

/** Whether a path is there, following links. */
export async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
