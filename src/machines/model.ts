/**
 * The words of the domain, as data. Everything here crosses the journal, so it is plain JSON with a
 * zod schema; times are wall-clock milliseconds since the Unix epoch, sizes are bytes, digests are
 * lower-case hex sha256.
 */
import * as z from 'zod';

/** Lower-case hexadecimal sha256, without a prefix. */
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/**
 * A file attached to a release. `digest` is what its source says, or null where it says nothing:
 * GitHub computes it at upload since June 2025.
 */
export const assetSchema = z.object({
  id: z.number().int().nonnegative(),
  name: z.string().min(1).max(255),
  /**
   * The API address; `GET` with `Accept: application/octet-stream` answers the bytes or a redirect.
   */
  url: z.string(),
  /** The public address, usable without a token. */
  browserUrl: z.string(),
  sizeBytes: z.number().int().nonnegative(),
  digest: sha256Schema.nullable(),
});
export type Asset = z.infer<typeof assetSchema>;

/** A release that was chosen: one version, one asset for this platform, and where its sums are. */
export const releaseSchema = z.object({
  repository: z.string(),
  tag: z.string().min(1).max(255),
  version: z.string().min(1),
  publishedAt: z.string().nullable(),
  prerelease: z.boolean(),
  asset: assetSchema,
  /** A `checksums.txt`, `SHA256SUMS` or `<asset>.sha256` of the same release. */
  checksums: assetSchema.nullable(),
  /**
   * Signatures and attestations that came with it, each over the asset or over the file of sums.
   */
  signatures: z
    .array(
      z.object({
        kind: z.enum(['minisign', 'attestation']),
        over: z.enum(['asset', 'sums']),
        asset: assetSchema,
      }),
    )
    .default([]),
  /**
   * Its maintainer says that it can't wait: a line `urgent` in its notes, or an asset of that name.
   */
  urgent: z.boolean().default(false),
  /**
   * Id of the minisign key that signed the list it came from, which then vouches for the digest of
   * the asset. Not there where no such list was verified.
   */
  indexKey: z.string().optional(),
  /** Address of the source whose number its asset has; not there for GitHub. */
  source: z.string().optional(),
  /**
   * `file`: the operator named a local archive; `baked`: the tree of the image. `asset.url` is then
   * an absolute path.
   */
  origin: z.enum(['github', 'file', 'baked']),
});
export type Release = z.infer<typeof releaseSchema>;

/**
 * A complete tree on disk. `path` is absolute; `digest` is the archive's sha256, null for a baked
 * tree; `fingerprint` and `source` are those of the release it came from.
 */
export const installedVersionSchema = z.object({
  repository: z.string(),
  version: z.string().min(1),
  tag: z.string().min(1),
  digest: sha256Schema.nullable(),
  fingerprint: z.string().nullable(),
  path: z.string().min(1),
  source: z.string().optional(),
});
export type InstalledVersion = z.infer<typeof installedVersionSchema>;

/**
 * What the disk says: links are resolved, and null where there is none or its tree is not complete.
 */
export const worldSchema = z.object({
  baked: installedVersionSchema.nullable(),
  current: installedVersionSchema.nullable(),
  lastGood: installedVersionSchema.nullable(),
});
export type World = z.infer<typeof worldSchema>;

/** What a download must show before it is unpacked. */
export const verifyConditionSchema = z.enum(['digest', 'minisign', 'attestation']);
export type VerifyCondition = z.infer<typeof verifyConditionSchema>;

export const strategySchema = z.enum(['kill-then-download', 'download-then-kill', 'hand-over']);
export const versioningSchema = z.enum(['semver', 'loose']);
export type Versioning = z.infer<typeof versioningSchema>;

/**
 * When a running app may be interrupted, in local time. Minutes count from midnight; an end at or
 * before its start is on the next day.
 */
export const windowSchema = z.object({
  /** As the operator wrote it. */
  text: z.string(),
  timeZone: z.string(),
  /** 1 is Monday, 7 is Sunday. */
  spans: z.array(
    z.object({
      days: z.array(z.number().int().min(1).max(7)),
      startMinute: z.number().int(),
      endMinute: z.number().int(),
    }),
  ),
});
export type Window = z.infer<typeof windowSchema>;

export const hookNameSchema = z.enum(['preStop', 'preStart', 'postUpdate']);
export type HookName = z.infer<typeof hookNameSchema>;

/** `url`: without user, password and query, since it is shown. */
const followedSourceSchema = z.object({ name: z.string(), url: z.string() });
export type FollowedSource = z.infer<typeof followedSourceSchema>;

/**
 * The operator's rules, as far as the machine follows them. Part of the journal's first fact. What
 * later versions added has a default.
 */
export const policySchema = z.object({
  repository: z.string(),
  strategy: strategySchema,
  versioning: versioningSchema,
  range: z.string(),
  prerelease: z.boolean(),
  tagPrefix: z.string(),
  tag: z.string().nullable(),
  assetGlob: z.string().nullable(),
  platform: z.object({ os: z.string(), arch: z.string(), libc: z.string().nullable() }),
  requireDigest: z.boolean(),
  rollback: z.enum(['auto', 'manual']),
  /** Tries at one release before it is given up. */
  maxAttempts: z.number().int().positive(),
  /** Pause after the first failure; it doubles with each further one. */
  retryBaseMs: z.number().int().positive(),
  /** How long a version is watched after its start before it is trusted. */
  probationMs: z.number().int().nonnegative(),
  /** Null: always. */
  window: windowSchema.nullable().default(null),
  /** A release that was published less than this ago is not run yet. */
  minAgeMs: z.number().int().nonnegative().default(0),
  /** Whether each version needs the operator's word. */
  approval: z.boolean().default(false),
  /** Whether a release may call itself urgent, and go past window and minimum age. */
  urgentAllowed: z.boolean().default(false),
  /** Whether its word for that has to be signed like the rest. */
  urgentNeedsProof: z.boolean().default(false),
  /** Versions that are not run, whatever the journal says. */
  denied: z.array(z.string()).default([]),
  /**
   * Conditions beside the digest, so that a release whose signature is still being uploaded is
   * waited for.
   */
  requireMinisign: z.boolean().default(false),
  hooks: z
    .object({ preStop: z.boolean(), preStart: z.boolean(), postUpdate: z.boolean() })
    .default({ preStop: false, preStart: false, postUpdate: false }),
  /** The sockets that are held for the app, and what has it take them; empty where none is. */
  held: z.string().default(''),
  /** Who asks for the fleet's lock (UPDATE_FLEET_LOCK_URL), and in which group; null: nobody. */
  fleet: z
    .object({ id: z.string(), group: z.string(), keepsOnFailure: z.boolean() })
    .nullable()
    .default(null),
  /**
   * A release reaches this container at its place within so long after the publication. `wariness`:
   * the place, 0 to 1, where the operator sets it.
   */
  rollout: z
    .object({ id: z.string(), periodMs: z.number().positive(), wariness: z.number().nullable() })
    .nullable()
    .default(null),
  /** Where releases come from, for people; not there for GitHub. */
  source: followedSourceSchema.optional(),
});
export type Policy = z.infer<typeof policySchema>;

/** A version that is not to be run. `fingerprint` null means every asset under that version. */
export const denialSchema = z.object({
  version: z.string(),
  fingerprint: z.string().nullable(),
  code: z.string(),
  reason: z.string(),
  at: z.number(),
});
export type Denial = z.infer<typeof denialSchema>;

/**
 * The operator's word for a version: `fingerprint` null means whatever bytes it turns out to have.
 */
export type Approval = { version: string; fingerprint: string | null };

/**
 * Why a running app is not interrupted now. `until`: when that is looked at again; null where
 * nobody knows.
 */
export type Inhibitor = {
  reason:
    | 'denied'
    | 'paused'
    | 'held'
    | 'approval'
    | 'address'
    | 'minAge'
    | 'rollout'
    | 'window'
    | 'busy'
    | 'hook'
    | 'fleet';
  until: number | null;
};

/** What the outside says about the moment: the calendar, and the app. */
export const conditionsSchema = z.object({
  /** Null where no window is set. `changesAt`: when it opens, or closes; null for never. */
  window: z.object({ isOpen: z.boolean(), changesAt: z.number().nullable() }).nullable(),
  /** Null: the app does not mind. `since`: the age of its lock. */
  busy: z.object({ since: z.number() }).nullable(),
});
export type Conditions = z.infer<typeof conditionsSchema>;

/** What is shown as `lastError`. */
export type Problem = { code: string; message: string; at: number };

/**
 * What identifies the bytes of a release: its digest, or the asset's id, which changes at every
 * upload.
 */
export function fingerprint(release: Release): string {
  return release.asset.digest ?? `asset:${release.asset.id}`;
}

/**
 * Whether a release offers the bytes that were installed. Unknown where another source tells them in
 * another way: by a digest, or by an id of its own.
 */
export function compareBytes(
  { digest, fingerprint: installed, source }: InstalledVersion,
  release: Release,
): 'same' | 'other' | 'unknown' {
  if (installed === null || installed === fingerprint(release)) return 'same';
  if (release.asset.digest !== null) return digest === release.asset.digest ? 'same' : 'other';
  return installed.startsWith('asset:') && source === release.source ? 'other' : 'unknown';
}
