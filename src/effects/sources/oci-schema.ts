/**
 * What a registry answers: tags, manifests and referrers, of the OCI Image Specification v1.1 and
 * the OCI Distribution Specification v1.1; and how a manifest becomes a release. Whoever may push
 * may be hostile: everything is bounded, and a file's name is never a path.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { Subject } from '../../trust/attestation.ts';
import { printable } from '../github/schema.ts';

/** As many as a release of GitHub's may carry. */
const MAX_LAYERS = 1000;
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
/** Images of all kinds too: what is not asked for is answered with 404, as if it did not exist. */
export const ACCEPTED_TYPES = [
  MANIFEST_TYPE,
  INDEX_TYPE,
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');
/** `application/vnd.dev.sigstore.bundle.v0.3+json`, and the older and newer ones. */
const BUNDLE_TYPE = /^application\/vnd\.dev\.sigstore\.bundle\b/;
/** A tag, by the specification's grammar. */
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** "Referrers Tag Schema", and cosign's like it: `sha256-….sig`. */
const REFERRERS_TAG = /^sha\d+-[0-9a-f]{32,}/;

const TITLE = 'org.opencontainers.image.title';
const CREATED = 'org.opencontainers.image.created';
/** What `oras push` packs a directory with. */
const UNPACK = 'io.deis.oras.content.unpack';

/** A question whose answer is a text. */
export type TextAsked = { url: string; accept: string; strikes: number; signal: AbortSignal };

const annotations = z
  .object({
    [TITLE]: z.string().max(4096).optional(),
    [CREATED]: z.unknown().optional(),
    [UNPACK]: z.unknown().optional(),
  })
  .nullish();
const digest = z.string().max(255);
const descriptor = z.object({
  mediaType: z.string().max(255),
  digest,
  size: z.number().int().nonnegative(),
  annotations,
});

export const tagPage = z.object({ tags: z.array(z.string()).nullish() });

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  // An image index: also beside layers, since another reader could take it for one.
  manifests: z.unknown().optional(),
  layers: z.array(descriptor).max(MAX_LAYERS).nullish(),
  annotations,
});
export type Manifest = z.infer<typeof manifestSchema>;

/** What refers to a manifest, as the API or the tag of older registries lists it. */
export const referrersSchema = z.object({
  manifests: z
    .array(z.object({ digest, artifactType: z.string().max(255).nullish() }))
    .max(MAX_LAYERS),
});

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Not one of those that stand for what refers to a manifest. */
export function isReleaseTag(text: string): boolean {
  return isTag(text) && !REFERRERS_TAG.test(text);
}

export function isBundleType(mediaType: string | null | undefined): boolean {
  return BUNDLE_TYPE.test(mediaType ?? '');
}

/** Lower-case hex; null for other algorithms. */
export function sha256Of(digest: string): string | null {
  return /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1] ?? null;
}

export function digestOf(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** `where`: the repository and its tag or digest, for errors. */
export function parseManifest(text: string, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = null;
  }
  const { success, data, error } = manifestSchema.safeParse(json);
  if (success) return data;
  const [issue] = error.issues;
  throw new Fault(
    'ANSWER_MALFORMED',
    `${where} has no manifest that can be read (${issue?.path.join('.') || 'answer'}: ${issue?.message}): push the files again with \`oras push\``,
  );
}

/** `blobs`: the address of blobs, with a slash at its end. Throws `Fault`. */
export function releaseOf(
  manifest: Manifest,
  { tag, where, blobs }: { tag: string; where: string; blobs: string },
): PublishedRelease {
  const titled = (manifest.layers ?? []).filter((layer) => titleOf(layer) !== undefined);
  if (manifest.manifests !== undefined || titled.length === 0)
    throw new Fault(
      'IMAGE_NOT_FILES',
      `${where} is a container image, not files: push the files themselves, under a repository or tags of their own, with \`oras push\``,
    );
  const assets = titled.map((layer) => {
    assertNamed(layer, where);
    const name = nameOf(layer);
    const sha256 = sha256Of(layer.digest);
    if (sha256 === null)
      throw new Fault(
        'DIGEST_UNSUPPORTED',
        `${where} names ${name} by ${layer.digest.slice(0, 40)}, and only sha256 is verified: push it again with a sha256 digest, as \`oras push\` does`,
      );
    const url = `${blobs}${layer.digest}`;
    const id = Number.parseInt(sha256.slice(0, 12), 16);
    return {
      id,
      name,
      url,
      browserUrl: url,
      sizeBytes: layer.size,
      digest: sha256,
      uploaded: true,
    };
  });
  const names = assets.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw malformed(where, `has two files that are called ${twice}`, 'give each a name of its own');
  const created = z.iso.datetime({ offset: true }).max(64);
  const { data: publishedAt = null } = created.safeParse(manifest.annotations?.[CREATED]);
  return { tag, draft: false, prerelease: false, publishedAt, urgent: false, assets };
}

/**
 * Its files by name and SHA-256 (hex), as a release would have them: an image's layers have no
 * names, and an index is another document to other readers.
 */
export function filesIn({ layers, manifests }: Manifest): Subject[] {
  if (manifests !== undefined) return [];
  return (layers ?? []).flatMap((layer) => {
    const sha256 = sha256Of(layer.digest);
    return sha256 === null || !isNamed(layer) ? [] : [{ sha256, name: nameOf(layer) }];
  });
}

type Layer = z.infer<typeof descriptor>;

function titleOf({ annotations }: Layer): string | undefined {
  return annotations?.[TITLE];
}

/**
 * `oras push ./dist/app.tar.gz` titles it with its path, and a directory with the name of what it is
 * packed into an archive from.
 */
function nameOf(layer: Layer): string {
  const name = path.posix.basename(titleOf(layer) ?? '');
  return layer.annotations?.[UNPACK] === 'true' ? `${name}.tar.gz` : name;
}

function assertNamed(layer: Layer, where: string): void {
  if (isNamed(layer)) return;
  throw malformed(
    where,
    `has a file that is called ${JSON.stringify(titleOf(layer)?.slice(0, 80))}`,
    'push it from its own directory, under a plain name',
  );
}

/** Path traversal: a name that leads anywhere was meant to. */
function isNamed(layer: Layer): boolean {
  const title = titleOf(layer) ?? '';
  const { success } = printable.min(1).safeParse(title);
  return success && !/^\/|\\|(?:^|\/)\.\.(?:\/|$)/.test(title) && !/(?:^|\/)\.?$/.test(title);
}

function malformed(where: string, what: string, remedy: string): Fault {
  return new Fault('ANSWER_MALFORMED', `${where} ${what}: ${remedy}`);
}
