/** Transitions that several states share. */
import { and, not } from 'xstate';

/**
 * A boot checks before it starts anything, so that an old version does not run when a newer one can be had. But data that has to be
 * prepared for what the image brings is not prepared while the gate's time runs out.
 */
export const boot = [
  { guard: 'isBootWithHook', target: '#updater.settling', actions: 'seeDown' },
  { target: '#updater.checking', actions: 'seeDown' },
] as const;

/** A download that only uses the time of a wait is no reason to keep a container's app from starting. */
export const whenFoundDown = [
  { guard: 'wasStoppedForUpdate', target: 'settling', actions: 'recordInterruption' },
  { guard: and(['appIsUp', 'isDeferred']), target: 'settling', actions: ['seeDown', 'retryNow'] },
  { guard: 'appIsUp', actions: 'seeDown' },
] as const;

/**
 * While a release is on its way in, the operator's word can end that: a denial of this very version, or another
 * configuration. Meanwhile the gate may open: an old version is started when the first check takes too long. And whoever kills the
 * updater (no memory, most likely) must not do so for ever.
 */
export const abandonable = {
  versionDenied: { guard: 'deniesCandidate', target: 'settling', actions: 'deny' },
  configurationChanged: { target: 'settling', actions: 'adoptPolicy' },
  appFoundUp: { guard: not('appIsUp'), actions: 'seeUp' },
  workInterrupted: [{ guard: 'isInterruptedTooOften', target: 'settling', actions: 'giveUpInterrupted' }, { actions: 'recordWorkInterrupted' }],
} as const;
