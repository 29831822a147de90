/** Where a release waits for its moment. */
import { and, cancel, not } from 'xstate';
import { boot } from './transitions.ts';
import { updaterSetup } from './vocabulary.ts';

/** Back to a release that waits, as far as it had come. */
const takeUp = [
  { guard: and(['hasCandidate', 'treeIsThere']), target: 'preparing', actions: 'clearRetry' },
  { guard: and(['hasCandidate', 'stopsFirst']), target: 'preparing', actions: 'clearRetry' },
  { guard: 'hasCandidate', target: 'downloading', actions: 'clearRetry' },
] as const;

export const waiting = updaterSetup.createStateConfig({
  description: 'Waits for its moment, for the time of the next try, for assets that are still uploading, or for a first version to run.',
  tags: 'resting',
  entry: 'scheduleRetry',
  exit: cancel('retry'),
  on: {
    retryDue: [
      ...takeUp,
      { guard: and([not('appIsUp'), 'knowsVersion']), target: 'readying', actions: ['clearRetry', 'targetFallback'] },
      { guard: 'appIsUp', target: 'running', actions: 'clearRetry' },
      // There is nothing to start: it has to be had first.
      { target: 'checking', actions: ['clearRetry', 'askForHeld'] },
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
      { guard: 'isReplaced', actions: 'recordReplacement' },
      { guard: 'isWithdrawn', target: 'settling', actions: 'dropCandidate' },
    ],
    nothingNewer: [
      { guard: and(['awaitsAssets', 'appIsUp']), target: 'settling', actions: 'forgetWait' },
      { guard: 'isWithdrawn', target: 'settling', actions: 'dropCandidate' },
    ],
    // The only release was taken away, or the pinned tag: nothing is there any more, or not for us.
    checkFailed: { guard: 'isGone', target: 'settling', actions: ['dropCandidate', 'recordProblem'] },
    // Its maintainers took its assets away while it waited.
    assetsAwaited: [
      { guard: and(['isRefusedNow', 'appIsUp']), target: 'settling', actions: ['dropCandidate', 'recordWait', 'recordProblem'] },
      { guard: 'saysSomethingNew', actions: ['recordWait', 'recordProblem'] },
    ],
    releaseRefused: [
      { guard: and(['isRefusedNow', 'appIsUp']), target: 'settling', actions: ['dropCandidate', 'recordRefusal', 'recordProblem'] },
      { guard: 'saysSomethingNew', target: 'settling', actions: ['recordRefusal', 'recordProblem'] },
    ],
    installRequested: { target: 'checking', actions: 'adoptRequest' },
    restartRequested: { guard: 'appIsUp', target: 'stopping', actions: 'stopForRestart' },
    versionDenied: { target: 'settling', actions: 'deny' },
    appCrashLooped: [
      { guard: 'isTreeMissing', target: 'rollingBack', actions: 'recordLostTree' },
      { guard: and(['mayRollBack', not('isHeld')]), target: 'rollingBack', actions: 'recordCrashLoop' },
      // What might help waits already: it need not ask an app that does not stay up.
      { guard: and(['isDeferred', not('nothingStarts')]), target: 'preparing', actions: ['recordProblem', 'noteNothingStarts', 'clearRetry'] },
      { guard: 'saysSomethingNew', actions: 'recordProblem' },
    ],
    appFoundDown: [...boot],
    appFoundUp: { guard: not('appIsUp'), target: 'settling', actions: 'seeUp' },
  },
});
