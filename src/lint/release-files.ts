/** A directory of files, taken for one release that was not published yet. */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { openLocal } from '../effects/local-file.ts';
import { piecesFrom, sumOfPieces } from '../effects/pieces.ts';
import { Directory, type Shelf } from '../effects/sources/directory.ts';
import { FileShelf } from '../effects/sources/directory-file.ts';
import { INDEX_NAME, SIGNATURE_NAME } from '../effects/sources/releases-index.ts';
import type { Source } from '../effects/sources/source.ts';
import { isPrereleaseTag } from '../machines/version.ts';
import { Fault } from '../support/fault.ts';

export type ReleaseFile = { name: string; sizeBytes: number; sha256: string };

/**
 * The regular files that would be published, sorted by name; what is hidden is a tool's own. Throws
 * `Fault` `FILE_MISSING`, and where `signal` is aborted meanwhile: files may be huge.
 */
export async function filesOfRelease(
  directory: string,
  signal: AbortSignal | null,
): Promise<ReleaseFile[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new Fault(
      'FILE_MISSING',
      `${directory} is not a directory that can be read: give the one that holds the release's files`,
      { cause },
    );
  });
  const files: ReleaseFile[] = [];
  for (const name of names.sort()) {
    if (name.startsWith('.') || name === INDEX_NAME || name === SIGNATURE_NAME) continue;
    const file = path.join(directory, name);
    if (!(await lstat(file)).isFile()) continue;
    const { handle, sizeBytes: announced } = await openLocal(file);
    const { sizeBytes, sha256 } = await sumOfPieces(piecesFrom(handle, announced), signal);
    files.push({ name, sizeBytes, sha256 });
  }
  return files;
}

/** `tellsDigests`: whether the source that they will be published at tells digests by itself. */
export async function sourceOfFiles(
  directory: string,
  { tag, tellsDigests, signal }: { tag: string; tellsDigests: boolean; signal: AbortSignal },
): Promise<Source> {
  const files = await filesOfRelease(directory, signal);
  if (files.length === 0)
    throw new Fault(
      'FILE_MISSING',
      `${directory} holds no files: give the one that holds a release's files, or write the list of a directory of TAG/files by \`self-update index\``,
    );
  const index = {
    releases: [
      {
        tag,
        prerelease: isPrereleaseTag(tag),
        // Nothing more is awaited, and no minimum age counts.
        publishedAt: '1970-01-01T00:00:00Z',
        assets: files.map(({ name, sizeBytes, sha256 }) => ({
          name,
          url: encodeURIComponent(name),
          sizeBytes,
          sha256: tellsDigests ? sha256 : null,
        })),
      },
    ],
  };
  // Nobody else filled it, and what is shown is redacted as everything is.
  const onDisk = new FileShelf(pathToFileURL(directory).href, () => []);
  const shelf: Shelf = {
    base: onDisk.base,
    identity: onDisk.identity,
    readText: async (name) => (name === INDEX_NAME ? JSON.stringify(index) : null),
    fetch: (...asked) => onDisk.fetch(...asked),
  };
  return new Directory({ shelf, minisignKeys: null });
}
