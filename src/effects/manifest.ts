/**
 * What a tree is said to be: written last, so that a tree with one is complete. It is read in two
 * parts, since a start needs to know which versions there are, and not each of their hundred
 * thousand files.
 *
 * One line of JSON, as JSON.stringify writes it:
 * `{"schema":1,"version":…,"release":…,"verifiedUnder":…,"entries":[{"path":…},{"path":…}]}`.
 * Neither separator can be part of a string, where a quotation mark has a backslash before it.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import * as z from 'zod';
import {
  fingerprint,
  installedVersionSchema,
  type Release,
  releaseSchema,
} from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { refused } from './archive/rules.ts';
import { writeFileDurably } from './durable.ts';

export const MANIFEST_NAME = '.self-update-manifest.json';

const entrySchema = z.object({
  path: z.string(),
  type: z.enum(['file', 'directory', 'link']),
  mode: z.number().int(),
  sizeBytes: z.number().int(),
  /** sha256 of a file, target of a link, empty for a directory. */
  content: z.string(),
});
export type TreeEntry = z.infer<typeof entrySchema>;

const manifestSchema = z.object({
  schema: z.literal(1),
  version: installedVersionSchema.omit({ path: true }),
  release: releaseSchema,
  /** The rules under which it was verified, as `Places.rules`. */
  verifiedUnder: z.string().default(''),
});
/** All but the entries. */
export type Manifest = z.infer<typeof manifestSchema>;

const ENTRIES = '"entries":[';
const ENTRY = '{"path":';
const BETWEEN = `},${ENTRY}`;
/** Release notes are no part of it: what comes before the entries is a few kB. */
const MAX_HEAD_CHARACTERS = 1024 * 1024;
/** A name and a link's target, each character escaped. */
const MAX_ENTRY_CHARACTERS = 64 * 1024;
const PIECE_BYTES = 64 * 1024;
const MAX_TAG_SHOWN = 100;
const ENTRIES_A_PIECE = 500;

/** The manifest of a complete tree; null if there is none or it is invalid. */
export async function readManifest(directory: string): Promise<Manifest | null> {
  try {
    const { head } = await headOf(textOf(directory));
    const parsed = manifestSchema.safeParse(JSON.parse(`${head}${ENTRIES}]}`));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/**
 * The head as it is written; what `readManifest` would not take is refused here, since its tree
 * would be switched to and then not be found. Throws `Fault` `ARCHIVE_REFUSED`.
 */
function headFor({ schema, version, release, verifiedUnder }: Manifest): string {
  const head = `${JSON.stringify({ schema, version, release, verifiedUnder }).slice(0, -1)},`;
  const read = manifestSchema.safeParse(JSON.parse(`${head}${ENTRIES}]}`));
  if (read.success && head.length + ENTRIES.length <= MAX_HEAD_CHARACTERS) return head;
  const [issue] = read.success ? [] : read.error.issues;
  const reason =
    issue === undefined
      ? `it has ${head.length} characters`
      : `${issue.path.join('.')}: ${issue.message}`;
  throw new Fault(
    'ARCHIVE_REFUSED',
    `the description of ${version.tag.slice(0, MAX_TAG_SHOWN)} could not be read back (${reason}): its names or addresses are too long, or the server is not what it should be. Nothing was installed`,
  );
}

/**
 * Before an app is stopped for it: throws as `writeManifest` would. `sha256` may not be known yet.
 */
export function assertDescribable(release: Release, verifiedUnder: string): void {
  const { repository, version, tag, asset } = release;
  const digest = asset.digest ?? '0'.repeat(64);
  headFor({
    schema: 1,
    version: { repository, version, tag, digest, fingerprint: fingerprint(release) },
    release,
    verifiedUnder,
  });
}

/** One after the other. Throws where what is written there is no manifest. */
export async function* readEntries(directory: string): AsyncGenerator<TreeEntry> {
  const pieces = textOf(directory);
  let { rest } = await headOf(pieces, { goesOn: true });
  try {
    if (rest.startsWith(']')) return;
    for (;;) {
      const parts = rest.split(BETWEEN).map((part, at) => (at === 0 ? part : `${ENTRY}${part}`));
      rest = parts.pop() ?? '';
      for (const part of parts) yield entryOf(`${part}}`);
      if (rest.length > MAX_ENTRY_CHARACTERS + PIECE_BYTES)
        throw new Error('its manifest has an endless entry');
      const { done, value } = await pieces.next();
      if (done) break;
      rest += value;
    }
    if (!rest.endsWith('}]}')) throw new Error('its manifest is truncated');
    yield entryOf(rest.slice(0, -2));
  } finally {
    await pieces.return(undefined);
  }
}

function entryOf(text: string): TreeEntry {
  return entrySchema.parse(JSON.parse(text));
}

/** What stands before the entries. The text is closed, unless it goes on. */
async function headOf(
  pieces: AsyncGenerator<string>,
  { goesOn = false } = {},
): Promise<{ head: string; rest: string }> {
  let text = '';
  try {
    for (;;) {
      const at = text.indexOf(ENTRIES);
      if (at >= 0) return { head: text.slice(0, at), rest: text.slice(at + ENTRIES.length) };
      const { done, value } = await pieces.next();
      if (done || text.length > MAX_HEAD_CHARACTERS) throw new Error('it is not a manifest');
      text += value;
    }
  } finally {
    if (!goesOn) await pieces.return(undefined);
  }
}

async function* textOf(directory: string): AsyncGenerator<string> {
  // The app may have write access, where all is one user: neither a link nor a FIFO in its place is
  // gone into.
  const handle = await open(
    path.join(directory, MANIFEST_NAME),
    constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW,
  );
  try {
    if (!(await handle.stat()).isFile()) throw new Error('its manifest is not a file');
    const piece = Buffer.alloc(PIECE_BYTES);
    const decoder = new StringDecoder('utf8');
    for (;;) {
      const { bytesRead } = await handle.read(piece, 0, PIECE_BYTES, null);
      if (bytesRead === 0) return;
      yield decoder.write(piece.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

export async function writeManifest(
  directory: string,
  manifest: Manifest,
  entries: Iterable<TreeEntry> | AsyncIterable<TreeEntry>,
): Promise<void> {
  await writeFileDurably(
    path.join(directory, MANIFEST_NAME),
    textFor(headFor(manifest), entries),
    0o444,
  );
}

/** Piece by piece: as one string it is as large again as all names. */
async function* textFor(
  head: string,
  entries: Iterable<TreeEntry> | AsyncIterable<TreeEntry>,
): AsyncGenerator<string> {
  yield `${head}${ENTRIES}`;
  let piece: string[] = [];
  let isFirst = true;
  const flush = () => {
    const text = `${isFirst ? '' : ','}${piece.join(',')}`;
    isFirst = false;
    piece = [];
    return text;
  };
  for await (const { path: name, type, mode, sizeBytes, content } of entries) {
    const text = JSON.stringify(entrySchema.parse({ path: name, type, mode, sizeBytes, content }));
    // The reader goes by `{"path":` for where an entry begins.
    if (text.length > MAX_ENTRY_CHARACTERS || !text.startsWith(ENTRY))
      throw refused(`${JSON.stringify(name.slice(0, 100))} is too long to be described`);
    piece.push(text);
    if (piece.length === ENTRIES_A_PIECE) yield flush();
  }
  if (piece.length > 0) yield flush();
  yield ']}';
}
