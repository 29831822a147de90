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
import { and, not } from 'xstate';
import { hookInput } from './change.ts';
import { initialContext } from './context.ts';
import { preparing } from './preparing.ts';
import { fallback } from './rules.ts';
import { running } from './running.ts';
import { abandonable, boot, whenFoundDown } from './transitions.ts';
import { downloadAtHand, releaseAtHand, updaterSetup } from './vocabulary.ts';
import { waiting } from './waiting.ts';

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
        input: ({ context }) => ({
          policy: context.policy,
          request: context.request,
          running: fallback(context)?.version ?? null,
          fresh: context.replacedBy !== null,
        }),
      },
      on: {
        releaseFound: [
          { guard: 'runsAlready', target: 'settling', actions: 'holdCurrent' },
          { guard: and(['isWanted', 'stopsFirst']), target: 'preparing', actions: 'adoptRelease' },
          { guard: and(['isWanted', not('appIsUp'), 'hasConditions']), target: 'preparing', actions: 'adoptRelease' },
          { guard: 'isWanted', target: 'downloading', actions: 'adoptRelease' },
          { guard: 'isReplaced', target: 'settling', actions: ['recordReplacement', 'forgetRequest'] },
          { guard: 'isWithdrawn', target: 'settling', actions: ['dropCandidate', 'forgetRequest'] },
          { target: 'settling', actions: 'forgetRequest' },
        ],
        nothingNewer: [
          { guard: 'isWithdrawn', target: 'settling', actions: ['dropCandidate', 'forgetRequest', 'forgetWait'] },
          { target: 'settling', actions: ['forgetRequest', 'forgetWait'] },
        ],
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
        { guard: and(['isWordGiven', 'treeIsThere']), target: 'preparing' },
        // Nothing is there that could run: it is looked for again within seconds, not at the next poll.
        { guard: not('appIsUp'), target: 'waiting', actions: 'pauseOutage' },
        { guard: 'mustWait', target: 'waiting' },
        { target: 'running' },
      ],
    },
    waiting,
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
      invoke: {
        id: 'verify',
        src: 'verify',
        // Who names a version by hand vouches for whose it is.
        input: ({ context }) => ({ ...downloadAtHand(context), repositoryId: context.candidate?.byOperator ? null : context.repositoryId }),
      },
      on: {
        verified: { target: 'extracting', actions: 'recordVerified' },
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
    preparing,
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
        versionDenied: { guard: and(['deniesCandidate', 'hasOtherVersion']), target: 'settling', actions: 'deny' },
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
          { guard: 'isTreeMissing', target: 'settling', actions: ['noteAppDown', 'recordUnlinked'] },
          // The link could not be moved: what it names is complete, so it is started all the same.
          { target: 'starting', actions: ['recordUnlinked', 'targetCurrent'] },
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
    running,
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
