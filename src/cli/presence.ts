/**
 * Who is the updater of this directory. Every command asks that before it does anything, and it is
 * answered here alone. Two locks tell (ADR 3 and 8): whoever works holds SQLite's, and a
 * container's loop holds flock(2)'s as long as it lives.
 */
import {
  isLoopElsewhere,
  isLoopHere,
  LOOP,
  type Loop,
  wakeLoop,
} from '../effects/supervisor/container.ts';
import { stateDir } from '../effects/trees.ts';
import { acquireLock, isLocked, type Lock } from '../journal/lock.ts';
import { Fault } from '../support/fault.ts';
import { usesRunit } from './compose.ts';
import type { Parts } from './parts.ts';

type Where = Pick<Parts, 'config' | 'places'>;

/**
 * `none`: nobody; whoever gives a command is the updater for as long as it takes. `atWork`: a
 * process that holds the lock, resident or in one of its runs; it takes commands from the inbox
 * within milliseconds. `asleep`: this container's loop between two runs; a word wakes it.
 * `elsewhere`: the loop of another container, which can't be woken from here.
 */
export type Presence = 'none' | 'atWork' | 'asleep' | 'elsewhere';

export async function presenceOf({ config, places }: Where, loop: Loop = LOOP): Promise<Presence> {
  if (isLocked(stateDir(places))) return 'atWork';
  if (usesRunit(config) && isLoopHere(loop)) return 'asleep';
  return (await isLoopElsewhere(stateDir(places), loop)) ? 'elsewhere' : 'none';
}

/** Only whether somebody is at work: `status --watch` looks twice a second. */
export function isAtWork({ places }: Pick<Where, 'places'>): boolean {
  return isLocked(stateDir(places));
}

/**
 * Makes this process the updater, until it releases the lock. Null where another one is, which
 * takes commands from the inbox. Throws `Fault` `LOCKED` beside the loop of another container, and
 * `NO_LOCKS` where nobody could be kept away.
 */
export async function becomeUpdater(
  parts: Pick<Parts, 'config' | 'places' | 'log'>,
  loop: Loop = LOOP,
): Promise<Lock | null> {
  // Its loop is the updater of this container, also in the moment between two runs when nobody
  // holds the lock.
  if (usesRunit(parts.config) && isLoopHere(loop)) return null;
  await refuseBesideLoop(parts, loop);
  try {
    return acquireLock(stateDir(parts.places), parts.log.warn);
  } catch (error) {
    if (error instanceof Fault && error.code === 'LOCKED') return null;
    throw error;
  }
}

/**
 * A loop that sleeps between two runs holds the directory all the same. Its own runs are not
 * refused.
 */
export async function refuseBesideLoop(
  { places }: Pick<Where, 'places'>,
  loop: Loop = LOOP,
): Promise<void> {
  if (!(await isLoopElsewhere(stateDir(places), loop))) return;
  throw new Fault(
    'LOCKED',
    `another updater follows ${places.root}, asleep or running. Stop it, or give this one its own UPDATE_DIR; \`self-update update\` in its container wakes it`,
  );
}

/**
 * Has this container's loop look into the inbox. An updater at work watches it, and needs no word.
 */
export function wakeUpdater({ config }: Pick<Where, 'config'>, loop: Loop = LOOP): void {
  if (usesRunit(config)) wakeLoop(loop);
}

/** runsv starts a loop that ended again, after a second; on a busy machine it takes longer. */
const RETURNS_WITHIN_MS = 10_000;

/**
 * Whether nobody is at work, and nobody will be: at once where nothing restarts an updater, and in
 * a container once its loop stays away.
 */
export class Absence {
  readonly #parts: Where;
  readonly #loop: Loop;
  readonly #returnsWithinMs: number;
  #since: number | null = null;

  constructor(parts: Where, loop: Loop = LOOP, returnsWithinMs: number = RETURNS_WITHIN_MS) {
    this.#parts = parts;
    this.#loop = loop;
    this.#returnsWithinMs = returnsWithinMs;
  }

  async look(): Promise<boolean> {
    if ((await presenceOf(this.#parts, this.#loop)) !== 'none') {
      this.#since = null;
      return false;
    }
    this.#since ??= performance.now();
    return (
      !usesRunit(this.#parts.config) || performance.now() - this.#since >= this.#returnsWithinMs
    );
  }
}
