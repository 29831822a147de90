/** Where a release waits for its moment, and a container for its first version. */
import { and, cancel, not } from 'xstate';
import { updaterSetup } from './vocabulary.ts';

export const waiting = updaterSetup.createStateConfig({
  description: 'Waits; each state in it says for what. They share the time of the next try.',
  tags: 'resting',
  initial: 'forWhat',
  entry: 'scheduleRetry',
  exit: cancel('retry'),
  on: {
    retryDue: [
      // Back to a release that waits, as far as it had come.
      { guard: 'hasCandidate', target: '#updater.incoming', actions: 'clearRetry' },
      {
        guard: and([not('appIsUp'), 'knowsVersion']),
        target: '#updater.bringingUp',
        actions: ['clearRetry', 'targetFallback'],
      },
      { guard: 'appIsUp', target: 'running', actions: 'clearRetry' },
      // There is nothing to start: it has to be had first.
      { target: '#updater.checking', actions: ['clearRetry', 'askForHeld'] },
    ],
    updateRequested: [
      {
        guard: 'hasCandidate',
        target: '#updater.incoming',
        actions: ['clearRetry', 'recordForce'],
      },
      { guard: and(['appIsUp', 'isUnproven']), target: 'running', actions: 'clearRetry' },
    ],
    releaseFound: [
      { guard: and(['isWanted', 'mustRest']), target: '#updater.steady', actions: 'adoptRelease' },
      { guard: 'isWanted', target: '#updater.incoming', actions: 'adoptRelease' },
      { guard: 'isCandidateElsewhere', actions: 'refreshCandidate' },
      { guard: 'isReplaced', actions: 'recordReplacement' },
      { guard: 'isWithdrawn', target: '#updater.steady', actions: 'dropCandidate' },
    ],
    nothingNewer: [
      { guard: and(['awaitsAssets', 'appIsUp']), target: '#updater.steady', actions: 'forgetWait' },
      { guard: 'isWithdrawn', target: '#updater.steady', actions: 'dropCandidate' },
    ],
    assetsAwaited: { guard: 'isNewsworthy', target: '.forWhat', actions: 'recordWait' },
    releaseRefused: { guard: 'isNewsworthy', target: '#updater.steady', actions: 'recordRefusal' },
    configurationChanged: [
      // It may leave nothing to wait for.
      { guard: 'appIsUp', target: '#updater.steady', actions: 'adoptPolicy' },
      { target: '.forWhat', actions: 'adoptPolicy' },
    ],
    versionDenied: { target: '#updater.steady', actions: 'deny' },
    appFoundUp: { guard: not('appIsUp'), target: '#updater.steady', actions: 'seeUp' },
  },
  states: {
    forWhat: {
      description: 'Decides what is waited for: the first of several things.',
      always: [
        { guard: 'isDeferred', target: 'forPermission' },
        { guard: 'awaitsAssets', target: 'forAssets' },
        { guard: 'appIsUp', target: 'forRetry' },
        { target: 'forVersion' },
      ],
    },
    forPermission: {
      description:
        'The release must not interrupt the app yet: something said "not now". The operator or time ends that.',
      on: {
        versionApproved: { target: '#updater.steady', actions: ['approve', 'retryNow'] },
        versionRetried: {
          guard: 'retriesCandidate',
          target: '#updater.steady',
          actions: ['allow', 'retryNow'],
        },
        resumed: { target: '#updater.steady', actions: ['resume', 'retryNow'] },
        holdReleased: { target: '#updater.steady', actions: ['releaseHold', 'retryNow'] },
        configurationChanged: { target: '#updater.steady', actions: ['adoptPolicy', 'retryNow'] },
        // The only release was taken away, or the pinned tag: nothing is there any more, or not for
        // us.
        checkFailed: {
          guard: 'isGone',
          target: '#updater.steady',
          actions: ['dropCandidate', 'recordProblem'],
        },
        // Its maintainers took its assets away while it waited.
        assetsAwaited: {
          guard: and(['isRefusedNow', 'appIsUp']),
          target: '#updater.steady',
          actions: ['dropCandidate', 'recordWait'],
        },
        releaseRefused: {
          guard: and(['isRefusedNow', 'appIsUp']),
          target: '#updater.steady',
          actions: ['dropCandidate', 'recordRefusal'],
        },
        // What might help waits already: it need not ask an app that does not stay up.
        appCrashLooped: {
          guard: and([not('givesWay'), not('nothingStarts')]),
          target: '#updater.incoming.preparing',
          actions: ['recordProblem', 'noteNothingStarts', 'clearRetry'],
        },
      },
    },
    forAssets: {
      description: "The newest release's assets are still being uploaded. Each poll looks again.",
    },
    forRetry: { description: 'The app runs, and what failed is tried again after a pause.' },
    forVersion: {
      description: 'No version runs, and none could be started. After a pause all are tried again.',
    },
  },
});
