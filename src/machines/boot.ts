/** What follows where the app is found down, in each state in which nothing is under way. */

/**
 * A boot checks before it starts anything, so that an old version does not run when a newer one can be had. But data that has to be
 * prepared for what the image brings is not prepared while the gate's time runs out.
 */
export const boot = [
  { guard: 'isBootWithHook', target: '#updater.steady', actions: 'seeDown' },
  { target: '#updater.checking', actions: 'seeDown' },
] as const;
