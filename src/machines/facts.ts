/**
 * The facts: what is journaled, past tense. Each type has a schema and a version of its own. A
 * schema only ever grows optional fields; anything else is a new version with an upcast in
 * `upcast`, because old journals replay forever.
 */
import * as z from 'zod';
import {
  conditionsSchema,
  hookNameSchema,
  installedVersionSchema,
  policySchema,
  releaseSchema,
  sha256Schema,
  worldSchema,
} from './model.ts';

const problem = {
  /** Stable and upper case, for machines. */
  code: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
  /** For people: what happened, the likely reason, the remedy. */
  message: z.string(),
};
/** 0 ≤ jitter < 1, drawn by the runtime, so that the machine stays deterministic. */
const jitter = z.number().min(0).lt(1);
const failure = { ...problem, jitter };

const schemas = {
  // The journal's beginning, and what the disk and the environment said later.
  initialized: z.object({
    policy: policySchema,
    world: worldSchema,
    /**
     * The highest version that the trees on disk name: after the loss of a journal nothing older is
     * installed all the same.
     */
    floor: z.string().nullable().optional(),
  }),
  configurationChanged: z.object({ policy: policySchema }),
  appFoundDown: z.object({ world: worldSchema }),
  appFoundUp: z.object({ world: worldSchema }),

  // Looking for a release.
  releaseFound: z.object({ release: releaseSchema }),
  nothingNewer: z.object({}),
  checkFailed: z.object(problem),
  assetsAwaited: z.object({ tag: z.string(), version: z.string(), ...problem }),
  /**
   * Without a version where no release is allowed by the rules; the tag is then the one that the
   * message explains.
   */
  releaseRefused: z.object({ tag: z.string(), version: z.string().optional(), ...problem }),

  // Getting it.
  downloaded: z.object({ path: z.string(), sizeBytes: z.number().int(), sha256: sha256Schema }),
  downloadFailed: z.object(failure),
  verified: z.object({
    checks: z.array(z.string()),
    /** GitHub's id of the repository, where it was told. */
    repositoryId: z.number().int().nullable().optional(),
    /** False where a release calls itself urgent and nothing that was verified says so. */
    urgent: z.boolean().optional(),
  }),
  verificationFailed: z.object(failure),
  installed: z.object({ version: installedVersionSchema }),
  extractionFailed: z.object(failure),

  // Asking first.
  conditionsObserved: conditionsSchema,
  interruptionDeferred: z.object(failure),
  fleetLockAcquired: z.object({}),
  fleetLockRefused: z.object(failure),
  hookSucceeded: z.object({ hook: hookNameSchema, durationMs: z.number() }),
  hookFailed: z.object(failure),

  // The switch.
  switchStarted: z.object({
    from: z.string().nullable(),
    to: z.string(),
    attempt: z.number().int(),
  }),
  preparationFailed: z.object(failure),
  appStopped: z.object({ killed: z.boolean(), durationMs: z.number() }),
  stopFailed: z.object(failure),
  switched: z.object({ to: installedVersionSchema }),
  switchFailed: z.object(failure),
  appStarted: z.object({ version: z.string().nullable(), adopted: z.boolean() }),
  startFailed: z.object(failure),

  // Or the hand-over: beside what runs.
  startedBeside: z.object({ version: z.string(), adopted: z.boolean() }),
  becameReady: z.object({
    version: z.string(),
    /** What said so: READY=1 (sd_notify(3)), the health check, or that it stayed up. */
    by: z.enum(['notification', 'healthCheck', 'uptime']),
  }),
  readinessFailed: z.object(failure),
  otherCopyStopped: z.object({ killed: z.boolean(), durationMs: z.number() }),

  // Trusting it.
  versionBecameHealthy: z.object({ version: z.string() }),
  /** It exited during probation, and is started once more before it is judged. */
  appExitedEarly: z.object({ version: z.string(), ...problem }),
  probationFailed: z.object(failure),
  appCrashLooped: z.object({ version: z.string().nullable(), exits: z.number().int(), ...failure }),
  oldVersionsRemoved: z.object({ names: z.array(z.string()) }),

  // The fleet's lock: no longer needed.
  fleetLockReturned: z.object({}),
  fleetLockReturnFailed: z.object(failure),

  // Time, and what cut it short: the updater was ended in the middle of this effect.
  retryDue: z.object({}),
  workInterrupted: z.object({
    effect: z.string(),
    /**
     * Whether the app outlived the updater: false where the container or the machine ended with it.
     */
    appUp: z.boolean().optional(),
  }),

  // What the operator said.
  updateRequested: z.object({ force: z.boolean().optional() }),
  installRequested: z.object({
    tag: z.string().nullable(),
    file: z.string().nullable(),
    force: z.boolean().optional(),
  }),
  holdReleased: z.object({}),
  restartRequested: z.object({}),
  paused: z.object({}),
  resumed: z.object({}),
  versionApproved: z.object({ version: z.string() }),
  versionDenied: z.object({ version: z.string() }),
  versionRetried: z.object({ version: z.string() }),
  fleetReleaseRequested: z.object({}),
} as const;

export type FactType = keyof typeof schemas;
/** zod gives an empty object the type `Record<string, never>`, which forbids `type` beside it. */
type Body<S extends z.ZodType> = z.infer<S> extends Record<string, never> ? unknown : z.infer<S>;
type Bodies = { [T in FactType]: Body<(typeof schemas)[T]> };
export type Fact = { [T in FactType]: { type: T } & Bodies[T] }[FactType];
export type FactOf<T extends FactType> = Extract<Fact, { type: T }>;

/** A fact with the wall-clock time, in ms, at which it was recorded: what the machine is given. */
export type StampedFact = { [T in FactType]: { type: T; at: number } & Bodies[T] }[FactType];

/** The version under which each type is written now. Bump one together with an upcast. */
const FACT_VERSION = 1;

/** What an operator may put into the inbox. */
export const operatorFactTypes = [
  'updateRequested',
  'installRequested',
  'holdReleased',
  'restartRequested',
  'paused',
  'resumed',
  'versionApproved',
  'versionDenied',
  'versionRetried',
  'fleetReleaseRequested',
] as const satisfies readonly FactType[];
export type OperatorFact = FactOf<(typeof operatorFactTypes)[number]>;

/** A fact that only a newer program can have written. */
export class NewerFactError extends Error {}

/**
 * Reads a fact as written under `version`. Throws `NewerFactError` for an unknown type or version,
 * `ZodError` for a body that does not fit.
 */
export function parseFact(type: string, version: number, body: unknown): Fact {
  if (!Object.hasOwn(schemas, type))
    throw new NewerFactError(`fact ${JSON.stringify(type)} is not known`);
  if (version > FACT_VERSION)
    throw new NewerFactError(
      `fact ${type} has schema version ${version}, and ${FACT_VERSION} is known`,
    );
  const parsed: object = schemas[type as FactType].parse(body);
  return { ...parsed, type } as Fact;
}

/** The schema version and the body to write. */
export function serializeFact(fact: Fact): { version: number; body: string } {
  const { type, ...rest } = fact;
  return { version: FACT_VERSION, body: JSON.stringify(schemas[type].parse(rest)) };
}
