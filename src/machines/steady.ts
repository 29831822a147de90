/** Where the machine rests: the app runs, or the updater waits for what could start it. */
import { and, not } from 'xstate';
import { boot } from './boot.ts';
import { running } from './running.ts';
import { updaterSetup } from './vocabulary.ts';
import { waiting } from './waiting.ts';

export const steady = updaterSetup.createStateConfig({
  description:
    'Nothing is being changed. The app runs, or the updater waits for what could start it.',
  meta: { isGroup: true },
  initial: 'deciding',
  on: {
    installRequested: { target: 'checking', actions: 'adoptRequest' },
    restartRequested: { guard: 'appIsUp', target: 'stopping.forRestart' },
    appFoundDown: [...boot],
    appCrashLooped: [
      { guard: 'givesWay', target: 'rollingBack', actions: 'recordCrashLoop' },
      { guard: 'isNewsworthy', actions: 'recordProblem' },
    ],
  },
  states: {
    deciding: {
      description: 'Decides where to rest: a stopped app is brought up first.',
      always: [
        { guard: 'canBringUp', target: '#updater.bringingUp', actions: 'targetFallback' },
        { guard: and(['isChangeOver', 'hasPostUpdateHook']), target: '#updater.announcing' },
        { guard: 'isChangeOver', target: 'deciding', actions: 'endChange' },
        // What was started has to prove itself before anything takes its place.
        { guard: and(['isDeferred', 'appIsUp', 'isUnproven']), target: 'running.probation' },
        {
          guard: and(['isUnblockedByOperator', 'treeIsThere']),
          target: '#updater.incoming.preparing',
        },
        // Nothing is there that could run: it is looked for again within seconds, not at the next
        // poll.
        { guard: not('appIsUp'), target: 'waiting', actions: 'pauseOutage' },
        { guard: 'mustWait', target: 'waiting' },
        { target: 'running' },
      ],
    },
    running,
    waiting,
  },
});
