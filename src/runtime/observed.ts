/**
 * Facts that no effect and no operator tells: the runtime sees them, in what an earlier updater
 * left and in how the app fares.
 */
import type { EffectName } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { cutShortTooOften, isCrashLoop } from '../machines/rules.ts';
import type { State } from './fold.ts';
import type { RuntimeOptions } from './options.ts';

/** An updater that dies in these may die in them for ever. */
const WORK_ON_A_RELEASE = new Set<EffectName>([
  'download',
  'verify',
  'extract',
  'runHook',
  'prepareSwitch',
  'startBeside',
  'observeReadiness',
]);

/** Takes facts, and has the state that follows from them. */
type Queue = { readonly state: State; dispatch(fact: Fact, meta?: { effect?: string }): boolean };
type Observations = Pick<RuntimeOptions, 'policy' | 'observeWorld' | 'observeApp' | 'random'>;

/** The world and the configuration at a start. Tells whether the app is up. */
export async function tellWhatIsSeen(
  queue: Queue,
  { policy, observeWorld, observeApp, random }: Observations,
): Promise<boolean> {
  const handsOver = queue.state.snapshot.matches('handingOver');
  const [world, appIsUp] = [await observeWorld(), await observeApp(handsOver)];
  if (JSON.stringify(policy) !== JSON.stringify(queue.state.snapshot.context.policy))
    queue.dispatch({ type: 'configurationChanged', policy });
  tellCutShort(queue, appIsUp, random);
  queue.dispatch({ type: appIsUp ? 'appFoundUp' : 'appFoundDown', world });
  return appIsUp;
}

/** What the journal says is outstanding, the updater before this one was at when it was ended. */
export function tellInterruption(queue: Queue): void {
  const work = [...queue.state.effects.values()].find(({ request }) =>
    WORK_ON_A_RELEASE.has(request.name),
  );
  if (work !== undefined) queue.dispatch({ type: 'workInterrupted', effect: work.request.name });
}

/**
 * Likewise of a version on probation: one that gets its judge killed has failed. What was counted
 * says so, before anything else is done.
 */
function tellCutShort(queue: Queue, appUp: boolean, random: () => number): void {
  const judging = [...queue.state.effects.values()].find(
    ({ request }) => request.name === 'observeProbation',
  );
  if (judging === undefined) return;
  queue.dispatch({ type: 'workInterrupted', effect: judging.request.name, appUp });
  const failure = cutShortTooOften(queue.state.snapshot.context);
  if (failure !== null)
    queue.dispatch(
      { type: 'probationFailed', ...failure, jitter: random() },
      { effect: judging.id },
    );
}

/** The app ends again and again, or its files are gone. */
export function crashLoop(
  { snapshot }: State,
  {
    exitAgesMs,
    isTreeThere,
    random,
  }: Pick<RuntimeOptions, 'exitAgesMs' | 'isTreeThere' | 'random'>,
): Fact | null {
  const { context } = snapshot;
  if (context.app !== 'up' || !snapshot.matches('steady')) return null;
  const ages = exitAgesMs();
  if (ages.length === 0) return null;
  const version = context.current?.version ?? null;
  if (context.current !== null && !isTreeThere(context.current.path)) {
    const message = `version ${version} exited, and its files are gone from ${context.current.path}: something outside the updater removed them. They are downloaded again if nothing else can run`;
    return {
      type: 'appCrashLooped',
      version,
      exits: ages.length,
      code: 'TREE_MISSING',
      message,
      jitter: random(),
    };
  }
  if (!isCrashLoop(ages)) return null;
  const held =
    context.policy.held === ''
      ? ''
      : '. If that says that its address is in use: UPDATE_LISTEN holds it, and the app has to take the held socket';
  const message = `version ${version ?? 'unknown'} exited ${ages.length} times in a row: see its own output for the reason${held}`;
  return {
    type: 'appCrashLooped',
    version,
    exits: ages.length,
    code: 'CRASH_LOOP',
    message,
    jitter: random(),
  };
}
