/**
 * What is remembered when versions don't start or don't stay up. Pure.
 *
 * Every way down ends in a pause: each failure uses up a tree (`failedPaths`), and when none is
 * left the machine waits, longer each time (`outage`), before all of them get another chance.
 *
 * A version that ends early is started once more before it is judged. If the version that comes
 * back in its place ends in the same way, the machine is to blame (a port that is still taken,
 * say): the denial is withdrawn, and after a pause the newer one is tried first.
 */
import { treeLost } from './bad-version.ts';
import type { Context } from './context.ts';
import type { FactOf, StampedFact } from './facts.ts';
import type { Failure } from './failure.ts';
import { fingerprint } from './model.ts';
import { backoffMs, nextOutage, type Outage } from './pacing.ts';

type Trouble = { code: string; message: string; at: number };

function problem({ code, message, at }: Trouble): Pick<Context, 'lastError'> {
  return { lastError: { code, message, at } };
}

function paused(
  { outage, policy }: Context,
  at: number,
  jitter: number,
): { outage: Outage; retryAt: number } {
  const next = nextOutage(outage, at, policy.retryBaseMs, jitter);
  return { outage: next, retryAt: next.until };
}

/** Nothing could be started: after a pause everything gets another chance. */
export function recordNothingStarts(context: Context, fact: Failure): Partial<Context> {
  const lost = treeLost(context, fact.code, context.target ?? context.current);
  return {
    ...lost,
    ...paused(context, fact.at, fact.jitter),
    ...problem(fact),
    failedPaths: [],
    app: 'booting',
    nothingStarts: true,
  };
}

/** It did well, but that could not be recorded: it runs on, and proves itself once more later. */
export function recordUnproven(context: Context, fact: Failure): Partial<Context> {
  const { retryBaseMs } = context.policy;
  const { pauses } = nextOutage(context.outage, fact.at, retryBaseMs, fact.jitter);
  const retryAt = fact.at + backoffMs(pauses, retryBaseMs, fact.jitter);
  const outage = { pauses, until: retryAt };
  return { ...problem(fact), outage, retryAt, candidate: null, download: null, installed: null };
}

/**
 * The link could not be moved to this version: it is not tried again before something runs, or
 * everything has another chance.
 */
export function recordUnlinked(context: Context, fact: Failure): Partial<Context> {
  const { target, failedPaths } = context;
  const others = failedPaths.filter((path) => path !== target?.path);
  return {
    ...problem(fact),
    failedPaths: target === null ? others : [...others, target.path],
    ...treeLost(context, fact.code, target),
  };
}

/**
 * Nothing runs, and nothing is there to be started. What was to be tried again later is tried
 * sooner.
 */
export function pauseOutage(context: Context, event: StampedFact): Partial<Context> {
  const { outage, retryAt } = paused(context, event.at, 'jitter' in event ? event.jitter : 0.5);
  return { outage, retryAt: Math.min(retryAt, context.retryAt ?? retryAt) };
}

/** It ended early, and the supervisor starts it once more: its port may not have been free yet. */
export function recordEarlyExit(
  context: Context,
  fact: FactOf<'appExitedEarly'> & { at: number },
): Partial<Context> {
  const { current, restarted } = context;
  return {
    ...problem(fact),
    startedAt: fact.at,
    restarted: current === null ? restarted : [...restarted, current.path],
  };
}

/** Whether the version that came back fails as the one did that was denied for it. */
export function failsAlike({ verdict, current, policy }: Context, code: string): boolean {
  if (verdict === null || current === null || current.path === verdict.installed.path) return false;
  return code === verdict.code && verdict.candidate.attempt < policy.maxAttempts;
}

/**
 * The machine is to blame. What can be started is tried again after a pause, the newer version
 * first.
 */
export function withdrawDenial(context: Context, fact: Failure): Partial<Context> {
  const { verdict, current, baked, lastGood, previous } = context;
  if (verdict === null) return {};
  const { candidate, installed } = verdict;
  const print = fingerprint(candidate.release);
  const message = `${candidate.release.version} and ${current?.version} both ended early, so the release is probably not the cause: a port may still be in use. Both are tried again (${fact.message})`;
  const known = [baked, current, lastGood, previous].flatMap((version) =>
    version === null ? [] : [version.path],
  );
  return {
    ...problem({ ...fact, message }),
    verdict: null,
    denied: context.denied.filter(
      (denial) => denial.version !== candidate.release.version || denial.fingerprint !== print,
    ),
    candidate: {
      ...candidate,
      attempt: candidate.attempt + 1,
      setbacks: candidate.setbacks + 1,
      deferral: null,
    },
    installed,
    retryAt: null,
    nothingStarts: true,
    failedPaths: [...new Set([...known, installed.path])],
  };
}
