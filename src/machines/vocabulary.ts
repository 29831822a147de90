/**
 * The machine's vocabulary: what it may ask for (effects), ask about (guards) and remember
 * (actions). Pure.
 */
import { assertEvent, assign, enqueueActions, fromPromise, setup } from 'xstate';
import { addressMayBeFree } from './address-held.ts';
import { recordBadVersion, recordCrashLoop, recordCutShort } from './bad-version.ts';
import {
  adoptPolicy,
  adoptRelease,
  candidateFor,
  noCandidate,
  recordVerified,
  restsUntil,
} from './candidate.ts';
import {
  aimChange,
  beginChange,
  beginPreparation,
  isBootWithHook,
  isChangeOver,
  isPreStartDue,
} from './change.ts';
import type { Context } from './context.ts';
import {
  holdOf,
  prepare,
  recordHealthy,
  recordStart,
  recordSwitch,
  seenOnDisk,
} from './current.ts';
import {
  approve,
  isInhibited,
  isWithdrawn,
  recordDeferral,
  recordFleetRefusal,
  recordForce,
  recordHookDeferral,
  retryNow,
} from './deferral.ts';
import type { EffectInputs, EffectName } from './effects.ts';
import type { StampedFact } from './facts.ts';
import {
  deny,
  giveUpInterrupted,
  isHostFailure,
  recordFailure,
  recordInterruption,
  recordWorkInterrupted,
} from './failure.ts';
import {
  beginReservation,
  keepFleetLock,
  needsFleetLock,
  recordAcquired,
  recordReturnFailed,
  suspectFleetLock,
  unkeepFleetLock,
} from './fleet.ts';
import type { Policy, Release, World } from './model.ts';
import {
  failsAlike,
  pauseOutage,
  recordEarlyExit,
  recordNothingStarts,
  recordUnlinked,
  recordUnproven,
  withdrawDenial,
} from './outage.ts';
import { hasConditions, isUnblockedByOperator } from './permission.ts';
import {
  fallback,
  givesWay,
  handsOver,
  handsOverBack,
  isInterruptedTooOften,
  isUnproven,
  mayRollBack,
  stopsFirst,
} from './rules.ts';
import { recordRefusal, recordReplacement, recordUnwanted, recordWait } from './unwanted.ts';
import { isCandidateElsewhere, isNewsworthy, isReplaced, isWanted, runsAlready } from './wanted.ts';

/**
 * No release is allowed by the rules any more. A latest tag that can't be read says nothing about
 * others.
 */
function isNoneAllowed(event: StampedFact): boolean {
  return (
    event.type === 'releaseRefused' &&
    event.version === undefined &&
    event.code !== 'TAG_UNREADABLE'
  );
}

/** The runtime performs effects from their names; the machine never runs one. */
function performedByRuntime<N extends EffectName>() {
  return fromPromise<never, EffectInputs[N]>(() =>
    Promise.reject(new Error('effects are performed by the runtime')),
  );
}

export function releaseAtHand({ candidate }: Context): Release {
  if (candidate === null) throw new Error('invariant: a release is at hand in this state');
  return candidate.release;
}

export function lockAtHand({ fleetLock }: Context): EffectInputs['acquireFleetLock'] {
  if (fleetLock === null) throw new Error("invariant: the fleet's lock is asked for in this state");
  return { id: fleetLock.id, group: fleetLock.group };
}

export function downloadAtHand(context: Context): EffectInputs['extract'] {
  if (context.download === null) throw new Error('invariant: a download is at hand in this state');
  return { release: releaseAtHand(context), ...context.download };
}

export const updaterSetup = setup({
  types: {} as {
    context: Context;
    events: StampedFact;
    input: { policy: Policy; world: World; floor: string | null; at: number };
    tags: 'resting';
    meta: { isGroup: true };
  },
  actors: {
    check: performedByRuntime<'check'>(),
    download: performedByRuntime<'download'>(),
    verify: performedByRuntime<'verify'>(),
    extract: performedByRuntime<'extract'>(),
    observeConditions: performedByRuntime<'observeConditions'>(),
    acquireFleetLock: performedByRuntime<'acquireFleetLock'>(),
    runHook: performedByRuntime<'runHook'>(),
    prepareSwitch: performedByRuntime<'prepareSwitch'>(),
    stop: performedByRuntime<'stop'>(),
    switchCurrent: performedByRuntime<'switchCurrent'>(),
    start: performedByRuntime<'start'>(),
    startBeside: performedByRuntime<'startBeside'>(),
    observeReadiness: performedByRuntime<'observeReadiness'>(),
    stopOtherCopy: performedByRuntime<'stopOtherCopy'>(),
    observeProbation: performedByRuntime<'observeProbation'>(),
    removeOldVersions: performedByRuntime<'removeOldVersions'>(),
  },
  delays: {
    untilRetry: ({ context, event }) => Math.max(0, (context.retryAt ?? 0) - event.at),
  },
  guards: {
    isWanted: ({ context, event }) =>
      event.type === 'releaseFound' && isWanted(context, event.release, event.at),
    asksFirst: ({ context }) => context.installed !== null || stopsFirst(context),
    runsAlready: ({ context, event }) =>
      event.type === 'releaseFound' && runsAlready(context, event.release),
    isCandidateElsewhere: ({ context, event }) =>
      event.type === 'releaseFound' && isCandidateElsewhere(context, event.release),
    isNewsworthy: ({ context, event }) => isNewsworthy(context, event),
    hasCandidate: ({ context }) => context.candidate !== null,
    hasConditions: ({ context }) => hasConditions(context),
    isInhibited: ({ context, event }) =>
      event.type === 'conditionsObserved' && isInhibited(context, event),
    isDeferred: ({ context }) => context.candidate?.deferral != null,
    isGone: ({ context, event }) =>
      event.type === 'checkFailed' && event.code === 'NOT_FOUND' && isWithdrawn(context, null),
    isUnblockedByOperator: ({ context }) => isUnblockedByOperator(context),
    isRefusedNow: ({ context, event }) =>
      context.candidate?.deferral != null &&
      (('version' in event && context.candidate.release.version === event.version) ||
        (isNoneAllowed(event) && isWithdrawn(context, null))),
    isForced: ({ context }) => context.candidate?.forced === true,
    isReplaced: ({ context, event }) =>
      event.type === 'releaseFound' && isReplaced(context, event.release),
    isWithdrawn: ({ context, event }) =>
      isWithdrawn(context, event.type === 'releaseFound' ? event.release : null),
    forces: ({ event }) => event.type === 'updateRequested' && event.force === true,
    needsFleetLock: ({ context }) => needsFleetLock(context),
    // With a hand-over the hook's turn comes when the new version is ready.
    drainsFirst: ({ context }) =>
      context.app === 'up' && context.policy.hooks.preStop && !handsOver(context),
    hasPreStopHook: ({ context }) => context.policy.hooks.preStop,
    hasPostUpdateHook: ({ context }) => context.policy.hooks.postUpdate,
    isBootWithHook: ({ context, event }) =>
      event.type === 'appFoundDown' && isBootWithHook(context, event.world),
    isPreStartDue: ({ context }) => isPreStartDue(context),
    isChangeOver: ({ context }) => isChangeOver(context),
    isWayBack: ({ context }) => context.change?.reason === 'rollback',
    treeIsThere: ({ context }) => context.installed !== null,
    nothingStarts: ({ context }) => context.nothingStarts,
    candidateIsInstalled: ({ context }) => context.candidate !== null && context.installed !== null,
    deniesCandidate: ({ context, event }) =>
      event.type === 'versionDenied' && context.candidate?.release.version === event.version,
    appIsUp: ({ context }) => context.app === 'up',
    wasStoppedForUpdate: ({ context }) => context.app === 'stopped',
    knowsVersion: ({ context }) => fallback({ ...context, failedPaths: [] }) !== null,
    canBringUp: ({ context }) => context.app !== 'up' && fallback(context) !== null,
    mustRest: ({ context, event }) => restsUntil(context, event.at) !== null,
    mustWait: ({ context }) =>
      context.retryAt !== null || context.awaiting !== null || context.candidate?.deferral != null,
    awaitsAssets: ({ context }) => context.awaiting !== null,
    targetIsCandidate: ({ context }) =>
      context.target !== null && context.target.path === context.installed?.path,
    hasOtherVersion: ({ context }) =>
      context.target !== null &&
      fallback({ ...context, failedPaths: [...context.failedPaths, context.target.path] }) !== null,
    mayRollBack: ({ context }) => mayRollBack(context),
    handsOver: ({ context }) => handsOver(context),
    handsOverBack: ({ context, event }) => 'code' in event && handsOverBack(context, event.code),
    givesWay: ({ context, event }) => 'code' in event && givesWay(context, event.code),
    isHostFailure: ({ event }) => 'code' in event && isHostFailure(event.code),
    isAboutAddress: ({ event }) => 'code' in event && event.code === 'ADDRESS_HELD',
    retriesCandidate: ({ context, event }) =>
      event.type === 'versionRetried' && context.candidate?.release.version === event.version,
    isSocketWithApp: ({ event }) => 'code' in event && event.code === 'SOCKET_WITH_APP',
    isTreeMissing: ({ event }) => 'code' in event && event.code === 'TREE_MISSING',
    failsAlike: ({ context, event }) => 'code' in event && failsAlike(context, event.code),
    isInterruptedTooOften: ({ context }) => isInterruptedTooOften(context),
    isUnproven: ({ context }) => isUnproven(context),
  },
  actions: {
    adoptRelease: assign(
      ({ context, event }) => (assertEvent(event, 'releaseFound'), adoptRelease(context, event)),
    ),
    refreshCandidate: assign(
      ({ context, event }) => (
        assertEvent(event, 'releaseFound'), { candidate: candidateFor(context, event.release) }
      ),
    ),
    adoptPolicy: assign(
      ({ context, event }) => (
        assertEvent(event, 'configurationChanged'), adoptPolicy(context, event.policy, event.at)
      ),
    ),
    adoptRequest: assign(
      ({ event }) => (
        assertEvent(event, 'installRequested'),
        { request: { tag: event.tag, file: event.file, force: event.force } }
      ),
    ),
    adoptDownload: assign(
      ({ event }) => (
        assertEvent(event, 'downloaded'), { download: { path: event.path, sha256: event.sha256 } }
      ),
    ),
    recordReplacement: assign(
      ({ context, event }) => (
        assertEvent(event, 'releaseFound'), recordReplacement(context, event)
      ),
    ),
    recordVerified: assign(
      ({ context, event }) => (assertEvent(event, 'verified'), recordVerified(context, event)),
    ),
    adoptTree: assign(
      ({ event }) => (assertEvent(event, 'installed'), { installed: event.version }),
    ),
    seeDown: assign(
      ({ context, event }) => (
        assertEvent(event, 'appFoundDown'),
        {
          ...seenOnDisk(context, event.world),
          app: 'booting',
          restarted: [],
          verdict: null,
          fleetLock: suspectFleetLock(context, event.at),
        }
      ),
    ),
    seeUp: assign(({ context, event }) => {
      assertEvent(event, 'appFoundUp');
      const { world, at } = event;
      return {
        ...seenOnDisk(context, world),
        app: 'up',
        startedAt: at,
        nothingStarts: false,
        prepared: prepare(world.current),
      };
    }),
    recordInterruption: assign(
      ({ context, event }) => (
        assertEvent(event, 'appFoundDown'), recordInterruption(context, event)
      ),
    ),
    recordFailure: assign(({ context, event }) =>
      'jitter' in event ? recordFailure(context, event) : {},
    ),
    recordWorkInterrupted: assign(({ context }) => recordWorkInterrupted(context)),
    recordCutShort: assign(
      ({ context, event }) => (
        assertEvent(event, 'workInterrupted'), recordCutShort(context, event)
      ),
    ),
    giveUpInterrupted: assign(
      ({ context, event }) => (
        assertEvent(event, 'workInterrupted'), giveUpInterrupted(context, event)
      ),
    ),
    recordBadVersion: assign(({ context, event }) =>
      'jitter' in event ? recordBadVersion(context, event) : {},
    ),
    recordCrashLoop: assign(
      ({ context, event }) => (
        assertEvent(event, 'appCrashLooped'), recordCrashLoop(context, event)
      ),
    ),
    recordUnproven: assign(({ context, event }) =>
      'jitter' in event ? recordUnproven(context, event) : {},
    ),
    recordNothingStarts: assign(({ context, event }) =>
      'jitter' in event ? recordNothingStarts(context, event) : {},
    ),
    recordUnlinked: assign(({ context, event }) =>
      'jitter' in event ? recordUnlinked(context, event) : {},
    ),
    pauseOutage: assign(({ context, event }) => pauseOutage(context, event)),
    recordEarlyExit: assign(
      ({ context, event }) => (
        assertEvent(event, 'appExitedEarly'), recordEarlyExit(context, event)
      ),
    ),
    withdrawDenial: assign(({ context, event }) =>
      'jitter' in event ? withdrawDenial(context, event) : {},
    ),
    // What an operator chose is what comes back.
    askForHeld: assign(({ context: { hold } }) => ({
      request: hold && { tag: hold.tag, file: null },
    })),
    recordProblem: assign(({ event }) =>
      'code' in event
        ? { lastError: { code: event.code, message: event.message, at: event.at } }
        : {},
    ),
    recordWait: assign(({ event }) => (assertEvent(event, 'assetsAwaited'), recordWait(event))),
    recordNewWait: assign(
      ({ context, event }) => (
        assertEvent(event, 'assetsAwaited'), isNewsworthy(context, event) ? recordWait(event) : {}
      ),
    ),
    recordRefusal: assign(
      ({ event }) => (assertEvent(event, 'releaseRefused'), recordRefusal(event)),
    ),
    recordUnwanted: assign(({ context, event }) =>
      recordUnwanted(context, event.type === 'releaseFound' ? event : null),
    ),
    recordSwitch: assign(
      ({ context, event }) => (assertEvent(event, 'switched'), recordSwitch(context, event)),
    ),
    recordStart: assign(({ context, event }) => recordStart(context, event.at)),
    holdCurrent: assign(({ context, event }) => ({
      hold: holdOf(context.current, event.at),
      request: null,
      candidate: null,
      retryAt: null,
    })),
    recordHealthy: assign(
      ({ context, event }) => (
        assertEvent(event, 'versionBecameHealthy'), recordHealthy(context, event)
      ),
    ),
    noteAppDown: assign(({ context: { app } }) => ({ app: app === 'up' ? 'stopped' : app })),
    // What was noted for the wait is over with it.
    forgetWhatWaited: assign(({ context }) => ({
      retryAt: null,
      awaiting: null,
      candidate: context.candidate && { ...context.candidate, deferral: null },
    })),
    forgetRequest: assign({ request: null }),
    forgetWait: assign({ awaiting: null }),
    takeTurns: assign(({ context: { candidate } }) => ({
      candidate: candidate && { ...candidate, takesTurns: true },
    })),
    targetCandidate: assign(({ context }) => ({ target: context.installed })),
    targetFallback: assign(({ context }) => ({ target: fallback(context) })),
    targetCurrent: assign(({ context }) => ({ target: context.current })),
    pause: assign(({ context, event }) => ({
      paused: true,
      pausedAt: context.pausedAt ?? event.at,
    })),
    resume: assign({ paused: false, pausedAt: null }),
    approve: assign(
      ({ context, event }) => (
        assertEvent(event, 'versionApproved'), approve(context, event.version)
      ),
    ),
    recordForce: assign(({ context, event }) =>
      event.type === 'updateRequested' ? recordForce(context, event) : {},
    ),
    recordDeferral: assign(
      ({ context, event }) => (
        assertEvent(event, 'conditionsObserved'), recordDeferral(context, event)
      ),
    ),
    recordHookDeferral: assign(
      ({ context, event }) => (
        assertEvent(event, 'interruptionDeferred'), recordHookDeferral(context, event)
      ),
    ),
    beginReservation: assign(({ context, event }) => beginReservation(context, event.at)),
    recordAcquired: assign(({ context }) => recordAcquired(context)),
    recordFleetRefusal: assign(
      ({ context, event }) => (
        assertEvent(event, 'fleetLockRefused'), recordFleetRefusal(context, event)
      ),
    ),
    // Of the version that runs: it did not prove itself.
    keepFleetLock: assign(({ context }) => ({
      fleetLock: keepFleetLock(context, context.current?.version, context.lastError),
    })),
    unkeepFleetLock: assign(({ context }) => ({ fleetLock: unkeepFleetLock(context) })),
    forgetFleetLock: assign({ fleetLock: null }),
    recordReturnFailed: assign(
      ({ context, event }) => (
        assertEvent(event, 'fleetLockReturnFailed'), recordReturnFailed(context, event)
      ),
    ),
    retryNow: assign(({ context, event }) => retryNow(context, event.at)),
    dropCandidate: assign(noCandidate),
    beginChange: assign(({ context }) => beginChange(context)),
    aimChange: assign(({ context }) => aimChange(context)),
    beginPreparation: assign(({ context }) => beginPreparation(context)),
    endChange: assign({ change: null }),
    noteNothingStarts: assign({ nothingStarts: true, app: 'booting' }),
    releaseHold: assign({ hold: null }),
    deny: assign(({ context, event }) => {
      assertEvent(event, 'versionDenied');
      const denial = {
        version: event.version,
        fingerprint: null,
        code: 'DENIED_BY_OPERATOR',
        reason: 'denied by the operator',
        at: event.at,
      };
      const dropped = context.candidate?.release.version === event.version ? noCandidate : {};
      const fleetLock = unkeepFleetLock(context, event.version);
      return { denied: deny(context.denied, denial), fleetLock, ...dropped };
    }),
    allow: assign(({ context, event }) => {
      assertEvent(event, 'versionRetried');
      return {
        denied: context.denied.filter((denial) => denial.version !== event.version),
        ...(context.candidate?.release.version === event.version ? addressMayBeFree(context) : {}),
        failedPaths: [],
        refused: null,
        cutShort: null,
        fleetLock: unkeepFleetLock(context, event.version),
      };
    }),
    // After a pause in which nothing ran everything has another chance.
    clearRetry: assign(({ context: { app, failedPaths } }) => ({
      retryAt: null,
      failedPaths: app === 'up' ? failedPaths : [],
    })),
    // The runtime keeps the time and stamps the fact when it is due.
    scheduleRetry: enqueueActions(({ context, enqueue }) => {
      if (context.retryAt !== null)
        enqueue.raise({ type: 'retryDue', at: 0 }, { id: 'retry', delay: 'untilRetry' });
    }),
  },
});
