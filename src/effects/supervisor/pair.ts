/**
 * Two slots, for the strategy hand-over: the app, and for a while a copy beside it. Which of them is
 * the app is nowhere noted: it is the one whose tree `current` names. So a move of that link changes
 * the roles, and whoever comes after a crash finds them as they are.
 */
import { existsSync, realpathSync } from 'node:fs';
import type { AppCommand } from '../entry-point.ts';
import type { Exit, Slot, StopRequest, Supervisor } from './supervisor.ts';

/** The copy beside the app. */
export type Beside = { tree: string; pid: number; isReady: boolean };

export class PairSupervisor implements Supervisor {
  readonly endsWithUpdater: boolean;
  readonly #slots: readonly [Slot, Slot];
  readonly #currentTree: () => string | null;
  readonly #stop: StopRequest;
  /** Where the app was when that was last seen: between its end and its restart no slot tells. */
  #last: Slot;

  /** `currentTree`: what `current` names now, absolute; null for nothing. */
  constructor(
    slots: readonly [Slot, Slot],
    { currentTree, stop }: { currentTree: () => string | null; stop: StopRequest },
  ) {
    this.#stop = stop;
    this.#slots = slots;
    this.#currentTree = currentTree;
    this.#last = slots[0];
    this.endsWithUpdater = slots[0].endsWithUpdater;
  }

  async observe(): Promise<string | null> {
    return (await this.#findApp()).observe();
  }

  async isAlive(): Promise<boolean> {
    return (await this.#findApp()).isAlive();
  }

  running(): { tree: string; pid: number } | null {
    return this.#last.running();
  }

  /** None of two that outlived its updater may lose them. */
  holdSockets(): void {
    if (this.#slots.every((slot) => slot.running() === null)) this.#slots[0].holdSockets();
  }

  async assertReachable(): Promise<void> {
    for (const slot of this.#slots) await slot.assertReachable();
  }

  /** Never two copies: where it has to be started, whatever else runs is stopped first. */
  async start(tree: string, command: AppCommand): Promise<{ adopted: boolean }> {
    const running = this.#slots.find((slot) => isSame(slot.running()?.tree, tree));
    const slot = running ?? (await this.#findApp());
    this.#last = slot;
    if (running !== undefined) await slot.keep();
    else await this.#other(slot).stop(this.#stop);
    return slot.start(tree, command);
  }

  async stop(request: StopRequest): Promise<{ killed: boolean }> {
    const stopped = await Promise.all(this.#slots.map((slot) => slot.stop(request)));
    return { killed: stopped.some(({ killed }) => killed) };
  }

  nextExit(signal: AbortSignal, known: number): Promise<Exit> {
    return this.#last.nextExit(signal, known);
  }

  exitAgesMs(): number[] {
    return this.#last.exitAgesMs();
  }

  lastWords(signal: AbortSignal): Promise<string> {
    return this.#last.lastWords(signal);
  }

  /** The same of the copy that ended beside the app: it is started once more, and ended. */
  async lastWordsBeside(tree: string, command: AppCommand, signal: AbortSignal): Promise<string> {
    const slot = this.#other(await this.#findApp());
    const words = slot.lastWords(signal);
    try {
      await slot.startOnce(tree, command);
      return await words;
    } finally {
      words.catch(() => {});
      await slot.stop(this.#stop);
    }
  }

  detach(): void {
    for (const slot of this.#slots) slot.detach();
  }

  /** The copy beside the app, of whatever tree. Null for none. */
  async beside(): Promise<Beside | null> {
    const slot = this.#other(await this.#findApp());
    const running = slot.running();
    return running === null ? null : { ...running, isReady: slot.isReady() };
  }

  /** The app itself, by its leader. */
  async app(): Promise<Beside | null> {
    const slot = await this.#findApp();
    const running = slot.running();
    return running === null ? null : { ...running, isReady: slot.isReady() };
  }

  /** How the copy beside ended; null where that can't be known. */
  async endOfBeside(): Promise<Exit | null> {
    return this.#other(await this.#findApp()).endOfOnce();
  }

  async startBeside(tree: string, command: AppCommand): Promise<{ adopted: boolean }> {
    return this.#other(await this.#findApp()).startOnce(tree, command);
  }

  /**
   * Ends the copy that `current` does not name, and has the one that it names kept running. An
   * updater that begins in the middle of a hand-over does not watch that one yet, or it has ended
   * meanwhile: before anything is stopped it is adopted, or started.
   */
  async stopOther(
    request: StopRequest,
    command: ((tree: string) => Promise<AppCommand>) | null = null,
  ): Promise<{ killed: boolean }> {
    const app = await this.#findApp();
    await app.keep();
    const running = app.running();
    const tree = running?.tree ?? this.#currentTree();
    if (command !== null && tree !== null) {
      const kept = command(tree).then((how) => app.start(tree, how));
      // One that runs is the app, whether or not it could be started again; else the other one stays.
      await (running === null ? kept : kept.catch(() => {}));
    }
    return this.#other(app).stop(request);
  }

  async #findApp(): Promise<Slot> {
    const current = this.#currentTree();
    let found = this.#slots.find((slot) => isSame(slot.running()?.tree, current));
    // One that ended a moment ago, and is started again.
    for (const slot of this.#slots)
      if (found === undefined && isSame(await slot.observe(), current)) found = slot;
    this.#last = found ?? this.#slotOfNobody(current);
    return this.#last;
  }

  /** No copy is the linked one. What runs from another tree is not the app, if that one is there. */
  #slotOfNobody(current: string | null): Slot {
    const isLinked = current !== null && existsSync(current);
    const mayBe = (slot: Slot) => (slot.running() === null) === isLinked;
    const other = this.#other(this.#last);
    return !mayBe(this.#last) && mayBe(other) ? other : this.#last;
  }

  #other(slot: Slot): Slot {
    const [one, other] = this.#slots;
    return slot === one ? other : one;
  }
}

function isSame(one: string | null | undefined, other: string | null): boolean {
  return one != null && other !== null && (one === other || real(one) === real(other));
}

function real(tree: string): string {
  try {
    return realpathSync(tree);
  } catch {
    return tree;
  }
}
