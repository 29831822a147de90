/**
 * One container of the fleet: the real machine, folded by the real code, with the real pauses
 * between polls. What the runtime would perform takes a drawn time here and ends in a fact. Like
 * src/runtime/runtime.ts as `run --once` has it, without a journal and without processes.
 */
import type { Fact } from '../../src/machines/facts.ts';
import { pollSpread } from '../../src/machines/pacing.ts';
import { nextPollAt, type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import {
  evolve,
  isPoll,
  isResting,
  LOCK_RETURN,
  type OutstandingEffect,
  outstanding,
  type State,
  untilDueMs,
  withoutTimer,
} from '../../src/runtime/fold.ts';
import { Poller } from '../../src/runtime/poller.ts';
import { nextWakeAt } from '../../src/runtime/schedule.ts';
import { performs } from './perform.ts';
import { type Host, OLD, type Traits, type World } from './world.ts';

export class Container implements Host {
  readonly traits: Traits;
  readonly world: World;
  state: State;
  note: PollNote = pollNoteSchema.parse({});
  running: string | null = OLD;
  readonly #performing = new Map<string, OutstandingEffect>();
  #seq = 1;
  #wakeAt: number | null = null;
  #isServing = true;
  readonly #pollSpread: number;

  /** `settled`: a machine at rest, whose app runs. */
  constructor(world: World, traits: Traits, settled: State) {
    this.world = world;
    this.traits = traits;
    this.#pollSpread = pollSpread(traits.policy);
    this.state = settled;
  }

  /** It comes to the fleet, with its settings. */
  start(): void {
    this.dispatch({ type: 'configurationChanged', policy: this.traits.policy }, null);
    this.advance();
  }

  serve(isServing: boolean): void {
    if (this.#isServing === isServing) return;
    this.#isServing = isServing;
    this.world.meter.serves(isServing);
  }

  dispatch(fact: Fact, effect: string | null): boolean {
    const record = { seq: ++this.#seq, at: this.world.now, fact, effect, command: null };
    const next = evolve(this.state, record);
    if (next === this.state) return false;
    this.state = next;
    return true;
  }

  /** Brings what runs in line with what is outstanding, then rests. */
  advance(): void {
    const { now } = this.world;
    for (const timer of this.state.timers.values())
      if (untilDueMs(timer, now) <= 0 && !this.dispatch({ type: timer.type } as Fact, null))
        this.state = withoutTimer(this.state, timer.id);
    const isPollDue = isResting(this.state) && this.#poller().isDue;
    this.#follow(outstanding(this.state, { isPollDue, now }));
    this.#rest();
  }

  #poller(): Poller {
    const { pollIntervalMs } = this.world.scenario;
    const now = () => this.world.now;
    const poller = new Poller({
      nextPollAt: () => nextPollAt(this.note, pollIntervalMs, now(), null, this.#pollSpread),
      now,
      pollIntervalMs,
    });
    if (this.#performs(isPoll)) poller.begun();
    return poller;
  }

  #performs(is: (effect: OutstandingEffect) => boolean): boolean {
    return [...this.#performing.values()].some(is);
  }

  #follow(wanted: ReadonlyMap<string, OutstandingEffect>): void {
    for (const [id, effect] of this.#performing)
      if (wanted.get(id)?.sinceSeq !== effect.sinceSeq) this.#performing.delete(id);
    for (const effect of wanted.values())
      if (!this.#performing.has(effect.id)) this.#perform(effect);
  }

  #perform(effect: OutstandingEffect): void {
    this.#performing.set(effect.id, effect);
    const { events, now } = this.world;
    const { takesMs, outcome } = performs(this, effect.request);
    events.add(now + Math.max(Math.round(takesMs), 1), async () => {
      if (this.#performing.get(effect.id) !== effect) return;
      const fact = await outcome();
      this.#performing.delete(effect.id);
      this.dispatch(fact, effect.id);
      this.advance();
    });
  }

  #rest(): void {
    if (!isResting(this.state) && this.state.timers.size === 0) return;
    const { events, now, scenario } = this.world;
    const { pollIntervalMs } = scenario;
    const options = {
      now: () => now,
      isBusy: () => false,
      busyLookMs: pollIntervalMs,
      pollIntervalMs,
    };
    const isReturning = this.#performing.has(LOCK_RETURN);
    const at = Math.max(nextWakeAt(this.state, this.#poller(), options, isReturning), now + 1);
    if (this.#wakeAt === at) return;
    this.#wakeAt = at;
    events.add(at, () => {
      if (this.#wakeAt !== at) return;
      this.#wakeAt = null;
      this.advance();
    });
  }
}
