/** Facts and figures in plain words. */
import type { Fact } from '../machines/facts.ts';
import type { Conditions, Policy } from '../machines/model.ts';
import { describeSource } from './source.ts';

/** One line for a person. */
export function describeFact(fact: Fact): string {
  switch (fact.type) {
    case 'initialized':
      return describePolicy(fact.policy);
    case 'configurationChanged':
      return `the configuration changed: ${describePolicy(fact.policy)}`;
    case 'appFoundDown':
      return 'the app is not running yet';
    case 'appFoundUp':
      return `the app runs${fact.world.current ? `, version ${fact.world.current.version}` : ''}`;
    case 'releaseFound':
      return `found ${fact.release.tag}: ${fact.release.asset.name}${fact.release.asset.sizeBytes > 0 ? `, ${formatBytes(fact.release.asset.sizeBytes)}` : ''}`;
    case 'nothingNewer':
      return 'nothing newer';
    case 'conditionsObserved':
      return `may the app be interrupted? ${describeConditions(fact)}`;
    case 'hookSucceeded':
      return `the ${HOOK_NAMES[fact.hook]} hook succeeded after ${formatDuration(fact.durationMs)}`;
    case 'downloaded':
      return `downloaded ${formatBytes(fact.sizeBytes)}, sha256 ${fact.sha256.slice(0, 12)}…`;
    case 'verified':
      return fact.checks.length === 0
        ? 'NOT verified: UPDATE_VERIFY=none'
        : `verified by ${fact.checks.join(' and ')}`;
    case 'installed':
      return `version ${fact.version.version} is complete on disk`;
    case 'switchStarted':
      return `${fact.from === null ? 'first start of the app: ' : `replacing the app: ${fact.from} → `}${fact.to}${fact.attempt > 1 ? `, try ${fact.attempt}` : ''}`;
    case 'appStopped':
      return `the app has stopped after ${fact.durationMs} ms${fact.killed ? '; it had to be killed' : ''}`;
    case 'switched':
      return `current is now ${fact.to.version}`;
    case 'appStarted':
      return `version ${fact.version ?? 'unknown'} ${fact.adopted ? 'was running already' : 'is started'}`;
    case 'startedBeside':
      return `version ${fact.version} ${fact.adopted ? 'was running beside the app already' : 'is started beside the app'}`;
    case 'becameReady':
      return `version ${fact.version} is ready: ${READY_BY[fact.by]}`;
    case 'otherCopyStopped':
      return `the other copy has stopped after ${fact.durationMs} ms${fact.killed ? '; it had to be killed' : ''}`;
    case 'versionBecameHealthy':
      return `version ${fact.version} passed probation`;
    case 'oldVersionsRemoved':
      return fact.names.length === 0
        ? 'no old version to remove'
        : `removed ${fact.names.join(', ')}`;
    case 'retryDue':
      return 'trying again';
    case 'updateRequested':
      return `the operator asked for an update${fact.force ? ', overriding the update policy' : ''}`;
    case 'installRequested':
      return `the operator asked for ${fact.tag ?? fact.file}`;
    case 'holdReleased':
      return 'the operator released the hold';
    case 'restartRequested':
      return 'the operator asked for a restart of the app';
    case 'paused':
      return 'the operator paused updates';
    case 'resumed':
      return 'the operator resumed updates';
    case 'versionApproved':
      return `the operator approved ${fact.version}`;
    case 'versionDenied':
      return `the operator denied ${fact.version}`;
    case 'versionRetried':
      return `the operator allowed ${fact.version} again`;
    case 'fleetLockAcquired':
      return "the fleet's lock is held: the app may be interrupted";
    case 'fleetLockReturned':
      return "the fleet's lock is given back";
    case 'fleetReleaseRequested':
      return "the operator released the fleet's lock";
    case 'workInterrupted':
      return `the updater was killed during \`${fact.effect}\`; restarting that step`;
    case 'interruptionDeferred':
    case 'fleetLockRefused':
    case 'fleetLockReturnFailed':
    case 'hookFailed':
    case 'checkFailed':
    case 'assetsAwaited':
    case 'releaseRefused':
    case 'downloadFailed':
    case 'verificationFailed':
    case 'extractionFailed':
    case 'preparationFailed':
    case 'stopFailed':
    case 'switchFailed':
    case 'startFailed':
    case 'readinessFailed':
    case 'appExitedEarly':
    case 'probationFailed':
    case 'appCrashLooped':
      return `${fact.message} [${fact.code}]`;
    default:
      return fact satisfies never;
  }
}

function describePolicy({ repository, source, strategy }: Policy): string {
  const place = source === undefined ? '' : ` from ${describeSource(source)}`;
  return `following ${repository}${place}, ${strategy}`;
}

const READY_BY = {
  notification: 'it said so (READY=1)',
  healthCheck: 'its health check passed',
  uptime: 'it stayed up',
} as const;

const HOOK_NAMES = {
  preStop: 'pre-stop',
  preStart: 'pre-start',
  postUpdate: 'post-update',
} as const;

function describeConditions({ window, busy }: Conditions): string {
  const parts = [
    busy === null ? 'it is not busy' : `it is busy, since ${formatTime(busy.since)}`,
    window &&
      `the window is ${window.isOpen ? 'open' : 'closed'}${window.changesAt === null ? '' : ` until ${formatTime(window.changesAt)}`}`,
  ];
  return parts.filter((part) => part !== null).join('; ');
}

/** Whether a fact is a problem; an app or a fleet that says "not now" is not. */
export function isTrouble(fact: Fact): boolean {
  if (fact.type === 'fleetLockRefused') return fact.code !== 'FLEET_LOCK_HELD';
  return 'code' in fact && fact.type !== 'interruptionDeferred';
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** Decimal units, three digits: `1.94 MB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${power === 0 ? value : value.toPrecision(3)} ${UNITS[power]}`;
}

/** `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${Math.round(ms)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const [large, small, factor, per] =
    seconds < 3600
      ? (['min', 's', 60, 1] as const)
      : seconds < 86_400
        ? (['h', 'min', 3600, 60] as const)
        : (['d', 'h', 86_400, 3600] as const);
  const whole = Math.floor(seconds / factor);
  const rest = Math.floor((seconds - whole * factor) / per);
  return rest === 0 ? `${whole} ${large}` : `${whole} ${large} ${rest} ${small}`;
}

/** RFC 3339 has years of four digits. */
const MAX_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * RFC 3339, or null for what never happened, and for what never will: a server may say when a
 * release was published, in 9999 as well.
 */
export function formatTime(at: number | null | undefined): string | null {
  return at === null || at === undefined || at === 0 || !(at <= MAX_TIME)
    ? null
    : new Date(at).toISOString();
}
