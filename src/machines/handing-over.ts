/**
 * The third path (UPDATE_STRATEGY=hand-over): the target is started beside what runs, and takes its
 * place once it has proved itself. The app is up all the while.
 *
 * Which of two copies is the app is never stored: it is the one that `current` names. So one effect
 * ends the other one, before the switch (the target failed) and after it (the old one is retired).
 */
import { and, not } from 'xstate';
import { boot } from './boot.ts';
import { hookInput } from './change.ts';
import type { Context } from './context.ts';
import type { InstalledVersion } from './model.ts';
import { updaterSetup } from './vocabulary.ts';

function targetAtHand({ target }: Context): InstalledVersion {
  if (target === null) throw new Error('invariant: there is a target in this state');
  return target;
}

/** The target can't be trusted. On the way back there is no time for another try beside. */
const failed = [
  { guard: 'targetIsCandidate', target: 'withdrawing', actions: 'recordBadVersion' },
  { target: '#updater.rollingBack', actions: 'recordProblem' },
] as const;

/** Until the switch nothing has changed for anybody: the copy beside is ended, and that is all. */
const withdrawals = {
  versionDenied: { guard: 'deniesCandidate', target: 'withdrawing', actions: 'deny' },
  configurationChanged: { target: 'withdrawing', actions: 'adoptPolicy' },
  workInterrupted: [
    { guard: 'isInterruptedTooOften', target: 'withdrawing', actions: 'giveUpInterrupted' },
    { actions: 'recordWorkInterrupted' },
  ],
} as const;

/**
 * On the way back nothing counts interruptions: an updater that dies of the second copy would leave
 * a version that is unhealthy serving for ever.
 */
const interruptedOnTheWayBack = {
  guard: not('targetIsCandidate'),
  target: '#updater.rollingBack',
} as const;

export const handingOver = updaterSetup.createStateConfig({
  description:
    'The target is brought up beside what runs. The app serves all the while, and if this fails it is as it was.',
  initial: 'startingBeside',
  on: { appFoundDown: [...boot] },
  states: {
    startingBeside: {
      description: 'Starts the target beside the app, on the same held sockets.',
      invoke: {
        id: 'startBeside',
        src: 'startBeside',
        input: ({ context }) => ({ target: targetAtHand(context) }),
      },
      on: {
        ...withdrawals,
        workInterrupted: [interruptedOnTheWayBack, ...withdrawals.workInterrupted],
        startedBeside: { target: 'proving' },
        startFailed: [
          // One after the other, as without this strategy. That interrupts, so it is asked for again.
          {
            guard: and(['targetIsCandidate', 'isSocketWithApp']),
            target: '#updater.incoming.preparing',
            actions: 'takeTurns',
          },
          ...failed,
        ],
      },
    },
    proving: {
      description:
        'The target has to prove itself: by its own word, the health check, or by staying up.',
      invoke: {
        id: 'observeReadiness',
        src: 'observeReadiness',
        input: ({ context }) => ({
          target: targetAtHand(context),
          probationMs: context.policy.probationMs,
          wasHealthy: context.target?.path === context.lastGood?.path,
        }),
      },
      on: {
        ...withdrawals,
        // What ended while nobody looked is started once more before it is judged.
        workInterrupted: [
          interruptedOnTheWayBack,
          withdrawals.workInterrupted[0],
          { target: 'startingBeside', actions: 'recordWorkInterrupted' },
        ],
        becameReady: [
          { guard: 'targetIsCandidate', target: 'askingAgain' },
          { target: 'promoting' },
        ],
        readinessFailed: failed,
      },
    },
    askingAgain: {
      description:
        'The proof took its time: the window may be closed by now, the app busy, or the operator have said "pause".',
      invoke: {
        id: 'observeConditions',
        src: 'observeConditions',
        input: ({ context }) => ({ window: context.policy.window }),
      },
      on: {
        ...withdrawals,
        conditionsObserved: [
          { guard: 'isInhibited', target: 'withdrawing', actions: 'recordDeferral' },
          { guard: 'hasPreStopHook', target: 'drainingOld' },
          { target: 'promoting' },
        ],
        preparationFailed: { target: 'withdrawing', actions: 'recordFailure' },
      },
    },
    drainingOld: {
      description:
        'Runs the pre-stop hook: the old version is about to be told to stop, and the new one serves.',
      entry: 'beginChange',
      invoke: {
        id: 'runHook',
        src: 'runHook',
        input: ({ context }) => hookInput(context, 'preStop'),
      },
      on: {
        ...withdrawals,
        hookSucceeded: { target: 'promoting' },
        interruptionDeferred: [
          { guard: 'isForced', target: 'promoting' },
          { target: 'withdrawing', actions: 'recordHookDeferral' },
        ],
        hookFailed: { target: 'withdrawing', actions: 'recordFailure' },
      },
    },
    promoting: {
      description: 'Points `current` at the target: from here on that is the app.',
      entry: 'aimChange',
      invoke: {
        id: 'switchCurrent',
        src: 'switchCurrent',
        input: ({ context }) => ({ to: targetAtHand(context), bestEffort: false }),
      },
      on: {
        switched: { target: 'retiring', actions: ['recordSwitch', 'recordStart'] },
        switchFailed: [
          { guard: 'targetIsCandidate', target: 'withdrawing', actions: 'recordFailure' },
          { target: '#updater.rollingBack', actions: 'recordProblem' },
        ],
      },
    },
    retiring: {
      description: 'Stops the old version, which may drain for as long as SVWAIT allows.',
      invoke: { id: 'stopOtherCopy', src: 'stopOtherCopy', input: () => ({}) },
      on: {
        otherCopyStopped: { target: '#updater.steady' },
        stopFailed: { target: '#updater.steady', actions: 'recordProblem' },
      },
    },
    withdrawing: {
      description: 'Stops the copy that did not take over. The app was never touched.',
      invoke: { id: 'stopOtherCopy', src: 'stopOtherCopy', input: () => ({}) },
      on: {
        otherCopyStopped: { target: '#updater.steady' },
        stopFailed: { target: '#updater.steady', actions: 'recordProblem' },
      },
    },
  },
});
