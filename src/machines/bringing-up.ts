/**
 * The way from a target to a running app, whatever the reason: an update, a boot, a rollback, a
 * restart.
 */
import { and, not } from 'xstate';
import { hookInput } from './change.ts';
import { updaterSetup } from './vocabulary.ts';

export const bringingUp = updaterSetup.createStateConfig({
  description: 'The app is down, and `target` is brought up.',
  meta: { isGroup: true },
  initial: 'readying',
  states: {
    readying: {
      description: "Decides whether the app's data has to be prepared before the target starts.",
      always: [
        { guard: 'isPreStartDue', target: 'migrating', actions: 'beginPreparation' },
        { target: 'switching', actions: 'aimChange' },
      ],
    },
    migrating: {
      description:
        'Runs the pre-start hook with the app down: it may back up, migrate, or on the way back restore.',
      invoke: {
        id: 'runHook',
        src: 'runHook',
        input: ({ context }) => hookInput(context, 'preStart'),
      },
      on: {
        hookSucceeded: { target: 'switching' },
        hookFailed: [
          {
            guard: and(['hasOtherVersion', not('isWayBack')]),
            target: '#updater.steady',
            actions: 'recordBadVersion',
          },
          // The service comes first: there is nothing else to run.
          { target: 'switching', actions: 'recordProblem' },
        ],
        versionDenied: {
          guard: and(['deniesCandidate', 'hasOtherVersion']),
          target: '#updater.steady',
          actions: 'deny',
        },
        workInterrupted: [
          {
            guard: and(['isInterruptedTooOften', 'hasOtherVersion']),
            target: '#updater.steady',
            actions: 'giveUpInterrupted',
          },
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
          if (context.target === null)
            throw new Error('invariant: there is a target in this state');
          return {
            to: context.target,
            bestEffort: context.target.path !== context.installed?.path,
          };
        },
      },
      on: {
        switched: { target: 'starting', actions: 'recordSwitch' },
        switchFailed: [
          { guard: 'targetIsCandidate', target: '#updater.steady', actions: 'recordFailure' },
          { guard: 'isTreeMissing', target: '#updater.steady', actions: 'recordUnlinked' },
          // The link could not be moved: what it names is complete, so it is started all the same.
          { target: 'starting', actions: ['recordUnlinked', 'targetCurrent'] },
        ],
      },
    },
    starting: {
      description: 'Starts what `current` names.',
      invoke: { id: 'start', src: 'start', input: ({ context }) => ({ target: context.target }) },
      on: {
        appStarted: { target: '#updater.steady', actions: 'recordStart' },
        startFailed: [
          { guard: 'hasOtherVersion', target: '#updater.rollingBack', actions: 'recordBadVersion' },
          { target: '#updater.steady.waiting', actions: 'recordNothingStarts' },
        ],
      },
    },
  },
});
