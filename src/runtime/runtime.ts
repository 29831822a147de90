/**
 * The runtime: one serial queue. Each fact is applied to a copy of the state (pure), appended (durable), adopted, and
 * only then followed: effects are started or aborted so that those which run are those which are outstanding.
 * Boot and recovery are the same: fold the journal, look at the world, perform the difference.
 */
import { type FSWatcher, watch } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import { type EffectName, type EffectRequest, type Effects, failureFacts } from '../machines/effects.ts';
import type { Fact, FactType } from '../machines/facts.ts';
import type { Policy, World } from '../machines/model.ts';
import { remainingMs } from '../machines/pacing.ts';
import { cutShortTooOften, fallback, isCrashLoop } from '../machines/rules.ts';
import { type Fault, toFault } from '../support/fault.ts';
import type { Log } from '../support/log.ts';
import { redactJson } from '../support/redact.ts';
import { BootGate } from './boot-gate.ts';
import { begin, evolve, type OutstandingEffect, type State, serializeState, type Timer } from './fold.ts';
import { pendingCommands, prepareInbox, remove } from './inbox.ts';
import { restore } from './restore.ts';

export type RuntimeOptions = {
  journal: Journal;
  effects: Effects;
  policy: Policy;
  inboxDir: string;
  pollIntervalMs: number;
  /** From the start of the runtime until the app is started whatever happens. */
  firstCheckTimeoutMs: number;
  /** When the next poll is due, wall clock; null for now. */
  nextPollAt: () => number | null;
  observeWorld: () => Promise<World>;
  /** The highest version among the trees on disk; asked when a journal begins. */
  observeFloor: () => Promise<string | null>;
  /** Whether the app runs. */
  observeApp: () => Promise<boolean>;
  /** How long ago the app ended by itself, ms, each time since its last start. */
  exitAgesMs: () => number[];
  /** Whether the files of a version are still there. */
  isTreeThere: (path: string) => boolean;
  /** Whether the app's busy lock is there; looked at that often while an update waits for it. */
  isBusy: () => boolean;
  busyLookMs: number;
  now: () => number;
  random: () => number;
  log: Log;
  /** Told of every change, for progress, notifications, the inspector. */
  onRecord: (record: JournalRecord, state: State) => void;
  /** What no fact may contain. */
  secrets: () => readonly string[];
};

/** These lie between stop and start: recovery sees them on the disk, so their sync waits for the next durable fact. */
const SEEN_ON_DISK = new Set<FactType>(['appStopped', 'switched']);
/** An updater that dies in these may die in them for ever. */
const WORK_ON_A_RELEASE = new Set<EffectName>(['download', 'verify', 'extract', 'runHook', 'prepareSwitch']);
/** Reading and folding so many facts takes about 20 ms of a start; more than that starts from a checkpoint. */
const CHECKPOINT_EVERY = 200;
/** Effects end soon after an abort; one that hangs in the kernel is not waited for for ever. */
const ABORT_PATIENCE_MS = 10_000;
/** After the journal could not be written, or something unexpected happened: when to look again. */
const RETRY_AFTER_FAULT_MS = 10_000;
/** Each fault in a row doubles that, up to this. */
const LONGEST_FAULT_PAUSE_MS = 60_000;
/** However often somebody asks. */
const SHORTEST_POLL_PAUSE_MS = 1000;
/** Clocks are corrected by seconds all the time. */
const CLOCK_SLACK_MS = 60_000;
/** setTimeout takes 32 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A clock that was set back since a timer was set says nothing about what is left of it: it is due. */
function untilDueMs({ dueAt, delayMs }: Timer, now: number): number {
  return now < dueAt - delayMs - CLOCK_SLACK_MS ? 0 : remainingMs(dueAt, now, delayMs);
}

/** `done` resolves when it has really ended, also after an abort. */
type Running = { effect: OutstandingEffect; abort: AbortController; done: Promise<void> };

export class Runtime {
  readonly #options: RuntimeOptions;
  readonly #running = new Map<string, Running>();
  /** Aborted, and not ended yet. */
  readonly #ending = new Set<Promise<void>>();
  #state: State;
  #checkpointSeq = 0;
  #poll: AbortController | null = null;
  #pollNow = false;
  #stopping = false;
  #settled: (() => void) | null = null;
  #wakeTimer: NodeJS.Timeout | undefined;
  #fault: Fault | null = null;
  #faultsInARow = 0;
  /** When the last poll of this runtime ended, by a clock that can't be set; it may have failed to note that. */
  #polledAt: number | null = null;
  /** Commands that were taken, and whose files could not be removed. */
  readonly #stuckCommands = new Set<string>();

  private constructor(options: RuntimeOptions, state: State, checkpointSeq: number) {
    this.#options = options;
    this.#state = state;
    this.#checkpointSeq = checkpointSeq;
  }

  /** Folds the journal, or begins it. Throws `Fault` for a journal that can't be read. */
  static async open(options: RuntimeOptions): Promise<Runtime> {
    const { journal, policy, now } = options;
    const { state, seq } = restore(journal);
    if (state !== null) return new Runtime(options, state, seq);
    const fact: Fact = { type: 'initialized', policy, world: await options.observeWorld(), floor: await options.observeFloor() };
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
    return this.#fault;
  }

  /** Looks at the world and at the configuration, and takes up what is outstanding. `poll`: also if none is due. */
  async start({ poll = false }: { poll?: boolean } = {}): Promise<void> {
    this.#pollNow = poll;
    const { policy, observeWorld, observeApp } = this.#options;
    const [world, appIsUp] = [await observeWorld(), await observeApp()];
    if (JSON.stringify(policy) !== JSON.stringify(this.#state.snapshot.context.policy)) this.dispatch({ type: 'configurationChanged', policy });
    this.#noteCutShort(appIsUp);
    this.dispatch({ type: appIsUp ? 'appFoundUp' : 'appFoundDown', world });
    if (!appIsUp) {
      const gate = new BootGate(
        this.#options,
        () => (this.#stopping ? null : this.#state.snapshot.context),
        (seen) => this.#appCameUp(seen),
      );
      await gate.linkFallback();
      gate.arm();
    }
    this.#noteInterruption();
    if (poll) this.#askNow();
    this.#advance();
  }

  #appCameUp(world: World): void {
    this.dispatch({ type: 'appFoundUp', world });
    this.#advance();
  }

  /** What the journal says is outstanding, the updater before this one was at when it was ended. */
  #noteInterruption(): void {
    for (const { request } of this.#state.effects.values()) {
      if (!WORK_ON_A_RELEASE.has(request.name)) continue;
      this.dispatch({ type: 'workInterrupted', effect: request.name });
      return;
    }
  }

  /** Likewise of a version on probation: one that gets its judge killed has failed. What was counted says so, before anything else is done. */
  #noteCutShort(appUp: boolean): void {
    const judging = [...this.#state.effects.values()].find(({ request }) => request.name === 'observeProbation');
    if (judging === undefined) return;
    this.dispatch({ type: 'workInterrupted', effect: judging.request.name, appUp });
    const failure = cutShortTooOften(this.#state.snapshot.context);
    if (failure !== null) this.dispatch({ type: 'probationFailed', ...failure, jitter: this.#options.random() }, { effect: judging.id });
  }

  /** Runs until `signal` aborts. */
  async runUntil(signal: AbortSignal): Promise<void> {
    const watcher = this.#watchInbox();
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    watcher?.close();
    this.stop();
  }

  /** Runs until nothing is outstanding. Returns when it wants to run next, wall clock. */
  async settle(signal: AbortSignal): Promise<number> {
    const watcher = this.#watchInbox();
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      this.#advance();
    });
    watcher?.close();
    this.stop();
    return this.nextWakeAt();
  }

  /** Aborts what runs; facts that would still come are not taken. The journal stays the caller's. */
  stop(): void {
    this.#stopping = true;
    clearTimeout(this.#wakeTimer);
    this.#poll?.abort();
    for (const running of this.#running.values()) this.#abort(running);
  }

  /** Looks whether something is due: the app died, a command came. */
  wake(): void {
    this.#advance();
  }

  /** Asks for a poll now. */
  checkNow(): void {
    this.#askNow();
    this.#pollNow = true;
    this.#advance();
  }

  /** Who asks for a check also wants to know whether what waits may be run by now. */
  #askNow(): void {
    if (this.#state.snapshot.matches({ steady: { waiting: 'forPermission' } })) this.dispatch({ type: 'updateRequested' });
  }

  /** The next moment at which there is something to do, wall clock. */
  nextWakeAt(): number {
    const now = this.#options.now();
    const waits = [...this.#state.timers.values()].map((timer) => (this.waitsForBusyApp ? this.#options.busyLookMs : untilDueMs(timer, now)));
    if (this.#isResting()) waits.push(this.#untilPollMs());
    // No sooner than that: a poll's jitter makes it later than the interval, and waking twice for it costs twice.
    return now + (waits.length > 0 ? Math.min(...waits) : this.#options.pollIntervalMs);
  }

  /** Whether an update waits for an app that still is busy. */
  get waitsForBusyApp(): boolean {
    const { snapshot } = this.#state;
    const inhibitors = snapshot.context.candidate?.deferral?.inhibitors ?? [];
    return snapshot.matches({ steady: 'waiting' }) && inhibitors.some(({ reason }) => reason === 'busy') && this.#options.isBusy();
  }

  /** Resolves when what `stop` aborted has ended. */
  ended(): Promise<void> {
    return this.#abortedHaveEnded();
  }

  /** Applies one fact: journaled if the machine handles it or it resolves an effect, else only said in the debug log. */
  dispatch(said: Fact, meta: { effect?: string; command?: string } = {}): boolean {
    const { journal, now, log, onRecord, secrets } = this.#options;
    // A server may say our token back to us.
    const fact = redactJson(said, secrets());
    const at = now();
    const draft: JournalRecord = { seq: journal.lastSeq() + 1, at, fact, effect: meta.effect ?? null, command: meta.command ?? null };
    const next = evolve(this.#state, draft);
    if (next === this.#state) {
      log.debug(`${fact.type} changes nothing in ${JSON.stringify(this.#state.snapshot.value)}`);
      return false;
    }
    // Append before act: if this throws, nothing has happened.
    const record = journal.append(fact, { at, effect: draft.effect, command: draft.command, durable: !SEEN_ON_DISK.has(fact.type) });
    this.#state = next;
    onRecord(record, next);
    if (record.seq - this.#checkpointSeq >= CHECKPOINT_EVERY) this.#saveCheckpoint(record.seq);
    return true;
  }

  /** Brings what runs in line with what is outstanding, then polls or rests. */
  #advance(): void {
    if (this.#stopping) return;
    try {
      this.#fireTimers();
      this.#takeCommands();
      this.#noticeCrashLoop();
      this.#reconcile();
      this.#pollIfDue();
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#rest();
  }

  #reconcile(): void {
    const { effects } = this.#state;
    for (const running of this.#running.values()) if (effects.get(running.effect.id)?.sinceSeq !== running.effect.sinceSeq) this.#abort(running);
    for (const effect of effects.values()) if (!this.#running.has(effect.id)) void this.#perform(effect);
  }

  #abort({ effect, abort, done }: Running): void {
    this.#running.delete(effect.id);
    this.#ending.add(done);
    void done.then(() => this.#ending.delete(done));
    abort.abort();
  }

  /** What was aborted may still be at work on the same files: a removal, say, of what a download has just begun. */
  async #abortedHaveEnded(): Promise<void> {
    if (this.#ending.size > 0) await Promise.race([Promise.all(this.#ending), sleep(ABORT_PATIENCE_MS, undefined, { ref: false })]);
  }

  async #perform(effect: OutstandingEffect): Promise<void> {
    const abort = new AbortController();
    const ended = Promise.withResolvers<void>();
    this.#running.set(effect.id, { effect, abort, done: ended.promise });
    await this.#abortedHaveEnded();
    if (abort.signal.aborted) return ended.resolve();
    const fact = await this.#outcome(effect.request, abort.signal);
    ended.resolve();
    // Aborted or superseded meanwhile: its outcome belongs to no one.
    if (this.#stopping || this.#running.get(effect.id)?.effect !== effect) return;
    this.#running.delete(effect.id);
    try {
      this.dispatch(fact, { effect: effect.id });
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#advance();
  }

  /** An effect's failure is a fact like any other. */
  async #outcome({ name, input }: EffectRequest, signal: AbortSignal): Promise<Fact> {
    try {
      const perform = this.#options.effects[name] as (input: unknown, signal: AbortSignal) => Promise<Fact>;
      return await perform(input, signal);
    } catch (error) {
      return this.#failure(name, error, signal);
    }
  }

  #failure(name: EffectName, error: unknown, { aborted }: AbortSignal): Fact {
    const { code, message } = toFault(error, 'UNEXPECTED');
    const type = failureFacts[name];
    if (type === 'oldVersionsRemoved') {
      // Where something better came up it is done later.
      if (!aborted) this.#options.log.warn(`old versions could not be removed: ${message}`);
      return { type, names: [] };
    }
    if (type === 'checkFailed') return { type, code, message };
    return { type, code, message, jitter: this.#options.random() };
  }

  #fireTimers(): void {
    const now = this.#options.now();
    // Asked again and again, a game that goes on all night would fill the journal.
    if (this.waitsForBusyApp) return;
    for (const timer of this.#state.timers.values()) {
      if (untilDueMs(timer, now) > 0 || this.dispatch({ type: timer.type } as Fact)) continue;
      // Nobody waits for it any more; left where it is, it would be due for ever.
      this.#state = { ...this.#state, timers: new Map([...this.#state.timers].filter(([id]) => id !== timer.id)) };
    }
  }

  /** Taken in when the machine has a use for them; what it can't do now waits until it rests, and is then refused. */
  #takeCommands(): void {
    const { inboxDir, journal, log } = this.#options;
    const reject = (file: string, reason: string) => {
      log.warn(`${file} is not a valid command (${reason}); it is removed [COMMAND_REFUSED]`);
      this.#removeCommand(file);
    };
    for (const command of pendingCommands(inboxDir, (file) => this.#stuckCommands.has(file), reject)) {
      // Taken in before a crash that left the file.
      const known = journal.hasCommand(command.id);
      if (!known && command.fact === null) this.#askNow();
      const taken = known || (command.fact !== null && this.dispatch(command.fact, { command: command.id }));
      const pokes =
        command.fact === null ||
        command.fact.type === 'updateRequested' ||
        command.fact.type === 'resumed' ||
        command.fact.type === 'holdReleased' ||
        command.fact.type === 'versionRetried';
      if (pokes) this.#pollNow = true;
      if (taken || pokes || this.#isResting()) this.#removeCommand(command.file);
    }
  }

  /** A file that can't be removed must not be taken in for ever. */
  #removeCommand(file: string): void {
    try {
      remove(file);
    } catch (error) {
      this.#stuckCommands.add(file);
      this.#options.log.warn(`${file} can't be removed, and is ignored from now on: ${(error as Error).message} [COMMAND_REFUSED]`);
    }
  }

  /** Looked for whenever something else is due too; the container's finish script wakes us for it. */
  #noticeCrashLoop(): void {
    const { exitAgesMs, isTreeThere, random } = this.#options;
    const { snapshot } = this.#state;
    const { context } = snapshot;
    if (context.app !== 'up' || !snapshot.matches('steady')) return;
    const ages = exitAgesMs();
    if (ages.length === 0) return;
    const version = context.current?.version ?? null;
    if (context.current !== null && !isTreeThere(context.current.path)) {
      const message = `version ${version} ended, and its files are gone from ${context.current.path}: something outside the updater removed them. They are downloaded again if nothing else can run`;
      this.dispatch({ type: 'appCrashLooped', version, exits: ages.length, code: 'TREE_MISSING', message, jitter: random() });
      return;
    }
    if (!isCrashLoop(ages)) return;
    const message = `version ${version ?? 'unknown'} ended by itself ${ages.length} times in a row: see its own output for the reason`;
    this.dispatch({ type: 'appCrashLooped', version, exits: ages.length, code: 'CRASH_LOOP', message, jitter: random() });
  }

  #isResting(): boolean {
    return this.#state.snapshot.hasTag('resting');
  }

  #untilPollMs(): number {
    const { nextPollAt, now, pollIntervalMs } = this.#options;
    const next = nextPollAt();
    const noted = next === null || this.#pollNow ? 0 : remainingMs(next, now(), 2 * pollIntervalMs + 2 * 60 * 60 * 1000);
    // A poll that could not note when the next one is due must not be made again at once.
    const pauseMs = this.#pollNow ? SHORTEST_POLL_PAUSE_MS : pollIntervalMs;
    return this.#polledAt === null ? noted : Math.max(noted, this.#polledAt + pauseMs - performance.now());
  }

  #pollIfDue(): void {
    if (this.#poll !== null || !this.#isResting() || this.#untilPollMs() > 0) return;
    this.#pollNow = false;
    this.#poll = new AbortController();
    void this.#performPoll(this.#poll.signal);
  }

  /** A poll is the machine's `check`, made from a resting state: what it finds is a fact only if it changes something. */
  async #performPoll(signal: AbortSignal): Promise<void> {
    const { context } = this.#state.snapshot;
    const { policy } = context;
    const running = fallback(context)?.version ?? null;
    const fact = await this.#outcome({ name: 'check', input: { policy, request: null, running, fresh: false } }, signal);
    this.#poll = null;
    this.#polledAt = performance.now();
    if (this.#stopping) return;
    if (fact.type === 'checkFailed') this.#options.log.warn(`check failed: ${fact.message} [${fact.code}]`);
    try {
      if (this.#isResting()) this.dispatch(fact);
    } catch (error) {
      this.#faulted(error);
      return;
    }
    this.#advance();
  }

  /** Sleeps until the next thing is due; a `once` run ends here when nothing is left to do. */
  #rest(): void {
    clearTimeout(this.#wakeTimer);
    const busy = this.#running.size > 0 || this.#poll !== null;
    if (!busy) this.#saveCheckpointAtRest();
    if (!busy && this.#settled === null) {
      this.#fault = null;
      this.#faultsInARow = 0;
    }
    // A check that somebody asked for, and that only keeps its distance to the one before, is still to be made.
    if (!busy && !this.#pollNow && this.#settled !== null) {
      this.#settled();
      return;
    }
    if (busy && this.#state.timers.size === 0) return;
    const waitMs = Math.max(this.nextWakeAt() - this.#options.now(), 1);
    this.#wakeTimer = setTimeout(() => this.#advance(), Math.min(waitMs, LONGEST_TIMER_MS));
  }

  /** The journal could not be written, most likely: nothing more is done, but a stopped app is started, whatever is current. */
  #faulted(error: unknown): void {
    const { log, effects } = this.#options;
    const fault = toFault(error, 'JOURNAL_FAILED');
    // A full disk is told once, not every few seconds.
    if (fault.message !== this.#fault?.message) log.warn(`updates are suspended: ${fault.message} [${fault.code}]`);
    this.#fault = fault;
    const pauseMs = Math.min(RETRY_AFTER_FAULT_MS * 2 ** this.#faultsInARow++, LONGEST_FAULT_PAUSE_MS);
    clearTimeout(this.#wakeTimer);
    for (const running of this.#running.values()) this.#abort(running);
    void this.#abortedHaveEnded()
      .then(() => effects.start({ target: null }, AbortSignal.timeout(RETRY_AFTER_FAULT_MS)))
      .catch((failure: unknown) => log.warn(`the app could not be started: ${(failure as Error).message}`))
      .finally(() => {
        if (this.#settled) this.#settled();
        else if (!this.#stopping) this.#wakeTimer = setTimeout(() => this.#advance(), pauseMs);
      });
  }

  #watchInbox(): FSWatcher | null {
    const { inboxDir, log } = this.#options;
    try {
      prepareInbox(inboxDir, log.warn);
      const watcher = watch(inboxDir, () => this.#advance());
      watcher.on('error', (error) => log.warn(`the inbox is no longer watched, so commands wait for the next check: ${error.message}`));
      return watcher;
    } catch (error) {
      log.warn(`the inbox can't be watched, so commands wait for the next check: ${(error as Error).message}`);
      return null;
    }
  }

  #saveCheckpoint(seq: number): void {
    this.#options.journal.saveCheckpoint({ seq, state: serializeState(this.#state) });
    this.#checkpointSeq = seq;
  }

  /** To read it costs less than the shortest replay: 15 ms of each command and each check. */
  #saveCheckpointAtRest(): void {
    const { journal, log } = this.#options;
    try {
      const seq = journal.lastSeq();
      if (seq > this.#checkpointSeq) this.#saveCheckpoint(seq);
    } catch (error) {
      log.debug(`no checkpoint: ${(error as Error).message}`);
    }
  }
}
