/** A machine among conditions: the outside is data, and every effect is answered from it. */
import type { Fact } from '../../src/machines/facts.ts';
import type { Policy, Release } from '../../src/machines/model.ts';
import { outstanding } from '../../src/runtime/fold.ts';
import { facts, running, type Story, tree } from './machine.ts';

/** Every condition that can say "not now", and what ends it. */
export const CONDITIONS = [
  'paused',
  'approval',
  'minAge',
  'rollout',
  'window',
  'busy',
  'hook',
  'fleet',
] as const;
export type Condition = (typeof CONDITIONS)[number];

const MIN_AGE_MS = 30 * 24 * 60 * 60 * 1000;
/** The last one's turn comes later than any release is old enough. */
const ROLLOUT_MS = 2 * MIN_AGE_MS;
/** Whatever ends is noticed within this time; a backoff is no longer. */
const NOTICED_WITHIN_MS = 90 * 60 * 1000;
const RELEASE = '2.0.0';

export class Moment {
  readonly story: Story;
  readonly policy: Partial<Policy>;
  readonly forbidding: Set<Condition>;
  publishedAt: number;
  /** Each time the app was interrupted for an update, with what forbade it then. */
  readonly interruptions: Condition[][] = [];
  /** As the server has it. */
  holdsLock = false;

  constructor(forbidding: readonly Condition[], overrides: Partial<Policy> = {}) {
    this.forbidding = new Set(forbidding);
    this.policy = {
      strategy: 'download-then-kill',
      approval: this.forbidding.has('approval'),
      minAgeMs: MIN_AGE_MS,
      rollout: {
        id: 'one',
        periodMs: ROLLOUT_MS,
        wariness: this.forbidding.has('rollout') ? 1 : 0,
      },
      fleet: { id: 'one', group: 'default', keepsOnFailure: true },
      window: { text: '02:00-05:00', timeZone: 'UTC', spans: [] },
      hooks: { preStop: true, preStart: false, postUpdate: false },
      ...overrides,
    };
    this.story = running({ policy: this.policy });
    this.publishedAt = this.story.at - (this.forbidding.has('minAge') ? 0 : MIN_AGE_MS);
  }

  /** A poll that finds the release, then whatever follows by itself. */
  find(overrides: Partial<Release> = {}): this {
    this.poll(overrides);
    if (this.forbidding.has('paused')) this.story.when({ type: 'paused' });
    return this.drive();
  }

  /** What a poll from a resting state finds. */
  poll(overrides: Partial<Release> = {}): this {
    if (!this.story.state.snapshot.hasTag('resting')) return this;
    this.story.when(
      facts.found(RELEASE, { publishedAt: new Date(this.publishedAt).toISOString(), ...overrides }),
      null,
    );
    if (overrides.urgent !== undefined || this.forbidding.has('paused')) return this;
    return this.drive();
  }

  /** Something forbids it again. */
  begin(condition: 'window' | 'busy' | 'hook' | 'paused' | 'fleet'): this {
    this.forbidding.add(condition);
    if (condition === 'paused') this.story.when({ type: 'paused' });
    return this;
  }

  /** The container starts anew; the app's own words are gone. */
  boot(): this {
    const { baked, current, lastGood } = this.story.context;
    this.forbidding.delete('busy');
    this.story.when(facts.foundDown({ baked, current, lastGood }));
    return this.drive();
  }

  /** One condition ends, as it does in life: by the clock, by the app, by the operator's word. */
  end(condition: Condition): this {
    this.forbidding.delete(condition);
    if (condition === 'paused') this.story.when({ type: 'resumed' });
    if (condition === 'approval') this.story.when({ type: 'versionApproved', version: RELEASE });
    if (condition === 'minAge') this.story.after(MIN_AGE_MS);
    if (condition === 'rollout') this.story.after(ROLLOUT_MS);
    const age = this.story.at - this.publishedAt;
    if (age >= MIN_AGE_MS) this.forbidding.delete('minAge');
    if (age >= ROLLOUT_MS) this.forbidding.delete('rollout');
    return this.drive().tick().tick();
  }

  /** Every effect is answered until none is outstanding. */
  drive(): this {
    for (let effect = this.#outstanding(); effect; effect = this.#outstanding())
      this.story.when(this.#answer(effect.request.name), effect.id);
    return this;
  }

  /** The next timer that is due soon. */
  tick(): this {
    const [timer] = this.story.timers;
    if (timer === undefined || timer.inMs > NOTICED_WITHIN_MS) return this;
    this.story.after(Math.max(0, timer.inMs)).when({ type: 'retryDue' });
    return this.drive();
  }

  #outstanding() {
    const { state, at } = this.story;
    return outstanding(state, { isPollDue: false, now: at }).values().next().value;
  }

  #answer(name: string): Fact {
    const { story, forbidding } = this;
    switch (name) {
      case 'download':
        return facts.downloaded(RELEASE);
      case 'verify':
        return facts.verified();
      case 'extract':
        return facts.installed(RELEASE);
      case 'observeConditions':
        return {
          type: 'conditionsObserved',
          window: { isOpen: !forbidding.has('window'), changesAt: story.at + 1000 },
          busy: forbidding.has('busy') ? { since: 0 } : null,
        };
      case 'runHook':
        return forbidding.has('hook')
          ? facts.failed('interruptionDeferred', 'HOOK_DEFERRED')
          : { type: 'hookSucceeded', hook: 'preStop', durationMs: 1 };
      case 'acquireFleetLock':
        if (forbidding.has('fleet')) return facts.failed('fleetLockRefused', 'FLEET_LOCK_HELD');
        this.holdsLock = true;
        return facts.locked();
      case 'returnFleetLock':
        this.holdsLock = false;
        return facts.lockReturned();
      case 'prepareSwitch':
        return facts.switchStarted(RELEASE);
      case 'stop':
        // At a boot the app does not run: neither its lock nor its hook have a say.
        this.interruptions.push(
          [...forbidding].filter(
            (condition) =>
              story.context.app === 'up' || (condition !== 'hook' && condition !== 'busy'),
          ),
        );
        return facts.stopped();
      case 'startBeside':
        return facts.startedBeside(RELEASE);
      case 'observeReadiness':
        return facts.ready(RELEASE);
      case 'stopOtherCopy':
        return facts.otherStopped();
      case 'switchCurrent':
        // In a hand-over this is the moment: nothing is stopped before it.
        if (story.state.snapshot.matches('handingOver')) this.interruptions.push([...forbidding]);
        return facts.switched(story.context.target ?? tree(RELEASE));
      case 'start':
        return facts.started(story.context.target?.version ?? RELEASE);
      case 'observeProbation':
        return facts.healthy(story.context.current?.version ?? RELEASE);
      case 'removeOldVersions':
        return facts.tidied();
      case 'check':
        return facts.found(RELEASE, { publishedAt: new Date(this.publishedAt).toISOString() });
      default:
        throw new Error(`no answer for ${name}`);
    }
  }
}
