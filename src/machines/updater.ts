/**
 * The updater's state machine. Pure: no clock, no randomness, no I/O; effects are named here and performed elsewhere.
 *
 * INVARIANTS
 * - A running app is stopped only through `stopping` or `rollingBack`; every path out of them leads to `starting`.
 * - `switching` is entered only with a complete tree as `target`.
 * - A release is tried at most `policy.maxAttempts` times, then denied; only the operator or a newer release changes that.
 * - Every failure is a fact with a transition. None of them ends in a state without a way on.
 */
import { and, assertEvent, assign, cancel, enqueueActions, fromPromise, not, setup } from 'xstate';
import {
  adoptPolicy,
  adoptRelease,
  type Context,
  deny,
  holdOf,
  initialContext,
  recordBadVersion,
  recordCrashLoop,
  recordFailure,
  recordHealthy,
  recordInterruption,
  recordNothingStarts,
  recordStart,
  recordSwitch,
  seenOnDisk,
} from './context.ts';
import type { EffectInputs, EffectName } from './effects.ts';
import type { StampedFact } from './facts.ts';
import type { Policy, Release, World } from './model.ts';
import { fallback, isUnproven, isWanted, rollbackTarget, runsAlready, saysSomethingNew, stopsFirst } from './rules.ts';

/** The runtime performs effects from their names; the machine never runs one. */
function performedByRuntime<N extends EffectName>() {
  return fromPromise<never, EffectInputs[N]>(() => Promise.reject(new Error('effects are performed by the runtime')));
}

function releaseAtHand({ candidate }: Context): Release {
  if (candidate === null) throw new Error('invariant: a release is at hand in this state');
  return candidate.release;
}

function downloadAtHand(context: Context): EffectInputs['extract'] {
  if (context.download === null) throw new Error('invariant: a download is at hand in this state');
  return { release: releaseAtHand(context), ...context.download };
}

/**
 * While a release is on its way in, the operator's word can end that: a denial of this very version, or another
 * configuration. And meanwhile the gate may open: an old version is started when the first check takes too long. */
const abandonable = {
  versionDenied: { guard: 'deniesCandidate', target: 'settling', actions: 'deny' },
  configurationChanged: { target: 'settling', actions: 'adoptPolicy' },
  appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
} as const;

export const updaterMachine = setup({
  types: {} as { context: Context; events: StampedFact; input: { policy: Policy; world: World }; tags: 'resting' },
  actors: {
    check: performedByRuntime<'check'>(),
    download: performedByRuntime<'download'>(),
    verify: performedByRuntime<'verify'>(),
    extract: performedByRuntime<'extract'>(),
    prepareSwitch: performedByRuntime<'prepareSwitch'>(),
    stop: performedByRuntime<'stop'>(),
    switchCurrent: performedByRuntime<'switchCurrent'>(),
    start: performedByRuntime<'start'>(),
    observeProbation: performedByRuntime<'observeProbation'>(),
    removeOldVersions: performedByRuntime<'removeOldVersions'>(),
  },
  delays: {
    untilRetry: ({ context, event }) => Math.max(0, (context.retryAt ?? 0) - event.at),
  },
  guards: {
    isWanted: ({ context, event }) => event.type === 'releaseFound' && isWanted(context, event.release, event.at),
    stopsFirst: ({ context, event }) => {
      const release = event.type === 'releaseFound' ? event.release : context.candidate?.release;
      return release !== undefined && stopsFirst(context, release);
    },
    runsAlready: ({ context, event }) => event.type === 'releaseFound' && runsAlready(context, event.release),
    saysSomethingNew: ({ context, event }) => saysSomethingNew(context, event),
    hasCandidate: ({ context }) => context.candidate !== null,
    candidateIsInstalled: ({ context }) => context.candidate !== null && context.installed !== null,
    stopsForUpdate: ({ context }) => context.stopReason === 'update',
    deniesCandidate: ({ context, event }) => event.type === 'versionDenied' && context.candidate?.release.version === event.version,
    appIsUp: ({ context }) => context.appUp,
    wasStoppedForUpdate: ({ context }) => !context.appUp && !context.booting,
    canBringUp: ({ context }) => !context.appUp && fallback(context) !== null,
    mustWait: ({ context }) => !context.appUp || context.retryAt !== null || context.awaiting !== null,
    awaitsAssets: ({ context }) => context.awaiting !== null,
    targetIsCandidate: ({ context }) => context.target !== null && context.target.path === context.installed?.path,
    hasOtherVersion: ({ context }) => context.target !== null && fallback({ ...context, failedPaths: [...context.failedPaths, context.target.path] }) !== null,
    mayRollBack: ({ context }) => context.policy.rollback === 'auto' && rollbackTarget(context) !== null,
    isHeld: ({ context }) => context.hold !== null,
    isUnproven: ({ context }) => isUnproven(context),
  },
  actions: {
    adoptRelease: assign(({ context, event }) => (assertEvent(event, 'releaseFound'), adoptRelease(context, event))),
    adoptPolicy: assign(({ context, event }) => (assertEvent(event, 'configurationChanged'), adoptPolicy(context, event.policy))),
    adoptRequest: assign(({ event }) => (assertEvent(event, 'installRequested'), { request: { tag: event.tag, file: event.file } })),
    adoptDownload: assign(({ event }) => (assertEvent(event, 'downloaded'), { download: { path: event.path, sha256: event.sha256 } })),
    adoptTree: assign(({ event }) => (assertEvent(event, 'installed'), { installed: event.version })),
    seeDown: assign(({ context, event }) => (assertEvent(event, 'appFoundDown'), { ...seenOnDisk(context, event.world), appUp: false, booting: true })),
    seeUp: assign(
      ({ context, event }) => (assertEvent(event, 'appFoundUp'), { ...seenOnDisk(context, event.world), appUp: true, booting: false, startedAt: event.at }),
    ),
    recordInterruption: assign(({ context, event }) => (assertEvent(event, 'appFoundDown'), recordInterruption(context, event))),
    recordFailure: assign(({ context, event }) => ('jitter' in event ? recordFailure(context, event) : {})),
    recordBadVersion: assign(({ context, event }) => ('jitter' in event ? recordBadVersion(context, event) : {})),
    recordCrashLoop: assign(({ context, event }) => ('jitter' in event ? recordCrashLoop(context, event) : {})),
    recordNothingStarts: assign(({ context, event }) => ('jitter' in event ? recordNothingStarts(context, event) : {})),
    recordProblem: assign(({ event }) => ('code' in event ? { lastError: { code: event.code, message: event.message, at: event.at } } : {})),
    recordWait: assign(({ event }) => {
      assertEvent(event, 'assetsAwaited');
      const { tag, version, message, at } = event;
      return { awaiting: { tag, version, message, since: at } };
    }),
    recordRefusal: assign(
      ({ event }) => (assertEvent(event, 'releaseRefused'), { refused: { tag: event.tag, code: event.code, message: event.message }, awaiting: null }),
    ),
    recordSwitch: assign(({ context, event }) => (assertEvent(event, 'switched'), recordSwitch(context, event))),
    recordStart: assign(({ context, event }) => recordStart(context, event.at)),
    holdCurrent: assign(({ context, event }) => ({ hold: holdOf(context.current, event.at), request: null, candidate: null, retryAt: null })),
    recordHealthy: assign(({ context, event }) => (assertEvent(event, 'versionBecameHealthy'), recordHealthy(context, event))),
    noteAppDown: assign({ appUp: false }),
    stopForUpdate: assign({ stopReason: 'update' }),
    stopForRestart: assign({ stopReason: 'restart' }),
    forgetRequest: assign({ request: null }),
    forgetWait: assign({ awaiting: null }),
    targetCandidate: assign(({ context }) => ({ target: context.installed })),
    targetFallback: assign(({ context }) => ({ target: fallback(context) })),
    targetCurrent: assign(({ context }) => ({ target: context.current })),
    hold: assign({ paused: true }),
    resume: assign({ paused: false }),
    releaseHold: assign({ hold: null }),
    deny: assign(({ context, event }) => {
      assertEvent(event, 'versionDenied');
      const denial = { version: event.version, fingerprint: null, code: 'DENIED_BY_OPERATOR', reason: 'denied by the operator', at: event.at };
      const dropped = context.candidate?.release.version === event.version ? { candidate: null, download: null, installed: null, retryAt: null } : {};
      return { denied: deny(context.denied, denial), ...dropped };
    }),
    allow: assign(({ context, event }) => {
      assertEvent(event, 'versionRetried');
      return { denied: context.denied.filter((denial) => denial.version !== event.version), failedPaths: [], refused: null };
    }),
    clearRetry: assign({ retryAt: null }),
    // The runtime keeps the time and stamps the fact when it is due.
    scheduleRetry: enqueueActions(({ context, enqueue }) => {
      if (context.retryAt !== null) enqueue.raise({ type: 'retryDue', at: 0 }, { id: 'retry', delay: 'untilRetry' });
    }),
  },
}).createMachine({
  id: 'updater',
  description: 'Follows the releases of one repository and replaces the app in place.',
  initial: 'idle',
  context: ({ input }) => initialContext(input),
  on: {
    configurationChanged: { actions: 'adoptPolicy' },
    paused: { actions: 'hold' },
    resumed: { actions: 'resume' },
    holdReleased: { actions: 'releaseHold' },
    versionDenied: { actions: 'deny' },
    versionRetried: { actions: 'allow' },
  },
  states: {
    idle: {
      description: 'Before the first check: what runs is not known yet.',
      on: {
        appFoundDown: { target: 'checking', actions: 'seeDown' },
        appFoundUp: { target: 'running', actions: 'seeUp' },
      },
    },
    checking: {
      description: 'Asks GitHub for the newest release before the app is started, or for the one the operator named.',
      invoke: { id: 'check', src: 'check', input: ({ context }) => ({ policy: context.policy, request: context.request }) },
      on: {
        releaseFound: [
          { guard: 'runsAlready', target: 'settling', actions: 'holdCurrent' },
          { guard: and(['isWanted', 'stopsFirst']), target: 'preparing', actions: 'adoptRelease' },
          { guard: 'isWanted', target: 'downloading', actions: 'adoptRelease' },
          { target: 'settling', actions: 'forgetRequest' },
        ],
        nothingNewer: { target: 'settling', actions: ['forgetRequest', 'forgetWait'] },
        checkFailed: { target: 'settling', actions: ['recordProblem', 'forgetRequest'] },
        assetsAwaited: [
          { guard: 'saysSomethingNew', target: 'settling', actions: ['recordWait', 'recordProblem', 'forgetRequest'] },
          { target: 'settling', actions: 'forgetRequest' },
        ],
        releaseRefused: { target: 'settling', actions: ['recordRefusal', 'recordProblem', 'forgetRequest'] },
        appFoundDown: { target: 'checking', reenter: true, actions: 'seeDown' },
        appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
      },
    },
    settling: {
      description: 'Decides where to rest: a stopped app is brought up first.',
      always: [{ guard: 'canBringUp', target: 'switching', actions: 'targetFallback' }, { guard: 'mustWait', target: 'waiting' }, { target: 'running' }],
    },
    waiting: {
      description: 'Waits for the time of the next try, for assets that are still uploading, or for a first version to run.',
      tags: 'resting',
      entry: 'scheduleRetry',
      exit: cancel('retry'),
      on: {
        retryDue: [
          { guard: and(['hasCandidate', 'stopsFirst']), target: 'preparing', actions: 'clearRetry' },
          { guard: 'hasCandidate', target: 'downloading', actions: 'clearRetry' },
          { guard: 'canBringUp', target: 'switching', actions: ['clearRetry', 'targetFallback'] },
        ],
        updateRequested: [
          { guard: and(['hasCandidate', 'stopsFirst']), target: 'preparing', actions: 'clearRetry' },
          { guard: 'hasCandidate', target: 'downloading', actions: 'clearRetry' },
        ],
        releaseFound: [
          { guard: and(['isWanted', 'stopsFirst']), target: 'preparing', actions: 'adoptRelease' },
          { guard: 'isWanted', target: 'downloading', actions: 'adoptRelease' },
        ],
        nothingNewer: { guard: and(['awaitsAssets', 'appIsUp']), target: 'settling', actions: 'forgetWait' },
        assetsAwaited: { guard: 'saysSomethingNew', actions: ['recordWait', 'recordProblem'] },
        releaseRefused: { guard: 'saysSomethingNew', target: 'settling', actions: ['recordRefusal', 'recordProblem'] },
        installRequested: { target: 'checking', actions: 'adoptRequest' },
        restartRequested: { guard: 'appIsUp', target: 'stopping', actions: 'stopForRestart' },
        versionDenied: { target: 'settling', actions: 'deny' },
        appFoundDown: { target: 'checking', actions: 'seeDown' },
        appFoundUp: { guard: not('appIsUp'), target: 'settling', actions: 'seeUp' },
      },
    },
    downloading: {
      description: 'Fetches the asset into a part file, resuming where an earlier try ended. A tree still on disk is not fetched again.',
      invoke: { id: 'download', src: 'download', input: ({ context }) => ({ release: releaseAtHand(context) }) },
      on: {
        downloaded: { target: 'verifying', actions: 'adoptDownload' },
        installed: [
          { guard: 'appIsUp', target: 'preparing', actions: 'adoptTree' },
          { guard: 'wasStoppedForUpdate', target: 'switching', actions: ['adoptTree', 'targetCandidate'] },
          { target: 'preparing', actions: 'adoptTree' },
        ],
        downloadFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [
          { guard: 'wasStoppedForUpdate', target: 'settling', actions: 'recordInterruption' },
          { guard: 'appIsUp', actions: 'seeDown' },
        ],
        ...abandonable,
      },
    },
    verifying: {
      description: 'Checks the downloaded bytes against what the release promises, before anything looks inside.',
      invoke: { id: 'verify', src: 'verify', input: ({ context }) => downloadAtHand(context) },
      on: {
        verified: { target: 'extracting' },
        verificationFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [
          { guard: 'wasStoppedForUpdate', target: 'settling', actions: 'recordInterruption' },
          { guard: 'appIsUp', actions: 'seeDown' },
        ],
        ...abandonable,
      },
    },
    extracting: {
      description: 'Unpacks into a private directory, checks the result, and publishes the complete tree by one rename.',
      invoke: { id: 'extract', src: 'extract', input: ({ context }) => downloadAtHand(context) },
      on: {
        installed: [
          { guard: 'wasStoppedForUpdate', target: 'switching', actions: ['adoptTree', 'targetCandidate'] },
          { target: 'preparing', actions: 'adoptTree' },
        ],
        extractionFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [
          { guard: 'wasStoppedForUpdate', target: 'settling', actions: 'recordInterruption' },
          { guard: 'appIsUp', actions: 'seeDown' },
        ],
        ...abandonable,
      },
    },
    preparing: {
      description: 'Checks everything that can be checked while the app still runs. Leaving it for `stopping` is the one durable step before the stop.',
      invoke: {
        id: 'prepareSwitch',
        src: 'prepareSwitch',
        input: ({ context }) => ({ release: releaseAtHand(context), from: context.current?.version ?? null, attempt: context.candidate?.attempt ?? 1 }),
      },
      on: {
        switchStarted: { target: 'stopping', actions: 'stopForUpdate' },
        preparationFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: { guard: 'appIsUp', actions: 'seeDown' },
        ...abandonable,
      },
    },
    stopping: {
      description: 'Stops the app and waits until its whole process group is gone.',
      invoke: { id: 'stop', src: 'stop', input: () => ({}) },
      on: {
        appStopped: [
          { guard: and(['stopsForUpdate', 'candidateIsInstalled']), target: 'switching', actions: ['noteAppDown', 'targetCandidate'] },
          { guard: and(['stopsForUpdate', 'hasCandidate']), target: 'downloading', actions: 'noteAppDown' },
          { target: 'starting', actions: ['noteAppDown', 'targetCurrent'] },
        ],
        stopFailed: [
          { guard: 'stopsForUpdate', target: 'settling', actions: ['noteAppDown', 'recordFailure'] },
          { target: 'settling', actions: ['noteAppDown', 'recordProblem'] },
        ],
      },
    },
    switching: {
      description: 'Points `current` at the target by one atomic rename.',
      invoke: {
        id: 'switchCurrent',
        src: 'switchCurrent',
        input: ({ context }) => {
          if (context.target === null) throw new Error('invariant: there is a target in this state');
          return { to: context.target };
        },
      },
      on: {
        switched: { target: 'starting', actions: 'recordSwitch' },
        switchFailed: [
          { guard: 'targetIsCandidate', target: 'settling', actions: ['noteAppDown', 'recordFailure'] },
          // The link could not be moved: what it names is complete, so it is started all the same.
          { target: 'starting', actions: ['recordProblem', 'targetCurrent'] },
        ],
      },
    },
    starting: {
      description: 'Starts what `current` names.',
      invoke: { id: 'start', src: 'start', input: ({ context }) => ({ target: context.target }) },
      on: {
        appStarted: { target: 'settling', actions: 'recordStart' },
        startFailed: [
          { guard: 'hasOtherVersion', target: 'rollingBack', actions: ['noteAppDown', 'recordBadVersion'] },
          { target: 'waiting', actions: 'recordNothingStarts' },
        ],
      },
    },
    running: {
      description: 'The app runs. This is the resting state, also while a poll is made from it.',
      initial: 'deciding',
      on: {
        installRequested: { target: 'checking', actions: 'adoptRequest' },
        restartRequested: { target: 'stopping', actions: 'stopForRestart' },
        appFoundDown: { target: 'checking', actions: 'seeDown' },
        appCrashLooped: [
          // An operator's choice stands, and is only reported.
          { guard: and(['mayRollBack', not('isHeld')]), target: 'rollingBack', actions: 'recordCrashLoop' },
          { guard: 'saysSomethingNew', actions: 'recordProblem' },
        ],
      },
      states: {
        deciding: {
          description: 'A version that was healthy before needs no probation.',
          always: [{ guard: 'isUnproven', target: 'probation' }, { target: 'settled' }],
        },
        probation: {
          description: 'Started, not yet trusted: it has to stay up, and to answer where a health check is set.',
          invoke: {
            id: 'observeProbation',
            src: 'observeProbation',
            input: ({ context }) => ({ version: context.current?.version ?? '', startedAt: context.startedAt, probationMs: context.policy.probationMs }),
          },
          on: {
            versionBecameHealthy: { target: 'settled', actions: 'recordHealthy' },
            probationFailed: [
              { guard: 'mayRollBack', target: '#updater.rollingBack', actions: ['targetCurrent', 'recordBadVersion'] },
              { target: 'settled', actions: 'recordProblem' },
            ],
          },
        },
        settled: {
          description: 'Nothing is outstanding but the next poll.',
          tags: 'resting',
          invoke: {
            id: 'removeOldVersions',
            src: 'removeOldVersions',
            input: ({ context }) => ({ keep: [context.current, context.lastGood, context.previous].flatMap((version) => version?.path ?? []) }),
          },
          on: {
            oldVersionsRemoved: { actions: [] },
            releaseFound: [
              { guard: and(['isWanted', 'stopsFirst']), target: '#updater.preparing', actions: 'adoptRelease' },
              { guard: 'isWanted', target: '#updater.downloading', actions: 'adoptRelease' },
            ],
            assetsAwaited: { guard: 'saysSomethingNew', target: '#updater.waiting', actions: ['recordWait', 'recordProblem'] },
            releaseRefused: { guard: 'saysSomethingNew', actions: ['recordRefusal', 'recordProblem'] },
          },
        },
      },
    },
    rollingBack: {
      description: 'Stops a version that did not prove itself; the last good one follows.',
      invoke: { id: 'stop', src: 'stop', input: () => ({}) },
      on: {
        appStopped: { target: 'settling', actions: 'noteAppDown' },
        stopFailed: { target: 'settling', actions: ['noteAppDown', 'recordProblem'] },
      },
    },
  },
});

export type UpdaterSnapshot = ReturnType<typeof updaterMachine.resolveState>;
