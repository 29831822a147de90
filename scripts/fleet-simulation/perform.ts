/**
 * How long each effect takes in the simulation, and the fact that it ends in. `check` is the real
 * one, over a simulated GitHub.
 */
import { check } from '../../src/effects/check.ts';
import type { EffectInputs, EffectName, EffectRequest } from '../../src/machines/effects.ts';
import type { Fact } from '../../src/machines/facts.ts';
import type { Release } from '../../src/machines/model.ts';
import { facts, tree } from '../../test/support/machine.ts';
import type { LockAnswer } from './lock-server.ts';
import { type Host, NEW } from './world.ts';

/** `outcome` is asked when the time has passed. */
type Performance = { takesMs: number; outcome: () => Fact | Promise<Fact> };
type Perform<N extends EffectName> = (input: EffectInputs[N], host: Host) => Performance;

/** Between `least` and `most` ms; short ones are the more likely. */
function drawn({ traits }: Host, least: number, most: number): number {
  return least * (most / least) ** traits.random();
}

const NEVER = new AbortController().signal;
const PLACES = {
  root: '/nonexistent',
  bakedDir: '/nonexistent',
  repository: 'acme/app',
  versioning: 'semver',
  tagPrefix: '',
} as const;

function askGitHub(input: EffectInputs['check'], host: Host): Promise<Fact> {
  const { world, traits } = host;
  return check(input, NEVER, {
    source: world.github.clientOf(traits.address),
    places: PLACES,
    note: {
      read: () => host.note,
      write: (note) => {
        host.note = note;
      },
    },
    pollIntervalMs: world.scenario.pollIntervalMs,
    now: () => world.now,
    random: traits.random,
    assetPattern: null,
  });
}

/** A request beside a check counts for the quota as well. */
function isAnswered({ world, traits }: Host): boolean {
  try {
    world.github.ask(traits.address, 0);
    return true;
  } catch {
    return false;
  }
}

/** With the quota used up, the bytes come from the public address. */
function download({ version }: Release, host: Host): Fact {
  isAnswered(host);
  return facts.downloaded(version);
}

/** The repository's id is asked for, and has to be what it was. */
function verify({ repositoryId }: EffectInputs['verify'], host: Host): Fact {
  if (isAnswered(host)) return { type: 'verified', checks: ['digest'], repositoryId: 1 };
  return repositoryId === null
    ? { type: 'verified', checks: ['digest'], repositoryId: null }
    : failed(host, 'verificationFailed', 'RATE_LIMITED');
}

function failed(
  { traits }: Host,
  type: 'verificationFailed' | 'probationFailed' | 'fleetLockRefused' | 'fleetLockReturnFailed',
  code: string,
): Fact {
  return { type, code, message: 'simulated', jitter: traits.random() };
}

/** The real codes of src/effects/fleet-lock.ts. */
function asked(host: Host, answer: LockAnswer, yes: Fact, no: LockFailure): Fact {
  host.world.meter.locked();
  if (answer?.status === 200) return yes;
  return failed(host, no, answer === null ? 'FLEET_LOCK_FAILED' : 'FLEET_LOCK_HELD');
}
type LockFailure = 'fleetLockRefused' | 'fleetLockReturnFailed';

function isBad({ traits }: Host, version: string | null): boolean {
  return version === NEW && traits.isBad;
}

function start(host: Host): Performance {
  const { state, world } = host;
  const version = state.snapshot.context.current?.version ?? null;
  host.running = version;
  return {
    takesMs: drawn(host, 20, 200),
    outcome: () => {
      if (isBad(host, version)) world.meter.victims.add(host.traits.index);
      else {
        // It reads its files and opens its port.
        const readyAt = world.now + drawn(host, 300, 5_000);
        world.events.add(Math.round(readyAt), () => {
          if (host.running === version) host.serve(true);
        });
      }
      return { type: 'appStarted', version, adopted: false };
    },
  };
}

/** A bad one exits soon after each start; the first time that is forgiven. */
function observe(
  { version, startedAt, probationMs, again }: EffectInputs['observeProbation'],
  host: Host,
): Performance {
  const { now, meter } = host.world;
  if (!isBad(host, version))
    return {
      takesMs: Math.max(startedAt + probationMs - now, 0),
      outcome: () => {
        if (version === NEW) meter.updated();
        return facts.healthy(version);
      },
    };
  return {
    takesMs: drawn(host, 300, 5_000),
    outcome: () =>
      again
        ? failed(host, 'probationFailed', 'APP_EXITED')
        : { type: 'appExitedEarly', version, code: 'APP_EXITED', message: 'simulated' },
  };
}

/** The strategy is `download-then-kill`, and nobody sets a hook. */
function unused(): never {
  throw new Error('this effect is not part of the simulation');
}

const PERFORMS: { [N in EffectName]: Perform<N> } = {
  check: (input, host) => ({
    takesMs: drawn(host, 100, 1_000),
    outcome: () => askGitHub(input, host),
  }),
  download: ({ release }, host) => ({
    takesMs: drawn(host, 2_000, 60_000),
    outcome: () => download(release, host),
  }),
  verify: (input, host) => ({
    takesMs: drawn(host, 100, 500),
    outcome: () => verify(input, host),
  }),
  extract: ({ release }, host) => ({
    takesMs: drawn(host, 500, 5_000),
    outcome: () => facts.installed(release.version),
  }),
  observeConditions: () => ({ takesMs: 5, outcome: facts.allowed }),
  acquireFleetLock: (input, host) => ({
    takesMs: drawn(host, 20, 500),
    outcome: () =>
      asked(host, host.world.lock.preReboot(input), facts.locked(), 'fleetLockRefused'),
  }),
  returnFleetLock: (input, host) => ({
    takesMs: drawn(host, 20, 500),
    outcome: () =>
      asked(
        host,
        host.world.lock.steadyState(input),
        facts.lockReturned(),
        'fleetLockReturnFailed',
      ),
  }),
  prepareSwitch: ({ release }, host) => ({
    takesMs: drawn(host, 10, 50),
    outcome: () => facts.switchStarted(release.version),
  }),
  stop: (_, host) => {
    host.serve(false);
    host.running = null;
    return { takesMs: drawn(host, 50, 7_000), outcome: facts.stopped };
  },
  switchCurrent: ({ to }, host) => ({
    takesMs: drawn(host, 5, 20),
    outcome: () => facts.switched(to.version === NEW ? tree(NEW) : to),
  }),
  start: (_, host) => start(host),
  observeProbation: observe,
  removeOldVersions: (_, host) => ({
    takesMs: drawn(host, 20, 500),
    outcome: facts.tidied,
  }),
  runHook: unused,
  startBeside: unused,
  observeReadiness: unused,
  stopOtherCopy: unused,
};

export function performs(host: Host, { name, input }: EffectRequest): Performance {
  return (PERFORMS[name] as Perform<typeof name>)(input as never, host);
}
