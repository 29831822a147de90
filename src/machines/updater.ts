/**
 * The updater's state machine. Pure: no clock, no randomness, no I/O; effects are named here and performed elsewhere.
 *
 * INVARIANTS
 * - A running app is stopped only through `stopping` or `rollingBack`; every path out of them leads to `starting`.
 * - `switching` is entered only with a complete tree as `target`.
 * - A running app is interrupted for a release only on the way through `preparing.asking`: nothing that says "not now" is passed over
 *   but by the operator's word.
 * - A release is tried at most `policy.maxAttempts` times, then denied; only the operator or a newer release changes that.
 * - Every failure is a fact with a transition. None of them ends in a state without a way on.
 */
import { and, cancel, not } from 'xstate';
import { hookInput } from './change.ts';
import { initialContext } from './context.ts';
import { fallback, sortTrees } from './rules.ts';
import { downloadAtHand, releaseAtHand, updaterSetup } from './vocabulary.ts';

/**
 * While a release is on its way in, the operator's word can end that: a denial of this very version, or another
 * configuration. Meanwhile the gate may open: an old version is started when the first check takes too long. And whoever kills the
 * updater (no memory, most likely) must not do so for ever.
 */
const abandonable = {
  versionDenied: { guard: 'deniesCandidate', target: 'settling', actions: 'deny' },
  configurationChanged: { target: 'settling', actions: 'adoptPolicy' },
  appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
  workInterrupted: [{ guard: 'isInterruptedTooOften', target: 'settling', actions: 'giveUpInterrupted' }, { actions: 'recordWorkInterrupted' }],
} as const;

/**
 * A boot checks before it starts anything, so that an old version does not run when a newer one can be had. But data that has to be
 * prepared for what the image brings is not prepared while the gate's time runs out.
 */
const boot = [
  { guard: 'isBootWithHook', target: '#updater.settling', actions: 'seeDown' },
  { target: '#updater.checking', actions: 'seeDown' },
] as const;

/** Back to a release that waits, as far as it had come. */
const takeUp = [
  { guard: and(['hasCandidate', 'treeIsThere']), target: 'preparing', actions: 'clearRetry' },
  { guard: and(['hasCandidate', 'stopsFirst']), target: 'preparing', actions: 'clearRetry' },
  { guard: 'hasCandidate', target: 'downloading', actions: 'clearRetry' },
] as const;

/** A download that only uses the time of a wait is no reason to keep a container's app from starting. */
const whenFoundDown = [
  { guard: 'wasStoppedForUpdate', target: 'settling', actions: 'recordInterruption' },
  { guard: and(['appIsUp', 'isDeferred']), target: 'settling', actions: ['seeDown', 'retryNow'] },
  { guard: 'appIsUp', actions: 'seeDown' },
] as const;

export const updaterMachine = updaterSetup.createMachine({
  id: 'updater',
  description: 'Follows the releases of one repository and replaces the app in place.',
  initial: 'idle',
  context: ({ input }) => initialContext(input),
  on: {
    configurationChanged: { actions: 'adoptPolicy' },
    paused: { actions: 'pause' },
    resumed: { actions: 'resume' },
    versionApproved: { actions: 'approve' },
    updateRequested: { guard: 'forces', actions: 'recordForce' },
    holdReleased: { actions: 'releaseHold' },
    versionDenied: { actions: 'deny' },
    versionRetried: { actions: 'allow' },
  },
  states: {
    idle: {
      description: 'Before the first check: what runs is not known yet.',
      on: {
        appFoundDown: [...boot],
        appFoundUp: { target: 'running', actions: 'seeUp' },
      },
    },
    checking: {
      description: 'Asks GitHub for the newest release before the app is started, or for the one the operator named.',
      invoke: {
        id: 'check',
        src: 'check',
        input: ({ context }) => ({ policy: context.policy, request: context.request, running: fallback(context)?.version ?? null }),
      },
      on: {
        releaseFound: [
          { guard: 'runsAlready', target: 'settling', actions: 'holdCurrent' },
          { guard: and(['isWanted', 'stopsFirst']), target: 'preparing', actions: 'adoptRelease' },
          { guard: and(['isWanted', not('appIsUp'), 'hasConditions']), target: 'preparing', actions: 'adoptRelease' },
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
      always: [
        { guard: 'canBringUp', target: 'readying', actions: 'targetFallback' },
        { guard: and(['isChangeOver', 'hasPostUpdateHook']), target: 'announcing' },
        { guard: 'isChangeOver', target: 'settling', actions: 'endChange' },
        // What was started has to prove itself before anything takes its place.
        { guard: and(['isDeferred', 'appIsUp', 'isUnproven']), target: 'running' },
        { guard: 'mustWait', target: 'waiting' },
        { target: 'running' },
      ],
    },
    waiting: {
      description: 'Waits for its moment, for the time of the next try, for assets that are still uploading, or for a first version to run.',
      tags: 'resting',
      entry: 'scheduleRetry',
      exit: cancel('retry'),
      on: {
        retryDue: [
          ...takeUp,
          { guard: 'canBringUp', target: 'readying', actions: ['clearRetry', 'targetFallback'] },
          { guard: 'appIsUp', target: 'running', actions: 'clearRetry' },
        ],
        updateRequested: [
          { guard: and(['hasCandidate', 'treeIsThere']), target: 'preparing', actions: ['clearRetry', 'recordForce'] },
          { guard: and(['hasCandidate', 'stopsFirst']), target: 'preparing', actions: ['clearRetry', 'recordForce'] },
          { guard: 'hasCandidate', target: 'downloading', actions: ['clearRetry', 'recordForce'] },
          { guard: and(['appIsUp', 'isUnproven']), target: 'running', actions: 'clearRetry' },
          { guard: 'forces', actions: 'recordForce' },
        ],
        versionApproved: [{ guard: 'isDeferred', target: 'settling', actions: ['approve', 'retryNow'] }, { actions: 'approve' }],
        resumed: [{ guard: 'isDeferred', target: 'settling', actions: ['resume', 'retryNow'] }, { actions: 'resume' }],
        holdReleased: [{ guard: 'isDeferred', target: 'settling', actions: ['releaseHold', 'retryNow'] }, { actions: 'releaseHold' }],
        configurationChanged: [{ guard: 'isDeferred', target: 'settling', actions: ['adoptPolicy', 'retryNow'] }, { actions: 'adoptPolicy' }],
        releaseFound: [
          { guard: and(['isWanted', 'stopsFirst']), target: 'preparing', actions: 'adoptRelease' },
          { guard: 'isWanted', target: 'downloading', actions: 'adoptRelease' },
          { guard: 'isCandidateElsewhere', actions: 'refreshCandidate' },
          { guard: 'isWithdrawn', target: 'settling', actions: 'dropCandidate' },
        ],
        nothingNewer: [
          { guard: and(['awaitsAssets', 'appIsUp']), target: 'settling', actions: 'forgetWait' },
          { guard: 'isWithdrawn', target: 'settling', actions: 'dropCandidate' },
        ],
        assetsAwaited: { guard: 'saysSomethingNew', actions: ['recordWait', 'recordProblem'] },
        releaseRefused: { guard: 'saysSomethingNew', target: 'settling', actions: ['recordRefusal', 'recordProblem'] },
        installRequested: { target: 'checking', actions: 'adoptRequest' },
        restartRequested: { guard: 'appIsUp', target: 'stopping', actions: 'stopForRestart' },
        versionDenied: { target: 'settling', actions: 'deny' },
        appCrashLooped: [
          { guard: and(['mayRollBack', not('isHeld')]), target: 'rollingBack', actions: 'recordCrashLoop' },
          // What might help waits already: it need not ask an app that does not stay up.
          { guard: and(['isDeferred', not('nothingStarts')]), target: 'preparing', actions: ['recordProblem', 'noteNothingStarts', 'clearRetry'] },
          { guard: 'saysSomethingNew', actions: 'recordProblem' },
        ],
        appFoundDown: [...boot],
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
          { guard: 'wasStoppedForUpdate', target: 'readying', actions: ['adoptTree', 'targetCandidate'] },
          { target: 'preparing', actions: 'adoptTree' },
        ],
        downloadFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [...whenFoundDown],
        ...abandonable,
      },
    },
    verifying: {
      description: 'Checks the downloaded bytes against what the release promises, before anything looks inside.',
      invoke: { id: 'verify', src: 'verify', input: ({ context }) => downloadAtHand(context) },
      on: {
        verified: { target: 'extracting' },
        verificationFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [...whenFoundDown],
        ...abandonable,
      },
    },
    extracting: {
      description: 'Unpacks into a private directory, checks the result, and publishes the complete tree by one rename.',
      invoke: { id: 'extract', src: 'extract', input: ({ context }) => downloadAtHand(context) },
      on: {
        installed: [
          { guard: 'wasStoppedForUpdate', target: 'readying', actions: ['adoptTree', 'targetCandidate'] },
          { target: 'preparing', actions: 'adoptTree' },
        ],
        extractionFailed: { target: 'settling', actions: 'recordFailure' },
        appFoundDown: [...whenFoundDown],
        ...abandonable,
      },
    },
    preparing: {
      description: 'Asks before it interrupts, and checks everything that can be checked while the app still runs.',
      initial: 'asking',
      on: {
        switchStarted: { target: 'stopping', actions: 'stopForUpdate' },
        preparationFailed: { target: 'settling', actions: 'recordFailure' },
        paused: { target: 'preparing', reenter: true, actions: 'pause' },
        // What was allowed while the app ran may not be so at the next boot.
        appFoundDown: { guard: 'appIsUp', target: 'preparing', reenter: true, actions: 'seeDown' },
        ...abandonable,
      },
      states: {
        asking: {
          description: 'May the app be interrupted now? The clock, the app and the operator can say "not now".',
          invoke: { id: 'observeConditions', src: 'observeConditions', input: ({ context }) => ({ window: context.policy.window }) },
          on: {
            conditionsObserved: [
              { guard: and(['isInhibited', 'appIsUp', not('treeIsThere')]), target: '#updater.downloading', actions: 'recordDeferral' },
              { guard: 'isInhibited', target: '#updater.settling', actions: 'recordDeferral' },
              { guard: and([not('appIsUp'), not('treeIsThere')]), target: '#updater.downloading' },
              { guard: and(['appIsUp', 'hasPreStopHook']), target: 'draining' },
              { target: 'checking' },
            ],
          },
        },
        draining: {
          description: 'Runs the pre-stop hook while the app is still up. It may drain, announce, say "not now", or forbid this attempt.',
          entry: 'beginChange',
          invoke: { id: 'runHook', src: 'runHook', input: ({ context }) => hookInput(context, 'preStop') },
          on: {
            hookSucceeded: { target: 'checking' },
            interruptionDeferred: [
              { guard: 'isForced', target: 'checking' },
              { target: '#updater.settling', actions: 'recordHookDeferral' },
            ],
            hookFailed: { target: '#updater.settling', actions: ['recordFailure', 'endChange'] },
          },
        },
        checking: {
          description: 'Checks disk, supervisor and entry point. Leaving it for `stopping` is the one durable step before the stop.',
          invoke: {
            id: 'prepareSwitch',
            src: 'prepareSwitch',
            input: ({ context }) => ({
              release: releaseAtHand(context),
              from: context.current?.version ?? null,
              attempt: context.candidate?.attempt ?? 1,
              installed: context.installed !== null,
            }),
          },
        },
      },
    },
    stopping: {
      description: 'Stops the app and waits until its whole process group is gone.',
      invoke: { id: 'stop', src: 'stop', input: () => ({}) },
      on: {
        appStopped: [
          { guard: and(['stopsForUpdate', 'candidateIsInstalled']), target: 'readying', actions: ['noteAppDown', 'targetCandidate'] },
          { guard: and(['stopsForUpdate', 'hasCandidate']), target: 'downloading', actions: 'noteAppDown' },
          { target: 'starting', actions: ['noteAppDown', 'targetCurrent'] },
        ],
        stopFailed: [
          { guard: 'stopsForUpdate', target: 'settling', actions: ['noteAppDown', 'recordFailure'] },
          { target: 'settling', actions: ['noteAppDown', 'recordProblem'] },
        ],
      },
    },
    readying: {
      description: "Decides whether the app's data has to be prepared before the target starts.",
      always: [
        { guard: 'isPreStartDue', target: 'migrating', actions: 'beginPreparation' },
        { target: 'switching', actions: 'aimChange' },
      ],
    },
    migrating: {
      description: 'Runs the pre-start hook with the app down: it may back up, migrate, or on the way back restore.',
      invoke: { id: 'runHook', src: 'runHook', input: ({ context }) => hookInput(context, 'preStart') },
      on: {
        hookSucceeded: { target: 'switching' },
        hookFailed: [
          { guard: and(['hasOtherVersion', not('isWayBack')]), target: 'settling', actions: ['noteAppDown', 'recordBadVersion'] },
          // The service comes first: there is nothing else to run.
          { target: 'switching', actions: 'recordProblem' },
        ],
        workInterrupted: [
          { guard: and(['isInterruptedTooOften', 'hasOtherVersion']), target: 'settling', actions: 'giveUpInterrupted' },
          { actions: 'recordWorkInterrupted' },
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
          return { to: context.target, bestEffort: context.target.path !== context.installed?.path };
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
        appFoundDown: [...boot],
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
            versionBecameHealthy: { target: '#updater.settling', actions: 'recordHealthy' },
            probationFailed: [
              { guard: 'isTroubleOfMachine', target: '#updater.waiting', actions: 'recordUnproven' },
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
            input: ({ context }) => sortTrees(context),
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
    announcing: {
      description: 'Runs the post-update hook: the new version is healthy, or the old one is back.',
      invoke: { id: 'runHook', src: 'runHook', input: ({ context }) => hookInput(context, 'postUpdate') },
      on: {
        hookSucceeded: { target: 'settling', actions: 'endChange' },
        hookFailed: { target: 'settling', actions: ['recordProblem', 'endChange'] },
        appFoundDown: [...boot],
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
