/** The app runs: on probation, or trusted. */
import { and, not } from 'xstate';
import { sortTrees } from './rules.ts';
import { updaterSetup } from './vocabulary.ts';

export const running = updaterSetup.createStateConfig({
  description: 'The app runs. This is the resting state, also while a poll is made from it.',
  initial: 'trusting',
  states: {
    trusting: {
      description: 'A version that was healthy before needs no probation.',
      always: [{ guard: 'isUnproven', target: 'probation' }, { target: 'settled' }],
    },
    probation: {
      description:
        'Started, not yet trusted: it has to stay up, and to pass the health check if one is set.',
      invoke: {
        id: 'observeProbation',
        src: 'observeProbation',
        input: ({ context: { current, startedAt, policy, restarted } }) => ({
          version: current?.version ?? '',
          startedAt,
          probationMs: policy.probationMs,
          again: current !== null && restarted.includes(current.path),
        }),
      },
      on: {
        versionBecameHealthy: { target: '#updater.steady', actions: 'recordHealthy' },
        // It begins anew, so that nobody is trusted for time in which no updater looked. Too many
        // are a failure: see rules.ts.
        workInterrupted: { target: 'probation', reenter: true, actions: 'recordCutShort' },
        appExitedEarly: { target: 'probation', reenter: true, actions: 'recordEarlyExit' },
        probationFailed: [
          { guard: 'failsAlike', target: '#updater.rollingBack', actions: 'withdrawDenial' },
          {
            guard: and(['isHostFailure', not('isAboutAddress')]),
            target: '#updater.steady.waiting',
            actions: 'recordUnproven',
          },
          {
            guard: 'handsOverBack',
            target: '#updater.handingOver',
            actions: ['targetCurrent', 'recordBadVersion', 'targetFallback'],
          },
          {
            guard: 'mayRollBack',
            target: '#updater.rollingBack',
            actions: ['targetCurrent', 'recordBadVersion'],
          },
          {
            guard: 'isDeferred',
            target: '#updater.steady.waiting',
            actions: ['recordProblem', 'keepFleetLock'],
          },
          { target: 'settled', actions: ['recordProblem', 'keepFleetLock'] },
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
          {
            guard: and(['isWanted', 'mustRest']),
            target: '#updater.steady',
            actions: 'adoptRelease',
          },
          { guard: 'isWanted', target: '#updater.incoming', actions: 'adoptRelease' },
          { guard: 'isReplaced', actions: 'recordReplacement' },
        ],
        assetsAwaited: {
          guard: 'isNewsworthy',
          target: '#updater.steady.waiting',
          actions: 'recordWait',
        },
        releaseRefused: { guard: 'isNewsworthy', actions: 'recordRefusal' },
      },
    },
  },
});
