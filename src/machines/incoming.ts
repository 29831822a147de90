/**
 * A release is being installed, and the app keeps running: it is downloaded, and everything that
 * can be checked before the stop is checked.
 */
import { and, not } from 'xstate';
import { hookInput } from './change.ts';
import { downloadAtHand, lockAtHand, releaseAtHand, updaterSetup } from './vocabulary.ts';

const fetching = updaterSetup.createStateConfig({
  description: 'Downloads, verifies and unpacks the release. A running app keeps running.',
  meta: { isGroup: true },
  initial: 'downloading',
  on: {
    installed: [
      {
        guard: 'wasStoppedForUpdate',
        target: '#updater.bringingUp',
        actions: ['adoptTree', 'targetCandidate'],
      },
      { target: 'preparing', actions: 'adoptTree' },
    ],
    // A download that only uses the time of a wait is no reason to keep a container's app from
    // starting.
    appFoundDown: [
      { guard: 'wasStoppedForUpdate', target: '#updater.steady', actions: 'recordInterruption' },
      {
        guard: and(['appIsUp', 'isDeferred']),
        target: '#updater.steady',
        actions: ['seeDown', 'retryNow'],
      },
      { guard: 'appIsUp', actions: 'seeDown' },
    ],
  },
  states: {
    downloading: {
      description:
        'Downloads the asset into a part file, resuming where an earlier try ended. A tree that is still on disk is not downloaded again.',
      invoke: {
        id: 'download',
        src: 'download',
        input: ({ context }) => ({ release: releaseAtHand(context) }),
      },
      on: { downloaded: { target: 'verifying', actions: 'adoptDownload' } },
    },
    verifying: {
      description:
        'Verifies the downloaded bytes by the trust rules, before anything unpacks them.',
      invoke: {
        id: 'verify',
        src: 'verify',
        // An operator who names a version accepts its repository.
        input: ({ context }) => ({
          ...downloadAtHand(context),
          repositoryId: context.candidate?.byOperator ? null : context.repositoryId,
        }),
      },
      on: { verified: { target: 'extracting', actions: 'recordVerified' } },
    },
    extracting: {
      description:
        'Unpacks into a private directory, checks the result, and publishes the complete tree by one rename.',
      invoke: { id: 'extract', src: 'extract', input: ({ context }) => downloadAtHand(context) },
    },
  },
});

const preparing = updaterSetup.createStateConfig({
  description:
    'Asks before it interrupts, and checks everything that can be checked while the app still runs.',
  initial: 'asking',
  on: {
    switchStarted: [
      {
        guard: 'handsOver',
        target: '#updater.handingOver',
        actions: ['forgetWhatWaited', 'targetCandidate'],
      },
      { target: '#updater.stopping.forUpdate', actions: 'forgetWhatWaited' },
    ],
    paused: { target: 'preparing', reenter: true, actions: 'pause' },
    // Whoever freed a slot meanwhile, with no updater there, gave it to another: it is asked again.
    workInterrupted: {
      guard: and(['needsFleetLock', not('isInterruptedTooOften')]),
      target: 'preparing',
      reenter: true,
      actions: 'recordWorkInterrupted',
    },
    // What was allowed while the app ran may not be so at the next boot.
    appFoundDown: { guard: 'appIsUp', target: 'preparing', reenter: true, actions: 'seeDown' },
  },
  states: {
    asking: {
      description:
        'May the app be interrupted now? The clock, the app and the operator can say "not now".',
      invoke: {
        id: 'observeConditions',
        src: 'observeConditions',
        input: ({ context }) => ({ window: context.policy.window }),
      },
      on: {
        conditionsObserved: [
          {
            guard: and(['isInhibited', 'appIsUp', not('treeIsThere')]),
            target: '#updater.incoming.fetching',
            actions: 'recordDeferral',
          },
          { guard: 'isInhibited', target: '#updater.steady', actions: 'recordDeferral' },
          {
            guard: and([not('appIsUp'), not('treeIsThere')]),
            target: '#updater.incoming.fetching',
          },
          { guard: 'needsFleetLock', target: 'reserving' },
          { guard: 'drainsFirst', target: 'draining' },
          { target: 'inspecting' },
        ],
      },
    },
    reserving: {
      description:
        "Asks for a slot of the fleet's lock, last of all: it is held through probation, and not more containers than there are slots are down at once.",
      entry: 'beginReservation',
      invoke: {
        id: 'acquireFleetLock',
        src: 'acquireFleetLock',
        input: ({ context }) => lockAtHand(context),
      },
      on: {
        fleetLockAcquired: [
          { guard: 'drainsFirst', target: 'draining', actions: 'recordAcquired' },
          { target: 'inspecting', actions: 'recordAcquired' },
        ],
        fleetLockRefused: [
          // The operator's word came meanwhile: it is not asked for any more.
          { guard: 'isForced', target: 'asking' },
          {
            guard: and(['appIsUp', not('treeIsThere')]),
            target: '#updater.incoming.fetching',
            actions: 'recordFleetRefusal',
          },
          { target: '#updater.steady', actions: 'recordFleetRefusal' },
        ],
      },
    },
    draining: {
      description:
        'Runs the pre-stop hook while the app is still up. It may drain, announce, say "not now", or forbid this attempt.',
      entry: 'beginChange',
      invoke: {
        id: 'runHook',
        src: 'runHook',
        input: ({ context }) => hookInput(context, 'preStop'),
      },
      on: {
        hookSucceeded: { target: 'inspecting' },
        interruptionDeferred: [
          { guard: 'isForced', target: 'inspecting' },
          { target: '#updater.steady', actions: 'recordHookDeferral' },
        ],
      },
    },
    inspecting: {
      description:
        'Checks disk, supervisor and entry point. Leaving it for `stopping` is the last durable step before the stop.',
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
});

const failed = { target: 'steady', actions: 'recordFailure' } as const;

/**
 * The operator's word can end it: a denial of this very version, or another configuration.
 * Meanwhile the gate may open: an old version is started when the first check takes too long. And a
 * release that gets the updater killed (probably out of memory) must not do so for ever.
 */
export const incoming = updaterSetup.createStateConfig({
  description: 'A release is being installed. If that fails, the app is as it was.',
  meta: { isGroup: true },
  initial: 'ordering',
  on: {
    downloadFailed: failed,
    verificationFailed: failed,
    extractionFailed: failed,
    preparationFailed: failed,
    hookFailed: failed,
    versionDenied: { guard: 'deniesCandidate', target: 'steady', actions: 'deny' },
    configurationChanged: { target: 'steady', actions: 'adoptPolicy' },
    appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
    workInterrupted: [
      { guard: 'isInterruptedTooOften', target: 'steady', actions: 'giveUpInterrupted' },
      { actions: 'recordWorkInterrupted' },
    ],
  },
  states: {
    ordering: {
      description:
        'Decides what comes first: `preparing` with `kill-then-download` or when the tree is there, otherwise the download.',
      always: [{ guard: 'asksFirst', target: 'preparing' }, { target: 'fetching' }],
    },
    fetching,
    preparing,
  },
});
