/** The way to the stop of a running app: it is asked, drained, and everything else is checked. */
import { and, not } from 'xstate';
import { hookInput } from './change.ts';
import { abandonable } from './transitions.ts';
import { releaseAtHand, updaterSetup } from './vocabulary.ts';

export const preparing = updaterSetup.createStateConfig({
  description: 'Asks before it interrupts, and checks everything that can be checked while the app still runs.',
  initial: 'asking',
  on: {
    switchStarted: { target: 'stopping', actions: 'stopForUpdate' },
    preparationFailed: { target: 'settling', actions: 'recordFailure' },
    paused: { target: 'preparing', reenter: true, actions: 'pause' },
    // What was allowed while the app ran may not be so at the next boot.
    appFoundDown: { guard: 'appIsUp', target: 'preparing', reenter: true, actions: 'seeDown' },
    ...abandonable,
  },
  states: {
    asking: {
      description: 'May the app be interrupted now? The clock, the app and the operator can say "not now".',
      invoke: { id: 'observeConditions', src: 'observeConditions', input: ({ context }) => ({ window: context.policy.window }) },
      on: {
        conditionsObserved: [
          { guard: and(['isInhibited', 'appIsUp', not('treeIsThere')]), target: '#updater.downloading', actions: 'recordDeferral' },
          { guard: 'isInhibited', target: '#updater.settling', actions: 'recordDeferral' },
          { guard: and([not('appIsUp'), not('treeIsThere')]), target: '#updater.downloading' },
          { guard: and(['appIsUp', 'hasPreStopHook']), target: 'draining' },
          { target: 'checking' },
        ],
      },
    },
    draining: {
      description: 'Runs the pre-stop hook while the app is still up. It may drain, announce, say "not now", or forbid this attempt.',
      entry: 'beginChange',
      invoke: { id: 'runHook', src: 'runHook', input: ({ context }) => hookInput(context, 'preStop') },
      on: {
        hookSucceeded: { target: 'checking' },
        interruptionDeferred: [
          { guard: 'isForced', target: 'checking' },
          { target: '#updater.settling', actions: 'recordHookDeferral' },
        ],
        hookFailed: { target: '#updater.settling', actions: 'recordFailure' },
      },
    },
    checking: {
      description: 'Checks disk, supervisor and entry point. Leaving it for `stopping` is the one durable step before the stop.',
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
