/**
 * The updater's state machine. Pure: no clock, no randomness, no I/O; effects are named here and
 * performed elsewhere.
 *
 * INVARIANTS
 * - A running app is stopped only through `stopping` or `rollingBack`; every path out of them leads
 *   to `starting`. In a hand-over the copy that `current` names is never stopped.
 * - `current` is moved only to a complete tree, the `target`.
 * - A running app is interrupted for a release only on the way through `preparing.asking`: nothing
 *   that says "not now" is passed over but by the operator's word.
 * - A release is tried at most `policy.maxAttempts` times, then denied; only the operator or a
 *   newer release changes that.
 * - Every failure is a fact with a transition. None of them ends in a state without a way on.
 */
import { type AnyStateNode, and, not } from 'xstate';
import { boot } from './boot.ts';
import { bringingUp } from './bringing-up.ts';
import { hookInput } from './change.ts';
import { initialContext } from './context.ts';
import { handingOver } from './handing-over.ts';
import { incoming } from './incoming.ts';
import { steady } from './steady.ts';
import { updaterSetup } from './vocabulary.ts';
import { checkInput } from './wanted.ts';

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
    fleetReleaseRequested: { actions: 'unkeepFleetLock' },
    fleetLockReturned: { actions: 'forgetFleetLock' },
    fleetLockReturnFailed: { actions: 'recordReturnFailed' },
  },
  states: {
    idle: {
      description: 'Before the first check: it is not known yet what runs.',
      on: {
        appFoundDown: [...boot],
        appFoundUp: { target: 'steady', actions: 'seeUp' },
      },
    },
    checking: {
      description:
        'Asks the source for the newest release before the app is started, or for the one the operator named.',
      invoke: {
        id: 'check',
        src: 'check',
        input: ({ context }) => checkInput(context),
      },
      on: {
        releaseFound: [
          { guard: 'runsAlready', target: 'steady', actions: 'holdCurrent' },
          {
            guard: and(['isWanted', not('appIsUp'), 'hasConditions']),
            target: 'incoming.preparing',
            actions: 'adoptRelease',
          },
          { guard: 'isWanted', target: 'incoming', actions: 'adoptRelease' },
          { target: 'steady', actions: ['recordUnwanted', 'forgetRequest'] },
        ],
        nothingNewer: {
          target: 'steady',
          actions: ['recordUnwanted', 'forgetRequest', 'forgetWait'],
        },
        checkFailed: { target: 'steady', actions: ['recordProblem', 'forgetRequest'] },
        assetsAwaited: { target: 'steady', actions: ['recordNewWait', 'forgetRequest'] },
        releaseRefused: { target: 'steady', actions: ['recordRefusal', 'forgetRequest'] },
        appFoundDown: { target: 'checking', reenter: true, actions: 'seeDown' },
        appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
      },
    },
    incoming,
    stopping: {
      description: 'Stops the app and waits until its whole process group is gone.',
      initial: 'forUpdate',
      invoke: { id: 'stop', src: 'stop', input: () => ({}) },
      exit: 'noteAppDown',
      on: {
        appStopped: { target: 'bringingUp.starting', actions: 'targetCurrent' },
        stopFailed: { target: 'steady', actions: 'recordProblem' },
      },
      states: {
        forUpdate: {
          description:
            'Another version replaces it, or is downloaded now. Otherwise the stopped version is started again.',
          on: {
            appStopped: [
              {
                guard: 'candidateIsInstalled',
                target: '#updater.bringingUp',
                actions: 'targetCandidate',
              },
              { guard: 'hasCandidate', target: '#updater.incoming.fetching' },
            ],
            stopFailed: { target: '#updater.steady', actions: 'recordFailure' },
          },
        },
        forRestart: {
          description: 'The operator asked for it. The same version is started again.',
        },
      },
    },
    bringingUp,
    handingOver,
    announcing: {
      description: 'Runs the post-update hook: the new version is healthy, or the old one is back.',
      invoke: {
        id: 'runHook',
        src: 'runHook',
        input: ({ context }) => hookInput(context, 'postUpdate'),
      },
      on: {
        hookSucceeded: { target: 'steady', actions: 'endChange' },
        hookFailed: { target: 'steady', actions: ['recordProblem', 'endChange'] },
        appFoundDown: [...boot],
      },
    },
    rollingBack: {
      description: 'Stops a version that did not pass probation; the last good one follows.',
      entry: 'keepFleetLock',
      invoke: { id: 'stop', src: 'stop', input: () => ({}) },
      exit: 'noteAppDown',
      on: {
        appStopped: { target: 'steady' },
        stopFailed: { target: 'steady', actions: 'recordProblem' },
      },
    },
    steady,
  },
});

export type UpdaterSnapshot = ReturnType<typeof updaterMachine.resolveState>;
export type UpdaterNode = AnyStateNode;
