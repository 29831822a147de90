/**
 * The runtime: one serial queue. Each fact is applied to a copy of the state (pure), appended
 * (durable), adopted, and only then followed: effects are started or aborted so that those which
 * run are those which are outstanding. Boot and recovery are the same: fold the journal, look at
 * the world, perform the difference.
 */
import type { JournalRecord } from '../journal/record.ts';
import type { Fact, FactType } from '../machines/facts.ts';
import type { World } from '../machines/model.ts';
import type { Fault } from '../support/fault.ts';
import { redactJson } from '../support/redact.ts';
import { BootGate } from './boot-gate.ts';
import { Checkpoints } from './checkpoints.ts';
import { CrashLook } from './crash-look.ts';
import { Faults, RETRY_AFTER_FAULT_MS } from './faults.ts';
import {
  begin,
  evolve,
  isPoll,
  isResting,
  LOCK_RETURN,
  type OutstandingEffect,
  outstanding,
  type State,
  untilDueMs,
  untilLockReturnMs,
  withoutTimer,
} from './fold.ts';
import { Inbox } from './inbox.ts';
import { tellInterruption, tellWhatIsSeen } from './observed.ts';
import type { RuntimeOptions } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { Performer } from './performer.ts';
import { Poller } from './poller.ts';
import { restore } from './restore.ts';
import { nextWakeAt, waitsForBusyApp } from './schedule.ts';

/**
 * These lie between stop and start: recovery sees them on the disk, so their sync waits for the
 * next durable fact.
 */
const SEEN_ON_DISK = new Set<FactType>(['appStopped', 'switched']);
/** After these the operator expects that GitHub is asked. */
const ASKS_FOR_POLL = new Set<FactType>([
  'updateRequested',
  'resumed',
  'holdReleased',
  'versionRetried',
]);
/** setTimeout takes 32 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Runtime {
  readonly #options: RuntimeOptions;
  readonly #performer: Performer;
  readonly #poller: Poller;
  readonly #checkpoints: Checkpoints;
  readonly #inbox: Inbox;
  readonly #crashLook: CrashLook;
  #state: State;
  #stopping = false;
  #settled: (() => void) | null = null;
  #wakeTimer: NodeJS.Timeout | undefined;
  readonly #faults = new Faults();
  readonly #outcomes: Outcomes;

  private constructor(options: RuntimeOptions, state: State, checkpointSeq: number) {
    this.#options = options;
    this.#outcomes = new Outcomes(options);
    this.#state = state;
    this.#poller = new Poller(options);
    this.#performer = new Performer(options, {
      begun: (effect) => this.#begun(effect),
      ended: (effect, outcome) => this.#ended(effect, outcome),
    });
    this.#checkpoints = new Checkpoints(options, checkpointSeq);
    this.#inbox = new Inbox(options.inboxDir, options.log);
    this.#crashLook = new CrashLook(options, () => this.#advance());
  }

  /** Folds the journal, or begins it. Throws `Fault` for a journal that can't be read. */
  static async open(options: RuntimeOptions): Promise<Runtime> {
    const { journal, policy, now } = options;
    const { state, seq } = restore(journal);
    if (state !== null) return new Runtime(options, state, seq);
    const fact: Fact = {
      type: 'initialized',
      policy,
      world: await options.observeWorld(),
      floor: await options.observeFloor(),
    };
    const record = journal.append(fact, { at: now(), effect: null, command: null });
    const first = begin(record);
    options.onRecord(record, first);
    return new Runtime(options, first, 0);
  }

  get state(): State {
    return this.#state;
  }

  /** The fault that stopped a `once` run, or that a resident one has not got over yet. */
  get fault(): Fault | null {
    return this.#faults.current;
  }

  /**
   * Looks at the world and at the configuration, and takes up what is outstanding. `poll`: also if
   * none is due.
   */
  async start({ poll = false }: { poll?: boolean } = {}): Promise<void> {
    if (poll || this.#outcomes.awaitCheck) this.#poller.ask();
    const appIsUp = await tellWhatIsSeen(this, this.#options);
    if (!appIsUp) {
      const gate = new BootGate(
        this.#options,
        () => (this.#stopping ? null : this.#state.snapshot.context),
        (seen) => this.#appCameUp(seen),
      );
      await gate.linkFallback();
      gate.arm();
    }
    tellInterruption(this);
    if (poll) this.#askNow();
    this.#advance();
  }

  #appCameUp(world: World): void {
    this.dispatch({ type: 'appFoundUp', world });
    this.#advance();
  }

  /** Runs until `signal` aborts. */
  async runUntil(signal: AbortSignal): Promise<void> {
    await this.#work(signal, () => {});
  }

  /** Runs until nothing is outstanding. Returns when it wants to run next, wall clock. */
  async settle(signal: AbortSignal): Promise<number> {
    await this.#work(signal, (resolve) => {
      this.#settled = resolve;
      if (!signal.aborted) this.#advance();
    });
    return this.nextWakeAt();
  }

  async #work(signal: AbortSignal, onBegun: (resolve: () => void) => void): Promise<void> {
    const watcher = this.#inbox.watch(() => this.#advance());
    await new Promise<void>((resolve) => {
      onBegun(resolve);
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    watcher?.close();
    this.stop();
  }

  /**
   * Aborts what runs; facts that would still come are not taken. The journal stays the caller's.
   */
  stop(): void {
    this.#stopping = true;
    clearTimeout(this.#wakeTimer);
    this.#performer.abortAll();
    this.#crashLook.stop();
  }

  /** Looks whether something is due: the app died, a command came. */
  wake(): void {
    this.#advance();
  }

  /** Asks for a poll now. */
  checkNow(): void {
    this.#poller.ask();
    try {
      this.#askNow();
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#advance();
  }

  /** Who asks for a check also wants to know whether what waits may be run by now. */
  #askNow(): void {
    if (this.#state.snapshot.matches({ steady: { waiting: 'forPermission' } }))
      this.dispatch({ type: 'updateRequested' });
  }

  /** The next moment at which there is something to do, wall clock. */
  nextWakeAt(): number {
    const isReturning = this.#performer.isPerforming(LOCK_RETURN);
    return nextWakeAt(this.#state, this.#poller, this.#options, isReturning);
  }

  /** Whether an update waits for an app that still is busy. */
  get waitsForBusyApp(): boolean {
    return waitsForBusyApp(this.#state, this.#options);
  }

  /** Resolves when what `stop` aborted has ended. */
  ended(): Promise<void> {
    return this.#performer.abortedHaveEnded();
  }

  /**
   * Applies one fact: journaled if the machine handles it or it resolves an effect, else only said
   * in the debug log.
   */
  dispatch(said: Fact, meta: { effect?: string; command?: string } = {}): boolean {
    const { journal, now, log, onRecord, secrets } = this.#options;
    // A server may say our token back to us.
    const fact = redactJson(said, secrets());
    const at = now();
    const draft: JournalRecord = {
      seq: journal.lastSeq() + 1,
      at,
      fact,
      effect: meta.effect ?? null,
      command: meta.command ?? null,
    };
    const next = evolve(this.#state, draft);
    if (next === this.#state) {
      log.debug(`${fact.type} changes nothing in ${JSON.stringify(this.#state.snapshot.value)}`);
      return false;
    }
    // Append before act: if this throws, nothing has happened.
    const record = journal.append(fact, {
      at,
      effect: draft.effect,
      command: draft.command,
      durable: !SEEN_ON_DISK.has(fact.type),
    });
    this.#state = next;
    onRecord(record, next);
    this.#checkpoints.afterFact(record.seq, next);
    return true;
  }

  /** Brings what runs in line with what is outstanding, then rests. */
  #advance(): void {
    if (this.#stopping) return;
    try {
      this.#fireTimers();
      this.#takeCommands();
      this.#noticeCrashLoop();
      // Only at rest is the note read that says when a poll is due: no trouble with it ends an update.
      const isPollDue = isResting(this.#state) && this.#poller.isDue;
      const now = this.#options.now();
      this.#performer.follow(outstanding(this.#state, { isPollDue, now }));
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#rest();
  }

  #begun(effect: OutstandingEffect): void {
    if (isPoll(effect)) this.#poller.begun();
  }

  #ended(effect: OutstandingEffect, outcome: Fact | null): void {
    if (isPoll(effect)) this.#poller.ended(outcome === null);
    if (outcome === null) return;
    // In the journal, unless it says something new, there is nothing of it.
    if (isPoll(effect) && outcome.type === 'checkFailed')
      this.#options.log.warn(`check failed: ${outcome.message} [${outcome.code}]`);
    try {
      this.dispatch(outcome, { effect: effect.id });
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#advance();
  }

  #fireTimers(): void {
    const now = this.#options.now();
    // Asked again and again, a game that goes on all night would fill the journal.
    if (this.waitsForBusyApp) return;
    for (const timer of this.#state.timers.values()) {
      if (untilDueMs(timer, now) > 0 || this.dispatch({ type: timer.type } as Fact)) continue;
      // Nobody waits for it any more; left where it is, it would be due for ever.
      this.#state = withoutTimer(this.#state, timer.id);
    }
  }

  /**
   * Taken in when the machine has a use for them; what it can't do now waits until it rests, and is
   * then refused.
   */
  #takeCommands(): void {
    const { journal } = this.#options;
    for (const command of this.#inbox.pending()) {
      // What was given before it has ended, and the next one's trouble is not its own.
      this.#noteOutcomes();
      // Taken in before a crash that left the file.
      const known = journal.hasCommand(command.id);
      if (!known && command.fact === null) this.#askNow();
      const taken =
        known || (command.fact !== null && this.dispatch(command.fact, { command: command.id }));
      const pokes = command.fact === null || ASKS_FOR_POLL.has(command.fact.type);
      if (pokes) this.#poller.ask();
      if (!taken && !pokes && !isResting(this.#state)) continue;
      this.#outcomes.take(command, this.#state.snapshot.context);
      this.#inbox.remove(command.file);
    }
  }

  /**
   * Looked for whenever something else is due too; the container's finish script wakes us for it.
   */
  #noticeCrashLoop(): void {
    const seen = this.#crashLook.fact(this.#state);
    if (seen !== null) this.dispatch(seen);
  }

  /** Of commands after which the updater rests, and nothing is to be asked for them any more. */
  #noteOutcomes(): void {
    const isReturnDue = untilLockReturnMs(this.#state, this.#options.now()) === 0;
    if (!this.#poller.isRunning && !this.#poller.isAsked && !isReturnDue && isResting(this.#state))
      this.#outcomes.settle(this.#state.snapshot.context);
  }

  /** Sleeps until the next thing is due; a `once` run ends here when nothing is left to do. */
  #rest(): void {
    clearTimeout(this.#wakeTimer);
    const busy = this.#performer.isBusy || this.#crashLook.isBusy;
    this.#noteOutcomes();
    if (!busy) this.#checkpoints.atRest(this.#state);
    if (!busy && this.#settled === null) this.#faults.over();
    // A check that somebody asked for, and that only keeps its distance to the one before, is still
    // to be made.
    if (!busy && !this.#poller.isAsked && this.#settled !== null) {
      this.#settled();
      return;
    }
    const awaitsPoll = isResting(this.#state) && !this.#poller.isRunning;
    if (busy && !awaitsPoll && this.#state.timers.size === 0) return;
    const waitMs = Math.max(this.nextWakeAt() - this.#options.now(), 1);
    this.#wakeTimer = setTimeout(() => this.#advance(), Math.min(waitMs, MAX_TIMER_MS));
  }

  /**
   * The journal could not be written, most likely: nothing more is done, but a stopped app is
   * started, whatever is current.
   */
  #faulted(error: unknown): void {
    const { log, effects } = this.#options;
    const pauseMs = this.#faults.record(error, log);
    clearTimeout(this.#wakeTimer);
    this.#performer.abortAll();
    void this.#performer
      .abortedHaveEnded()
      .then(() => effects.start({ target: null }, AbortSignal.timeout(RETRY_AFTER_FAULT_MS)))
      .catch((failure: unknown) =>
        log.warn(`the app could not be started: ${(failure as Error).message}`),
      )
      .finally(() => {
        if (this.#settled) this.#settled();
        else if (!this.#stopping) this.#wakeTimer = setTimeout(() => this.#advance(), pauseMs);
      });
  }
}
