/**
 * The state as a fold of the journal: the machine's snapshot, the effects that are outstanding and
 * the timers that run. Pure. Live operation and replay both go through `evolve`, so cold start and
 * crash recovery are one path.
 */
import { createActor, initialTransition, type Snapshot, transition } from 'xstate';
import type { JournalRecord } from '../journal/record.ts';
import type { EffectRequest } from '../machines/effects.ts';
import type { FactType, StampedFact } from '../machines/facts.ts';
import { MAX_LOCK_PAUSE_MS, remainingMs } from '../machines/pacing.ts';
import { owesFleetLock } from '../machines/rules.ts';
import { type UpdaterSnapshot, updaterMachine } from '../machines/updater.ts';
import { lockAtHand } from '../machines/vocabulary.ts';
import { checkInput } from '../machines/wanted.ts';

export type OutstandingEffect = { id: string; sinceSeq: number; request: EffectRequest };
/** `dueAt` is wall clock; `delayMs` caps the wait when the clock has jumped. */
export type Timer = { id: string; type: FactType; dueAt: number; delayMs: number };
export type State = {
  snapshot: UpdaterSnapshot;
  effects: ReadonlyMap<string, OutstandingEffect>;
  timers: ReadonlyMap<string, Timer>;
};

/**
 * XState's own action types, as `transition()` returns them for `invoke`, `raise` with a delay, and
 * `cancel`.
 */
type ExecutableAction = { type: string; params?: unknown };

/** The first record. Throws if that is not `initialized`. */
export function begin(record: JournalRecord): State {
  if (record.fact.type !== 'initialized')
    throw new Error(`a journal begins with initialized, not ${record.fact.type}`);
  const { policy, world, floor = null } = record.fact;
  const input = { policy, world, floor, at: record.at };
  const [snapshot, actions] = initialTransition(updaterMachine, input);
  return interpret({ snapshot, effects: new Map(), timers: new Map() }, actions, record);
}

/**
 * The state after one more fact. `snapshot` is the very same object if the machine does not handle
 * the fact here.
 */
export function evolve(state: State, record: JournalRecord): State {
  const event = { ...record.fact, at: record.at } as StampedFact;
  const [snapshot, actions] = transition(updaterMachine, state.snapshot, event);
  if (snapshot === state.snapshot && !resolves(state, record)) return state;
  return interpret({ ...state, snapshot }, actions, record);
}

function resolves({ effects }: State, { effect }: JournalRecord): boolean {
  return effect !== null && effects.has(effect);
}

/**
 * The id of a poll, which only looks: none is begun or ended by a fact, so one that finds nothing
 * leaves no trace.
 */
const POLL = 'poll';
export const LOCK_RETURN = 'lockReturn';

/**
 * What is to run: what facts have begun and not ended, and in a resting state, once they are due,
 * the poll and the return of the fleet's lock.
 */
export function outstanding(
  state: State,
  { isPollDue, now }: { isPollDue: boolean; now: number },
): ReadonlyMap<string, OutstandingEffect> {
  const { snapshot, effects } = state;
  const all = new Map(effects);
  if (isPollDue && isResting(state))
    all.set(POLL, {
      id: POLL,
      sinceSeq: 0,
      request: { name: 'check', input: checkInput(snapshot.context) },
    });
  if (untilLockReturnMs(state, now) === 0)
    all.set(LOCK_RETURN, {
      id: LOCK_RETURN,
      sinceSeq: 0,
      request: { name: 'returnFleetLock', input: lockAtHand(snapshot.context) },
    });
  return all;
}

/** When the fleet's lock is to be given back, wall clock; null while there is none to give. */
export function lockReturnAt(state: State): number | null {
  const { snapshot } = state;
  const { context } = snapshot;
  const isSettled = snapshot.matches({ steady: { running: 'settled' } });
  if (!isResting(state) || !owesFleetLock(context, isSettled)) return null;
  return context.fleetLock?.returns?.nextAt ?? 0;
}

/**
 * How long until then. A clock that was set back since the last try says nothing about the next one:
 * it is due.
 */
export function untilLockReturnMs(state: State, now: number): number | null {
  const returnAt = lockReturnAt(state);
  if (returnAt === null) return null;
  const leftMs = Math.max(returnAt - now, 0);
  return leftMs > 2 * MAX_LOCK_PAUSE_MS ? 0 : leftMs;
}

/** Where the updater waits for time, an operator or GitHub: it polls from there. */
export function isResting({ snapshot }: Pick<State, 'snapshot'>): boolean {
  return snapshot.hasTag('resting');
}

export function isPoll({ id }: OutstandingEffect): boolean {
  return id === POLL;
}

export function replay(records: Iterable<JournalRecord>, from: State | null = null): State | null {
  let state = from;
  for (const record of records) state = state === null ? begin(record) : evolve(state, record);
  return state;
}

function interpret(
  state: State,
  actions: readonly ExecutableAction[],
  record: JournalRecord,
): State {
  const effects = new Map(state.effects);
  const timers = new Map(state.timers);
  if (record.effect !== null) effects.delete(record.effect);
  if (record.fact.type === 'retryDue') timers.delete('retry');
  for (const action of actions) {
    const params = action.params as never;
    switch (action.type) {
      case 'xstate.spawnChild': {
        const { id, src, input } = params as { id: string; src: string; input: unknown };
        effects.set(id, {
          id,
          sinceSeq: record.seq,
          request: { name: src, input } as EffectRequest,
        });
        break;
      }
      case 'xstate.stopChild':
        effects.delete((params as { id: string }).id);
        break;
      case 'xstate.raise': {
        const { id, delay, event } = params as {
          id: string;
          delay: number;
          event: { type: FactType };
        };
        timers.set(id, { id, type: event.type, dueAt: record.at + delay, delayMs: delay });
        break;
      }
      case 'xstate.cancel':
        timers.delete((params as { sendId: string }).sendId);
        break;
      default:
        throw new Error(
          `the machine asked for an action that the runtime does not know: ${action.type}`,
        );
    }
  }
  return { snapshot: state.snapshot, effects, timers };
}

/** Clocks are corrected by seconds all the time. */
const CLOCK_SLACK_MS = 60_000;

/**
 * A clock that was set back since a timer was set says nothing about what is left of it: it is due.
 */
export function untilDueMs({ dueAt, delayMs }: Timer, now: number): number {
  return now < dueAt - delayMs - CLOCK_SLACK_MS ? 0 : remainingMs(dueAt, now, delayMs);
}

export function withoutTimer(state: State, timer: string): State {
  return { ...state, timers: new Map([...state.timers].filter(([id]) => id !== timer)) };
}

/**
 * Bumped whenever the machine's context or states change shape: an older checkpoint is then passed
 * over, and all facts are folded.
 */
const CHECKPOINT_FORMAT = 9;

/** The state as JSON, for a checkpoint. */
export function serializeState(state: State): string {
  const snapshot = updaterMachine.getPersistedSnapshot(state.snapshot as never);
  return JSON.stringify({
    format: CHECKPOINT_FORMAT,
    snapshot,
    effects: [...state.effects.values()],
    timers: [...state.timers.values()],
  });
}

/**
 * The state from `serializeState`. Throws if another version wrote it. An actor that is never
 * started only restores: it runs nothing.
 */
export function deserializeState(text: string): State {
  const parsed = JSON.parse(text) as {
    format: number;
    snapshot: Snapshot<unknown>;
    effects: OutstandingEffect[];
    timers: Timer[];
  };
  if (parsed.format !== CHECKPOINT_FORMAT) throw new Error(`checkpoint of format ${parsed.format}`);
  const { snapshot, effects, timers } = parsed;
  return {
    snapshot: createActor(updaterMachine, {
      snapshot,
      input: undefined as never,
    }).getSnapshot() as UpdaterSnapshot,
    effects: new Map(effects.map((effect) => [effect.id, effect])),
    timers: new Map(timers.map((timer) => [timer.id, timer])),
  };
}
