/**
 * How long each effect takes in the simulation, and the fact that it ends in. `check` is the real
 * one, over a simulated GitHub.
 */
import { check } from '../../src/effects/check.ts';
import type { EffectInputs, EffectName, EffectRequest } from '../../src/machines/effects.ts';
import type { Fact } from '../../src/machines/facts.ts';
import type { Release } from '../../src/machines/model.ts';
import { facts, tree } from '../../test/support/machine.ts';
import type { Container } from './container.ts';
import { NEW } from './world.ts';

/** `outcome` is asked when the time has passed. */
type Performance = { takesMs: number; outcome: () => Fact | Promise<Fact> };
type Perform<N extends EffectName> = (input: EffectInputs[N], container: Container) => Performance;

/** Between `least` and `most` ms; short ones are the more likely. */
function drawn({ traits }: Container, least: number, most: number): number {
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

function askGitHub(input: EffectInputs['check'], container: Container): Promise<Fact> {
  const { world, traits } = container;
  return check(input, NEVER, {
    github: world.github.clientOf(traits.address),
    places: PLACES,
    note: {
      read: () => container.note,
      write: (note) => {
        container.note = note;
      },
    },
    pollIntervalMs: world.scenario.pollIntervalMs,
    now: () => world.now,
    random: traits.random,
    assetPattern: null,
  });
}

/** A request beside a check counts for the quota as well, and meets the same limit. */
function isAnswered({ world, traits }: Container): boolean {
  try {
    world.github.ask(traits.address, 0);
    return true;
  } catch {
    return false;
  }
}

function download({ version }: Release, container: Container): Fact {
  return isAnswered(container)
    ? facts.downloaded(version)
    : failed(container, 'downloadFailed', 'DOWNLOAD_REFUSED');
}

/** The repository's id is asked for, and has to be what it was. */
function verify({ repositoryId }: EffectInputs['verify'], container: Container): Fact {
  if (isAnswered(container)) return { type: 'verified', checks: ['digest'], repositoryId: 1 };
  return repositoryId === null
    ? { type: 'verified', checks: ['digest'], repositoryId: null }
    : failed(container, 'verificationFailed', 'RATE_LIMITED');
}

function failed(
  { traits }: Container,
  type: 'downloadFailed' | 'verificationFailed' | 'probationFailed',
  code: string,
): Fact {
  return { type, code, message: 'simulated', jitter: traits.random() };
}

function isBad({ traits }: Container, version: string | null): boolean {
  return version === NEW && traits.isBad;
}

function start(container: Container): Performance {
  const { state, world } = container;
  const version = state.snapshot.context.current?.version ?? null;
  container.running = version;
  return {
    takesMs: drawn(container, 20, 200),
    outcome: () => {
      if (isBad(container, version)) world.meter.victims.add(container.traits.index);
      else {
        // It reads its files and opens its port.
        const readyAt = world.now + drawn(container, 300, 5_000);
        world.events.add(Math.round(readyAt), () => {
          if (container.running === version) container.serve(true);
        });
      }
      return { type: 'appStarted', version, adopted: false };
    },
  };
}

/** A bad one exits soon after each start; the first time that is forgiven. */
function observe(
  { version, startedAt, probationMs, again }: EffectInputs['observeProbation'],
  container: Container,
): Performance {
  const { now, meter } = container.world;
  if (!isBad(container, version))
    return {
      takesMs: Math.max(startedAt + probationMs - now, 0),
      outcome: () => {
        if (version === NEW) meter.updated();
        return facts.healthy(version);
      },
    };
  return {
    takesMs: drawn(container, 300, 5_000),
    outcome: () =>
      again
        ? failed(container, 'probationFailed', 'APP_EXITED')
        : { type: 'appExitedEarly', version, code: 'APP_EXITED', message: 'simulated' },
  };
}

/** The strategy is `download-then-kill`, and nobody sets a hook. */
function unused(): never {
  throw new Error('this effect is not part of the simulation');
}

const PERFORMS: { [N in EffectName]: Perform<N> } = {
  check: (input, container) => ({
    takesMs: drawn(container, 100, 1_000),
    outcome: () => askGitHub(input, container),
  }),
  download: ({ release }, container) => ({
    takesMs: drawn(container, 2_000, 60_000),
    outcome: () => download(release, container),
  }),
  verify: (input, container) => ({
    takesMs: drawn(container, 100, 500),
    outcome: () => verify(input, container),
  }),
  extract: ({ release }, container) => ({
    takesMs: drawn(container, 500, 5_000),
    outcome: () => facts.installed(release.version),
  }),
  observeConditions: () => ({ takesMs: 5, outcome: facts.allowed }),
  prepareSwitch: ({ release }, container) => ({
    takesMs: drawn(container, 10, 50),
    outcome: () => facts.switchStarted(release.version),
  }),
  stop: (_, container) => {
    container.serve(false);
    container.running = null;
    return { takesMs: drawn(container, 50, 7_000), outcome: facts.stopped };
  },
  switchCurrent: ({ to }, container) => ({
    takesMs: drawn(container, 5, 20),
    outcome: () => facts.switched(to.version === NEW ? tree(NEW) : to),
  }),
  start: (_, container) => start(container),
  observeProbation: observe,
  removeOldVersions: (_, container) => ({
    takesMs: drawn(container, 20, 500),
    outcome: facts.tidied,
  }),
  runHook: unused,
  startBeside: unused,
  observeReadiness: unused,
  stopOtherCopy: unused,
};

export function performs(container: Container, { name, input }: EffectRequest): Performance {
  return (PERFORMS[name] as Perform<typeof name>)(input as never, container);
}
