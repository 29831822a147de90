/** Writes `releases.json` from a directory of `TAG/files`. */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { compareVersions, isPrereleaseTag, versionFromTag } from '../../machines/version.ts';
import { Fault, isErrno } from '../../support/fault.ts';
import { writeFileDurably } from '../durable.ts';
import { openLocal, readLocal } from '../local-file.ts';
import { piecesFrom, sumOfPieces } from '../pieces.ts';
import { MAX_METADATA_BYTES } from './conditional.ts';
import { INDEX_NAME, indexSchema, type ReleasesIndex, SIGNATURE_NAME } from './releases-index.ts';

type Entry = ReleasesIndex['releases'][number];

/**
 * Replaces the index whole. What the one before says of a tag, and files can't (when it was
 * published, urgent, a prerelease), stays; so does `latest`. Newest version first. `loose`: files
 * beside the directories of tags, which belong to no release. Throws `Fault`.
 */
export async function writeIndex(
  directory: string,
): Promise<{ file: string; releases: number; passedOver: string[]; loose: string[] }> {
  const file = path.join(directory, INDEX_NAME);
  const there = await readIndex(file);
  const before = there?.index;
  const passedOver: string[] = [];
  const loose: string[] = [];
  const releases: Entry[] = [];
  for (const tag of await namesIn(directory)) {
    const stats = await lstat(path.join(directory, tag));
    if (!stats.isDirectory()) {
      if (tag !== INDEX_NAME && tag !== SIGNATURE_NAME) loose.push(tag);
      continue;
    }
    const known = before?.releases.find((release) => release.tag === tag);
    const assets = await assetsOf(directory, tag, passedOver);
    releases.push({
      tag,
      prerelease: known?.prerelease ?? isPrereleaseTag(tag),
      ...(known?.publishedAt == null ? {} : { publishedAt: known.publishedAt }),
      ...(known?.urgent == null ? {} : { urgent: known.urgent }),
      assets,
    });
  }
  const latest = releases.some(({ tag }) => tag === before?.latest) ? before?.latest : null;
  const index = {
    ...(latest == null ? {} : { latest }),
    releases: releases.toSorted((a, b) => compareTags(b.tag, a.tag)),
  };
  // Never one that the updater would refuse.
  const checked = indexSchema.safeParse(index);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new Fault(
      'INDEX_REFUSED',
      `${directory} can't be listed, since the updater would refuse it (${issue?.path.join('.') || 'index'}: ${issue?.message}): rename or remove what it names`,
    );
  }
  const text = `${JSON.stringify(index, null, 2)}\n`;
  if (Buffer.byteLength(text) > MAX_METADATA_BYTES)
    throw new Fault(
      'INDEX_REFUSED',
      `${directory} can't be listed, since the updater would refuse it (it would have more than ${MAX_METADATA_BYTES} bytes): remove releases that nobody needs`,
    );
  // Unchanged it keeps its time, by which its signature is known to be of it.
  if (text !== there?.text) await writeFileDurably(file, text);
  return { file, releases: releases.length, passedOver, loose };
}

/** Regular files by their names; a link may lead elsewhere on the server, or nowhere. */
async function assetsOf(
  directory: string,
  tag: string,
  passedOver: string[],
): Promise<Entry['assets']> {
  const assets: Entry['assets'] = [];
  for (const name of await namesIn(path.join(directory, tag))) {
    const file = path.join(directory, tag, name);
    if (!(await lstat(file)).isFile()) {
      passedOver.push(path.join(tag, name));
      continue;
    }
    const { handle, sizeBytes: announced } = await openLocal(file);
    const { sizeBytes, sha256 } = await sumOfPieces(piecesFrom(handle, announced));
    assets.push({ name, url: [tag, name].map(encodeURIComponent).join('/'), sizeBytes, sha256 });
  }
  return assets;
}

/** Hidden ones are a tool's own, or half written. */
async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new Fault(
      'FILE_MISSING',
      `${directory} is not a directory that can be read: give the one that holds a directory for each tag`,
      { cause },
    );
  });
  return names.filter((name) => !name.startsWith('.')).sort();
}

/** Null where there is none. One that can't be read is not replaced: it says what files can't. */
async function readIndex(file: string): Promise<{ index: ReleasesIndex; text: string } | null> {
  const stats = await lstat(file).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  });
  if (stats === null) return null;
  try {
    const text = (await readLocal(file)).toString('utf8');
    return { index: indexSchema.parse(JSON.parse(text)), text };
  } catch (cause) {
    throw new Fault(
      'INDEX_REFUSED',
      `${file} is not a list of releases, and is not replaced, since it may say when they were published: correct or remove it`,
      { cause },
    );
  }
}

/** Tags that are no version come last, by their letters. */
function compareTags(a: string, b: string): number {
  const [one, other] = [versionFromTag(a, 'loose'), versionFromTag(b, 'loose')];
  if (one === null || other === null)
    return Number(one !== null) - Number(other !== null) || (a < b ? 1 : -1);
  return compareVersions(one, other, 'loose') || (a < b ? 1 : -1);
}
