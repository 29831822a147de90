/** Facts that no effect and no operator tells: the runtime sees them, in what an earlier updater left and in how the app fares. Pure. */
import type { EffectName } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { isCrashLoop } from '../machines/rules.ts';
import type { OutstandingEffect, State } from './fold.ts';
import type { RuntimeOptions } from './options.ts';

/** An updater that dies in these may die in them for ever. */
const WORK_ON_A_RELEASE = new Set<EffectName>(['download', 'verify', 'extract', 'runHook', 'prepareSwitch']);

/** What the journal says is outstanding, the updater before this one was at when it was ended. */
export function interruptedWork({ effects }: State): Fact | null {
  const work = [...effects.values()].find(({ request }) => WORK_ON_A_RELEASE.has(request.name));
  return work === undefined ? null : { type: 'workInterrupted', effect: work.request.name };
}

/** The probation that the updater before this one was judging when it was ended. */
export function interruptedProbation({ effects }: State): OutstandingEffect | null {
  return [...effects.values()].find(({ request }) => request.name === 'observeProbation') ?? null;
}

/** The app ends again and again, or its files are gone. */
export function crashLoop(
  { snapshot }: State,
  { exitAgesMs, isTreeThere, random }: Pick<RuntimeOptions, 'exitAgesMs' | 'isTreeThere' | 'random'>,
): Fact | null {
  const { context } = snapshot;
  if (context.app !== 'up' || !snapshot.matches('steady')) return null;
  const ages = exitAgesMs();
  if (ages.length === 0) return null;
  const version = context.current?.version ?? null;
  if (context.current !== null && !isTreeThere(context.current.path)) {
    const message = `version ${version} ended, and its files are gone from ${context.current.path}: something outside the updater removed them. They are downloaded again if nothing else can run`;
    return { type: 'appCrashLooped', version, exits: ages.length, code: 'TREE_MISSING', message, jitter: random() };
  }
  if (!isCrashLoop(ages)) return null;
  const message = `version ${version ?? 'unknown'} ended by itself ${ages.length} times in a row: see its own output for the reason`;
  return { type: 'appCrashLooped', version, exits: ages.length, code: 'CRASH_LOOP', message, jitter: random() };
}
