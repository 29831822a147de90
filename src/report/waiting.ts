/**
 * "Why not now", in one line: what waits, for what, since when, and when the next chance is. Pure.
 */
import * as z from 'zod';
import type { Candidate, Context } from '../machines/context.ts';
import type { Inhibitor, Policy } from '../machines/model.ts';
import { isLimitInForce } from '../machines/pacing.ts';
import type { PollNote } from '../machines/poll-note.ts';
import { isDenied } from '../machines/rules.ts';
import { compareVersions } from '../machines/version.ts';
import type { State } from '../runtime/fold.ts';
import { formatDuration, formatTime } from './words.ts';

const time = z.string().meta({ format: 'date-time' }).nullable();
const inhibitorReasons = [
  'denied',
  'paused',
  'held',
  'approval',
  'address',
  'minAge',
  'rollout',
  'window',
  'busy',
  'hook',
  'fleet',
] as const satisfies Inhibitor['reason'][];

export const waitingForSchema = z.object({
  reason: z
    .enum(['assets', 'retry', 'firstVersion', 'rateLimit', ...inhibitorReasons])
    .describe('the first one, if there are several'),
  message: z.string().describe('what is waiting, for what, and what would end the wait'),
  since: time,
  until: time.describe('the next chance; null if unknown'),
});
export type WaitingFor = z.infer<typeof waitingForSchema>;

export function waitingFor(
  state: State | null,
  note: PollNote | null,
  now: number,
): WaitingFor | null {
  if (state === null) return null;
  const { context } = state.snapshot;
  const { awaiting, candidate, retryAt, current, paused, pausedAt } = context;
  if (candidate?.deferral && state.snapshot.matches({ steady: { waiting: 'forPermission' } }))
    return deferralOf(candidate, candidate.deferral, context.policy);
  // Of the same wait, the newest words: what polling noted.
  const words = note?.lastError?.code === awaiting?.code ? note?.lastError?.message : undefined;
  if (awaiting)
    return {
      reason: 'assets',
      message: words ?? awaiting.message,
      since: formatTime(awaiting.since),
      until: null,
    };
  if (paused)
    return {
      reason: 'paused',
      message: 'updates are paused until `self-update resume`',
      since: formatTime(pausedAt),
      until: null,
    };
  if (candidate && retryAt !== null)
    return {
      reason: 'retry',
      message: `${candidate.release.version} is tried again (try ${candidate.attempt})`,
      since: null,
      until: formatTime(retryAt),
    };
  if (note && isLimitInForce(note.limitedUntilAt, now))
    return {
      reason: 'rateLimit',
      message: 'the limit of the source of releases',
      since: formatTime(note.lastCheckAt),
      until: formatTime(note.limitedUntilAt),
    };
  const passedOver = note?.latest && latestPassedOver(context, note.latest.version);
  if (passedOver) return passedOver;
  if (current === null && state.snapshot.matches({ steady: 'waiting' }))
    return {
      reason: 'firstVersion',
      message: 'no version is installed or part of the image yet',
      since: null,
      until: formatTime(note?.nextCheckAt),
    };
  return null;
}

function deferralOf(
  { release }: Candidate,
  { inhibitors, since, message: words }: NonNullable<Candidate['deferral']>,
  policy: Policy,
): WaitingFor | null {
  const [first] = inhibitors;
  if (first === undefined) return null;
  const untils = inhibitors.map(({ until }) => until);
  const until = untils.every((known) => known !== null) ? Math.max(...untils) : null;
  const message = `${release.version} waits for ${inhibitors.map((inhibitor) => describe(inhibitor, release.version, policy, words)).join('; for ')}`;
  return { reason: first.reason, message, since: formatTime(since), until: formatTime(until) };
}

function describe(
  { reason, until }: Inhibitor,
  version: string,
  { window, minAgeMs }: Policy,
  message: string | null,
): string {
  switch (reason) {
    case 'denied':
      return `\`self-update retry ${version}\`, or UPDATE_DENY without it`;
    case 'paused':
      return '`self-update resume`';
    case 'held':
      return '`self-update release`';
    case 'approval':
      return `\`self-update approve ${version}\``;
    case 'address':
      return `another UPDATE_LISTEN, or \`self-update retry ${version}\`: it binds an address itself that is held for it`;
    case 'minAge':
      return formatTime(until) === null
        ? 'its age, which is not known (`self-update update --force`)'
        : `its age to be ${formatDuration(minAgeMs)}, at ${formatTime(until)}`;
    case 'rollout':
      return formatTime(until) === null
        ? 'its turn, which is not known (`self-update update --force`)'
        : `its turn in the rollout, at ${formatTime(until)}`;
    case 'fleet':
      return fleetWords(message);
    case 'window':
      return `the window ${window?.text ?? ''}${until === null ? ', which never opens' : `, which opens at ${formatTime(until)}`}`;
    case 'busy':
      return 'the app, which is busy (`self-update update --force` overrides)';
    case 'hook':
      return 'the pre-stop hook, which said "not now"';
    default:
      return reason satisfies never;
  }
}

function fleetWords(message: string | null): string {
  if (message === null) return "the fleet's lock, which is asked for once the app runs";
  const held = message.replace(/^the fleet's lock is /, "the fleet's lock, which is ");
  return held === message ? `the fleet's lock: ${message}` : held;
}

/** A newer release is known, and will not be run by itself. */
function latestPassedOver(context: Context, latest: string): WaitingFor | null {
  const { current, hold, policy, denied } = context;
  if (current === null || compareVersions(latest, current.version, policy.versioning) <= 0)
    return null;
  if (hold !== null)
    return {
      reason: 'held',
      message: `${latest} is there, and ${hold.version} is held until \`self-update release\``,
      since: formatTime(hold.since),
      until: null,
    };
  const denial = denied.find(({ version }) => version === latest);
  const byEnvironment = policy.denied.includes(latest);
  if (!byEnvironment && (denial === undefined || !isDenied(context, latest, denial.fingerprint)))
    return null;
  const end = byEnvironment
    ? 'until UPDATE_DENY no longer names it'
    : `until \`self-update retry ${latest}\`, or a newer one`;
  return {
    reason: 'denied',
    message: `${latest} is there, and denied ${end}`,
    since: formatTime(denial?.at),
    until: null,
  };
}
