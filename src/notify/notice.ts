/** What matters enough to tell somebody, seen in one fact and the states around it. Pure. */
import * as z from 'zod';
import type { JournalRecord } from '../journal/record.ts';
import type { Context } from '../machines/context.ts';
import { formatTime } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import { visible, visibleJson } from '../support/visible.ts';

export const NOTICE_EVENTS = [
  'updated',
  'rolledBack',
  'denied',
  'gaveUp',
  'unhealthy',
  'appDown',
  'approvalNeeded',
  'fleetHeld',
  'fleetLockFailing',
  'checksFailing',
  'checksRecovered',
] as const;

/**
 * The one documented shape; docs/notifications.md. `text` and `content` say the same, for Slack's
 * and Discord's webhooks.
 */
export const noticeSchema = z.object({
  id: z.string().describe('the same for every try to deliver one notification'),
  event: z.enum(NOTICE_EVENTS),
  at: z.string().nullable().meta({ format: 'date-time' }),
  repository: z.string(),
  from: z.string().nullable().describe('version before'),
  to: z.string().nullable().describe('version that runs now, or that the update was for'),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  text: z.string(),
  content: z.string(),
});
export type Notice = z.infer<typeof noticeSchema>;

/** Discord takes 2,000, and refuses what is longer. */
const MAX_CHARACTERS = 1900;

type Draft = Pick<Notice, 'event' | 'from' | 'to' | 'code' | 'reason'>;

/** `failingAfterMs`: so long the fleet's lock may fail before somebody is told; 0: never. */
export function noticesOf(
  before: State,
  after: State,
  { seq, at, fact }: JournalRecord,
  failingAfterMs: number,
): Notice[] {
  const [was, is] = [before.snapshot.context, after.snapshot.context];
  const draft =
    changeOver(was, is) ??
    nothingRuns(was, is) ??
    unhealthy(after, fact) ??
    newDenial(was, is) ??
    approvalNeeded(was, is);
  const drafts = [draft, fleetHeld(was, is), fleetLockFailing(was, is, failingAfterMs)];
  return drafts
    .filter((one) => one !== null)
    .map((one, index) =>
      notice(one, is.policy.repository, index === 0 ? String(seq) : `${seq}-${index}`, at),
    );
}

export function notice(draft: Draft, repository: string, id: string, at: number): Notice {
  const text = visible(`${repository}: ${sentence(draft)}`).slice(0, MAX_CHARACTERS);
  return {
    id: `${repository}/${id}`,
    at: formatTime(at),
    repository,
    ...visibleJson(draft),
    text,
    content: text,
  };
}

/** Told once the new version is healthy, or the old one is back: not before. */
function changeOver(was: Context, is: Context): Draft | null {
  if (was.change === null || is.change !== null) return null;
  const { from, to, reason } = was.change;
  const running = is.current?.version ?? null;
  if (reason === 'rollback' || running !== to) {
    // Before anything was stopped: it is told as what it was.
    if (running === from && reason !== 'rollback') return null;
    const bad = reason === 'rollback' ? from : to;
    const denial = is.denied.findLast(({ version }) => version === bad);
    const why =
      denial === undefined
        ? is.lastError && { code: is.lastError.code, reason: is.lastError.message }
        : { code: denial.code, reason: denial.reason };
    return {
      event: 'rolledBack',
      from: bad,
      to: running,
      code: why?.code ?? null,
      reason: why?.reason ?? null,
    };
  }
  return reason === 'boot' && (from === null || from === to)
    ? null
    : { event: 'updated', from, to, code: null, reason: null };
}

function nothingRuns(was: Context, is: Context): Draft | null {
  if (was.nothingStarts || !is.nothingStarts) return null;
  return {
    event: 'appDown',
    from: is.current?.version ?? null,
    to: null,
    code: is.lastError?.code ?? null,
    reason: is.lastError?.message ?? null,
  };
}

/** It stays, by the operator's choice or because there is nothing else. */
function unhealthy({ snapshot }: State, fact: JournalRecord['fact']): Draft | null {
  if (fact.type !== 'probationFailed' && fact.type !== 'appCrashLooped') return null;
  if (snapshot.matches('rollingBack')) return null;
  const version = snapshot.context.current?.version ?? null;
  return { event: 'unhealthy', from: version, to: version, code: fact.code, reason: fact.message };
}

function newDenial(was: Context, is: Context): Draft | null {
  const denial = is.denied.find(
    (one) =>
      one.code !== 'DENIED_BY_OPERATOR' &&
      !was.denied.some((other) => other.version === one.version && other.at === one.at),
  );
  // While the way back is under way, its end tells of both.
  if (denial === undefined || is.change !== null) return null;
  const event =
    was.candidate !== null && was.candidate.attempt >= was.policy.maxAttempts ? 'gaveUp' : 'denied';
  const interrupted = denial.code === 'INTERRUPTED' ? 'gaveUp' : event;
  return {
    event: interrupted,
    from: is.current?.version ?? null,
    to: denial.version,
    code: denial.code,
    reason: denial.reason,
  };
}

function approvalNeeded(was: Context, is: Context): Draft | null {
  if (
    !waitsForApproval(is) ||
    (waitsForApproval(was) && was.candidate?.release.version === is.candidate?.release.version)
  )
    return null;
  return {
    event: 'approvalNeeded',
    from: is.current?.version ?? null,
    to: is.candidate?.release.version ?? null,
    code: null,
    reason: null,
  };
}

/** A version failed here, and the lock is kept so that it goes no further. */
function fleetHeld(was: Context, is: Context): Draft | null {
  const failure = is.fleetLock?.failure ?? null;
  if (failure === null || was.fleetLock?.failure != null) return null;
  const { code, message: reason } = failure;
  return {
    event: 'fleetHeld',
    from: is.current?.version ?? null,
    to: failure.version,
    code,
    reason,
  };
}

/** Told once, when it has lasted for so long: nothing but the two states is needed to know that. */
function fleetLockFailing(was: Context, is: Context, failingAfterMs: number): Draft | null {
  const failing = lockFailureOf(is);
  if (failingAfterMs === 0 || failing === null || failing.lastedMs < failingAfterMs) return null;
  const before = lockFailureOf(was);
  if (before !== null && before.lastedMs >= failingAfterMs) return null;
  const version = is.current?.version ?? null;
  const { code, message: reason } = failing.problem;
  return { event: 'fleetLockFailing', from: version, to: version, code, reason };
}

function lockFailureOf({ candidate, fleetLock }: Context) {
  const asked = candidate?.deferral?.lock ?? null;
  const failing =
    asked !== null && asked.failingSince !== null
      ? { since: asked.failingSince, problem: asked.problem }
      : (fleetLock?.returns ?? null);
  return failing && { problem: failing.problem, lastedMs: failing.problem.at - failing.since };
}

function waitsForApproval({ candidate }: Context): boolean {
  return candidate?.deferral?.inhibitors.some(({ reason }) => reason === 'approval') === true;
}

function sentence({ event, from, to, reason }: Draft): string {
  const why = reason === null ? '' : `: ${reason}`;
  switch (event) {
    case 'updated':
      return from === null ? `version ${to} runs` : `updated, ${from} → ${to}`;
    case 'rolledBack':
      return `${from} was rolled back, ${to ?? 'nothing'} runs${why}`;
    case 'denied':
      return `${to} is denied, ${from ?? 'nothing'} runs on${why}`;
    case 'gaveUp':
      return `${to} was given up, ${from ?? 'nothing'} runs on${why}`;
    case 'unhealthy':
      return `${to ?? 'the app'} is unhealthy, and stays${why}`;
    case 'appDown':
      return `the app is DOWN, no version could be started${why}`;
    case 'approvalNeeded':
      return `${to} is verified and waits for \`self-update approve ${to}\``;
    case 'fleetHeld':
      return `${to} failed, and this container holds the fleet, so that no other takes it${why}`;
    case 'fleetLockFailing':
      return `the fleet's lock can't be had for long, ${to ?? 'nothing'} runs on${why}`;
    case 'checksFailing':
      return `checks fail for long, ${to ?? 'nothing'} runs on${why}`;
    case 'checksRecovered':
      return 'checks succeed again';
    default:
      return event satisfies never;
  }
}
