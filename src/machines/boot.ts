/** The transitions for an app that is found down while nothing is in progress. */

/**
 * A boot checks before it starts anything, so that an old version does not run when a newer one can
 * be had. But data that has to be prepared for what the image brings is not prepared while the
 * gate's time runs out.
 */
export const boot = [
  { guard: 'isBootWithHook', target: '#updater.steady', actions: 'seeDown' },
  { target: '#updater.checking', actions: 'seeDown' },
] as const;
