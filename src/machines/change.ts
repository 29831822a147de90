/** What the hooks are told of a change of the version, and when it is their turn. Pure. */
import type { Change, Context } from './context.ts';
import { prepare, seenOnDisk } from './current.ts';
import type { EffectInputs } from './effects.ts';
import type { HookName, World } from './model.ts';
import { fallback, isUnproven } from './rules.ts';
import { compareVersions } from './version.ts';

/**
 * The app is about to be stopped: hooks may act from here on, so a post-update hook must follow.
 */
export function beginChange({ candidate, prepared, current }: Context): Partial<Context> {
  if (candidate === null) return {};
  const from = prepared?.version ?? current?.version ?? null;
  return {
    change: {
      from,
      to: candidate.release.version,
      reason: candidate.byOperator ? 'install' : 'update',
    },
  };
}

/** The target is about to be started; another one than the change was for is a way back. */
export function aimChange(context: Context): Partial<Context> {
  return { change: changeTo(context) };
}

function changeTo({
  target,
  prepared,
  change,
  candidate,
  installed,
  app,
  nothingStarts,
  policy,
}: Context): Change | null {
  if (target === null || change?.to === target.version) return change;
  // A newer one is no way back, though the change before it has not been told to its end.
  if (change !== null && compareVersions(target.version, change.to, policy.versioning) < 0)
    return { from: change.to, to: target.version, reason: 'rollback' };
  if (prepared?.path === target.path) return null;
  const from = prepared?.version ?? null;
  const isCandidate = candidate !== null && target.path === installed?.path;
  if (isCandidate && candidate.byOperator) return { from, to: target.version, reason: 'install' };
  if (app === 'booting' && !nothingStarts) return { from, to: target.version, reason: 'boot' };
  return { from, to: target.version, reason: isCandidate ? 'update' : 'rollback' };
}

/** Whether the app's data has to be prepared for the target before that starts. */
export function isPreStartDue({ policy, target, prepared }: Context): boolean {
  return policy.hooks.preStart && target !== null && target.path !== prepared?.path;
}

/** Whether what is to run at a boot has data to be prepared. */
export function isBootWithHook(context: Context, world: World): boolean {
  const seen = { ...context, ...seenOnDisk(context, world), app: 'booting' as const };
  return isPreStartDue({ ...seen, target: fallback(seen) });
}

/** From here on the data may be the target's. */
export function beginPreparation(context: Context): Partial<Context> {
  return { prepared: prepare(context.target), ...aimChange(context) };
}

/** Whether a change is over, with or without success, and no post-update hook ran yet. */
export function isChangeOver(context: Context): boolean {
  const { change, app, current } = context;
  return (
    change !== null && app === 'up' && !(isUnproven(context) && current?.version === change.to)
  );
}

export function hookInput(context: Context, hook: HookName): EffectInputs['runHook'] {
  const { change, current, target, installed } = context;
  if (change === null) throw new Error('invariant: hooks run in the course of a change');
  const tree = { preStop: installed, preStart: target, postUpdate: current }[hook]?.path ?? null;
  // Given up before anything was stopped: what the pre-stop hook did is to be undone.
  if (hook === 'postUpdate' && current !== null && current.version !== change.to)
    return { hook, from: change.to, to: current.version, reason: 'rollback', tree };
  return { hook, ...change, tree };
}
