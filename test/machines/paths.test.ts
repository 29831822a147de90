/**
 * Generated paths: xstate/graph walks the machine from its first state, and every transition has to
 * be on one of the ways.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AnyStateNode, type AnyTransitionDefinition, getMicrosteps } from 'xstate';
import { getShortestPaths } from 'xstate/graph';
import type { Fact, FactOf, StampedFact } from '../../src/machines/facts.ts';
import type { Policy } from '../../src/machines/model.ts';
import { type UpdaterSnapshot, updaterMachine } from '../../src/machines/updater.ts';
import { randomFrom } from '../support/chaos/cases.ts';
import {
  baked,
  facts,
  policy,
  release,
  running,
  Story,
  tree,
  updatedTo,
  world,
} from '../support/machine.ts';
import { Life } from '../support/moves.ts';

const CODE = { code: 'SOME_REASON', message: 'the reason' };
const failed = (type: Parameters<typeof facts.failed>[0], code?: string) =>
  facts.failed(type, code);

/**
 * What may happen next: outcomes of what is being done, and what comes from outside at any time.
 */
function possibleFacts({ context }: UpdaterSnapshot): Fact[] {
  const { current, target, baked, lastGood } = context;
  const seen = { baked, current, lastGood };
  const nothing = { baked: null, current: null, lastGood: null };
  return [
    facts.foundDown(seen),
    facts.foundDown(nothing),
    facts.foundUp(seen),
    facts.found('2.0.0'),
    facts.found('2.0.0', { publishedAt: '2026-01-01T00:00:00Z' }),
    { type: 'nothingNewer' },
    { type: 'checkFailed', ...CODE },
    { type: 'assetsAwaited', tag: 'v2.0.0', version: '2.0.0', ...CODE },
    { type: 'releaseRefused', tag: 'v2.0.0', version: '2.0.0', ...CODE },
    { type: 'releaseRefused', tag: 'release-2.0.0', ...CODE },
    facts.downloaded('2.0.0'),
    failed('downloadFailed'),
    facts.verified(),
    failed('verificationFailed'),
    facts.installed('2.0.0'),
    failed('extractionFailed'),
    facts.allowed(),
    facts.busy(),
    facts.locked(),
    failed('fleetLockRefused', 'FLEET_LOCK_HELD'),
    facts.lockReturned(),
    failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'),
    { type: 'fleetReleaseRequested' },
    { type: 'hookSucceeded', hook: 'preStart', durationMs: 1 },
    failed('hookFailed', 'PRE_START_HOOK_FAILED'),
    failed('interruptionDeferred', 'HOOK_DEFERRED'),
    facts.switchStarted('2.0.0'),
    failed('preparationFailed'),
    facts.stopped(),
    failed('stopFailed'),
    ...(target ? [facts.switched(target)] : []),
    failed('switchFailed'),
    ...(current ? [facts.started(current.version)] : []),
    failed('startFailed'),
    facts.failed('startFailed', 'SOCKET_WITH_APP'),
    ...(target ? [facts.startedBeside(target.version), facts.ready(target.version)] : []),
    failed('readinessFailed'),
    facts.otherStopped(),
    ...(current ? [facts.healthy(current.version)] : []),
    failed('probationFailed'),
    facts.failed('probationFailed', 'NO_SPACE'),
    facts.failed('probationFailed', 'UNHEALTHY'),
    facts.tidied(),
    ...(current ? [facts.crashLooped(current.version)] : []),
    { type: 'retryDue' },
    { type: 'workInterrupted', effect: 'download' },
    { type: 'updateRequested' },
    { type: 'updateRequested', force: true },
    { type: 'versionApproved', version: '2.0.0' },
    { type: 'installRequested', tag: 'v2.0.0', file: null },
    { type: 'holdReleased' },
    { type: 'restartRequested' },
    { type: 'paused' },
    { type: 'resumed' },
    { type: 'versionDenied', version: '2.0.0' },
    { type: 'versionRetried', version: '2.0.0' },
    { type: 'configurationChanged', policy },
  ];
}

const STEP_MS = 1000;

/**
 * Situations that differ only in what few guards look at count as one, or there would be millions.
 */
function situation(snapshot: UpdaterSnapshot): string {
  const { context } = snapshot;
  return JSON.stringify([
    snapshot.value,
    context.app,
    context.candidate && context.candidate.attempt > 1,
    context.installed !== null,
    context.installed !== null && context.target?.path === context.installed.path,
    context.retryAt !== null,
    context.awaiting !== null,
    context.current === null || context.current.path === context.lastGood?.path,
    context.failedPaths.length > 0,
    context.candidate?.downloadFirst,
  ]);
}

function stamped(fact: Fact): StampedFact {
  return { ...fact, at: STEP_MS } as StampedFact;
}

/** Every transition of the machine, by a name that tells where it is written. */
function allTransitions(): Map<AnyTransitionDefinition, string> {
  const found = new Map<AnyTransitionDefinition, string>();
  const visit = (node: AnyStateNode): void => {
    for (const [event, transitions] of node.transitions)
      for (const [i, transition] of transitions.entries())
        found.set(transition, `${node.id} ${event} #${i}`);
    for (const [i, transition] of (node.always ?? []).entries())
      found.set(transition, `${node.id} always #${i}`);
    for (const child of Object.values(node.states)) visit(child);
  };
  visit(updaterMachine.root);
  return found;
}

/** Walks the machine until `look` is content: each situation once, by a shortest path to it. */
function search(strategy: Policy['strategy'], look: (state: UpdaterSnapshot) => boolean): void {
  getShortestPaths(updaterMachine, {
    input: { policy: { ...policy, strategy, maxAttempts: 2 }, world: world(), floor: null, at: 0 },
    events: (snapshot: UpdaterSnapshot) => possibleFacts(snapshot).map(stamped),
    serializeState: (snapshot: UpdaterSnapshot) => situation(snapshot),
    serializeEvent: (event: StampedFact) => JSON.stringify(event),
    stopWhen: look,
    limit: 1_000_000,
  } as never);
}

/**
 * With hooks and conditions a search would take minutes: these are the situations of random lives,
 * each once.
 */
function* livedStates(): Generator<UpdaterSnapshot> {
  const hooks = { preStop: true, preStart: true, postUpdate: true };
  const fleet = { id: 'one', group: 'default', keepsOnFailure: true };
  const policies: Partial<Policy>[] = [
    { hooks },
    { hooks, fleet, strategy: 'download-then-kill' },
    { hooks, strategy: 'hand-over' },
    { fleet, strategy: 'hand-over' },
    { hooks: { ...hooks, postUpdate: false }, approval: true },
  ];
  const seen = new Set<string>();
  for (let i = 0; i < LIVES; i++) {
    const life = new Life(policies[i % policies.length]);
    const random = randomFrom('paths', i);
    for (let step = 0; step < STEPS; step++) {
      const { context } = life.state.snapshot;
      const key = JSON.stringify([
        situation(life.state.snapshot),
        context.candidate?.deferral != null,
        context.nothingStarts,
        context.change?.reason,
        context.prepared?.path === context.target?.path,
      ]);
      if (!seen.has(key)) yield life.state.snapshot;
      seen.add(key);
      const moves = life.moves(Math.floor(random() * 60));
      const move = moves[Math.floor(random() * moves.length)];
      if (move) life.take(move);
    }
  }
}
const LIVES = 600;
const STEPS = 60;

describe('paths through the machine', () => {
  it('cover every transition', () => {
    const missing = allTransitions();
    const look = (state: UpdaterSnapshot) => {
      for (const variant of [state, afterManyKills(state), forced(state)])
        takeWhatIsMissing(variant, missing);
      return missing.size === 0;
    };
    // The cheap ways first. Each walks only until nothing is missing.
    for (const state of toldStates()) look(state);
    for (const state of livedStates()) if (look(state)) break;
    for (const strategy of ['kill-then-download', 'download-then-kill', 'hand-over'] as const)
      if (missing.size > 0) search(strategy, look);
    assert.deepEqual([...missing.values()], []);
  });
});

/**
 * Takes the facts here for which a transition is still missing, or one that follows upon it by
 * itself.
 */
function takeWhatIsMissing(
  state: UpdaterSnapshot,
  missing: Map<AnyTransitionDefinition, string>,
): void {
  const here = state._nodes as AnyStateNode[];
  const wanted = [...missing.keys()]
    .filter(({ source, eventType }) => eventType !== '' && here.includes(source))
    .map(({ eventType }) => eventType);
  const through = [...missing.keys()]
    .filter(({ eventType }) => eventType === '')
    .map(({ source }) => source);
  if (wanted.length === 0 && through.length === 0) return;
  for (const fact of [...possibleFacts(state), ...oldNews(state)].map(stamped)) {
    if (through.length === 0 && !wanted.includes(fact.type)) continue;
    const taken = updaterMachine.getTransitionData(state, fact) as AnyTransitionDefinition[];
    for (const one of taken) missing.delete(one);
    if (
      taken.some(({ target }) => target?.flatMap(enteredBy).some((node) => through.includes(node)))
    )
      takeEventless(state, fact, missing);
  }
}

/** A state, and those in it that are entered with it. */
function enteredBy(node: AnyStateNode): AnyStateNode[] {
  const [first] = node.initial.target ?? [];
  return first === undefined ? [node] : [node, ...enteredBy(first as AnyStateNode)];
}

/** Situations that a random life seldom comes to, told on purpose. */
function toldStates(): UpdaterSnapshot[] {
  const hooks = { preStop: false, preStart: true, postUpdate: false };
  const migrating = new Story({ policy: { strategy: 'download-then-kill', hooks } }).when(
    facts.foundDown(),
  );
  migrating
    .when({ type: 'hookSucceeded', hook: 'preStart', durationMs: 1 })
    .when(facts.switched(baked('1.0.0')))
    .when(facts.started('1.0.0'));
  migrating.when(facts.healthy('1.0.0')).when(facts.tidied());
  const prepared = migrating.state.snapshot;
  migrating
    .when(facts.found('2.0.0'))
    .when(facts.installed('2.0.0'))
    .when(facts.allowed())
    .when(facts.switchStarted('2.0.0'))
    .when(facts.stopped());
  const updated = updatedTo('2.0.0');
  const waiting = updatedTo('2.0.0')
    .when(facts.found('3.0.0'))
    .when(facts.installed('3.0.0'))
    .when(facts.busy());
  const doubted = updatedTo('2.0.0');
  for (const fact of [
    facts.found('3.0.0'),
    facts.installed('3.0.0'),
    facts.allowed(),
    facts.switchStarted('3.0.0'),
    facts.stopped(),
  ])
    doubted.when(fact);
  doubted
    .when(facts.switched(tree('3.0.0')))
    .when(facts.started('3.0.0'))
    .when({ type: 'appExitedEarly', version: '3.0.0', ...CODE });
  doubted
    .when(failed('probationFailed'))
    .when(facts.stopped())
    .when(facts.switched(tree('2.0.0')))
    .when(facts.started('2.0.0'));
  const handingOver = running({
    policy: { strategy: 'hand-over', hooks: { ...hooks, preStart: false, preStop: true } },
  });
  for (const fact of [
    facts.found('2.0.0'),
    facts.installed('2.0.0'),
    facts.allowed(),
    facts.switchStarted('2.0.0'),
    facts.startedBeside('2.0.0'),
    facts.ready('2.0.0'),
    facts.allowed(),
  ])
    handingOver.when(fact);
  const fleet = { id: 'one', group: 'default', keepsOnFailure: true };
  const reserving = running({
    policy: { fleet, hooks: { ...hooks, preStart: false, preStop: true } },
  })
    .when(facts.found('2.0.0'))
    .when(facts.allowed());
  return [
    prepared,
    ...[migrating, updated, waiting, doubted, handingOver, reserving].map(
      ({ state }) => state.snapshot,
    ),
  ];
}

/**
 * An older release, one that has no assets, a newer image, files that are gone, and what runs with
 * other bytes than those that were installed.
 */
function oldNews({ context: { current } }: UpdaterSnapshot): Fact[] {
  const old: Fact[] = [
    facts.found('0.9.0'),
    facts.foundDown({ baked: baked('9.0.0'), current, lastGood: current }),
    { type: 'assetsAwaited', tag: 'v0.9.0', version: '0.9.0', ...CODE },
    { type: 'checkFailed', code: 'NOT_FOUND', message: 'gone' },
    facts.failed('switchFailed', 'TREE_MISSING'),
    {
      ...(facts.crashLooped(current?.version ?? '1.0.0') as FactOf<'appCrashLooped'>),
      code: 'TREE_MISSING',
    },
    { type: 'appExitedEarly', version: current?.version ?? '1.0.0', ...CODE },
  ];
  if (current === null) return old;
  const { asset } = release(current.version);
  return [...old, facts.found(current.version, { asset: { ...asset, digest: 'f'.repeat(64) } })];
}

/** Kept out of the search, where each number of kills would be a situation of its own. */
function afterManyKills(state: UpdaterSnapshot): UpdaterSnapshot {
  const { candidate } = state.context;
  return candidate === null
    ? state
    : updaterMachine.resolveState({
        value: state.value,
        context: { ...state.context, candidate: { ...candidate, interruptions: 10 } },
      });
}

/** Likewise the operator's `--force`. */
function forced(state: UpdaterSnapshot): UpdaterSnapshot {
  const { candidate } = state.context;
  return candidate === null
    ? state
    : updaterMachine.resolveState({
        value: state.value,
        context: { ...state.context, candidate: { ...candidate, forced: true } },
      });
}

/** Between two microsteps an eventless transition was taken: the first whose guard held. */
function takeEventless(
  state: UpdaterSnapshot,
  fact: StampedFact,
  missing: Map<AnyTransitionDefinition, string>,
): void {
  const steps = getMicrosteps(updaterMachine, state, fact).map(
    ([snapshot]) => snapshot as UpdaterSnapshot,
  );
  for (const [i, step] of steps.slice(0, -1).entries()) {
    const after = steps[i + 1];
    const nodes = step._nodes.filter((node) => (node.always ?? []).length > 0);
    for (const node of nodes)
      for (const transition of node.always ?? [])
        if (
          after &&
          transition.target?.some((target: AnyStateNode) => after._nodes.includes(target))
        )
          missing.delete(transition);
  }
}
