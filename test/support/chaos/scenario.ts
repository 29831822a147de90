/**
 * One update, or one rollback, that faults are put into; and the invariants that have to hold
 * whatever they were.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createWriteStream, existsSync, lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { problemsOf } from '../../../src/effects/integrity.ts';
import { sendSignal } from '../../../src/effects/supervisor/process-table.ts';
import { type Places, readWorld } from '../../../src/effects/trees.ts';
import type { JournalRecord } from '../../../src/journal/record.ts';
import type { Context } from '../../../src/machines/context.ts';
import { compareVersions } from '../../../src/machines/version.ts';
import { replay, type State } from '../../../src/runtime/fold.ts';
import { appArchive } from '../app.ts';
import { ask } from '../prober.ts';
import { Product } from '../product.ts';

export type Kind = {
  strategy: 'kill-then-download' | 'download-then-kill' | 'hand-over';
  /** `rollback`: the new version ends at once. `first`: nothing has run yet. */
  story: 'update' | 'rollback' | 'first';
  mode: 'once' | 'resident';
  /** A slot of a fleet's lock has to be had before the app is interrupted. */
  isLocked?: true;
};

export const KINDS: readonly Kind[] = (
  ['kill-then-download', 'download-then-kill'] as const
).flatMap((strategy) =>
  (['update', 'rollback'] as const).flatMap((story) =>
    (['once', 'resident'] as const).map((mode) => ({ strategy, story, mode })),
  ),
);

/**
 * With hand-over the updater that started the app has its sockets: so it is resident, and starts
 * v0.0.1 before v0.0.2 is out.
 */
export const HANDING_OVER: readonly Kind[] = (['update', 'rollback'] as const).map((story) => ({
  strategy: 'hand-over',
  story,
  mode: 'resident',
}));

export const nameOf = ({ strategy, story, mode, isLocked }: Kind): string =>
  [story, strategy, mode === 'once' ? 'run --once' : 'run', ...(isLocked ? ['locked'] : [])].join(
    ', ',
  );

/** Puts something before the command: strace with a fault to inject. */
export type Wrapping = {
  prefix: string[];
  env?: Record<string, string>;
  ended: () => Promise<void>;
};

const BUNDLED = path.join(import.meta.dirname, 'bundled.ts');
/** HOSTILE.md's word: one complete version runs within 10 s of the restart. */
const RUNS_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 25;
const UPDATE_PATIENCE_MS = 60_000;
/** Trees kept by default, and the one that comes. */
const MAX_TREES = 3;
const ASSET_BYTES = 150_000;

export type Preparation = {
  env?: Record<string, string>;
  entry?: string;
  /** The archive of v0.0.2 instead of the story's. */
  next?: ((product: Product) => Promise<Buffer>) | null;
};

export class Scenario implements AsyncDisposable {
  readonly product: Product;
  readonly kind: Kind;
  readonly places: Places;
  readonly linked: string[] = [];

  private constructor(product: Product, kind: Kind) {
    this.product = product;
    this.kind = kind;
    const repository = `${product.github.owner}/${product.github.repo}`;
    this.places = {
      root: product.dir,
      bakedDir: product.env['UPDATE_BAKED_DIR'] ?? '',
      repository,
      versioning: 'semver',
      tagPrefix: '',
    };
  }

  /** Keeps this name of every tree as the app's data, inside of UPDATE_DIR. */
  link(name: string): void {
    this.linked.push(name);
    Object.assign(this.product.env, {
      UPDATE_LINKED: this.linked.join(' '),
      UPDATE_LINKED_DIR: path.join(this.product.dir, 'linked'),
    });
  }

  /** v0.0.1 was installed, runs, and is trusted; v0.0.2 is out. */
  static async prepare(
    kind: Kind,
    { env = {}, entry = BUNDLED, next = null }: Preparation = {},
  ): Promise<Scenario> {
    const settings = {
      UPDATE_STRATEGY: kind.strategy,
      UPDATE_PROBATION: '0.2',
      UPDATE_ASSET: '*.tar.gz',
      SVWAIT: '2',
      UV_THREADPOOL_SIZE: '1',
      ...env,
    };
    const product = await Product.create({ entry, baked: '0.0.0', env: settings });
    const scenario = new Scenario(product, kind);
    if (kind.strategy === 'hand-over') product.env['UPDATE_LISTEN'] = `127.0.0.1:${product.port}`;
    await scenario.publish('0.0.1');
    if (kind.story === 'first') return scenario;
    const first = await product.command(['run', '--once']);
    assert.equal(first.exitCode, 0, first.stderr);
    if (kind.strategy === 'hand-over') await scenario.endApps();
    else if (next !== null) product.github.publish('v0.0.2', { 'app.tar.gz': await next(product) });
    else await scenario.publish('0.0.2', kind.story === 'rollback');
    return scenario;
  }

  async publish(version: string, ends = false): Promise<void> {
    const files = ends ? { app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } } : {};
    const content = await appArchive({
      version,
      port: this.product.port,
      padBytes: ASSET_BYTES,
      files,
    });
    this.product.github.publish(`v${version}`, { 'app.tar.gz': content });
  }

  /**
   * Runs the updater through the update, until it has nothing left to do or dies. `signal` null: it
   * was not killed.
   */
  async update(
    wrapping: Wrapping = { prefix: [], ended: async () => {} },
  ): Promise<{ exitCode: number | undefined; signal: string | undefined }> {
    const { product, kind } = this;
    const args = kind.mode === 'once' ? ['run', '--once', '--now'] : ['run', '--now'];
    const seen = this.records().at(-1)?.seq ?? 0;
    const [file = '', ...words] = [...wrapping.prefix, process.execPath, product.entry, ...args];
    // A file of our own, since the app and a tracer outlive the updater, and would hold pipes open.
    const log = createWriteStream(path.join(product.root, 'update.log'), { flags: 'a' });
    await once(log, 'open');
    const updater = execa(file, words, {
      env: { ...product.env, ...wrapping.env },
      extendEnv: false,
      reject: false,
      stdio: ['ignore', log, log],
      timeout: UPDATE_PATIENCE_MS,
    });
    log.close();
    let over = false;
    const settled = async () => {
      while (!over && !this.isDone()) await sleep(LOOK_EVERY_MS);
    };
    const published =
      kind.strategy === 'hand-over' ? this.#publishNext(seen, updater, () => over) : null;
    // A resident updater that was asked to end would take the app along.
    if (kind.mode === 'resident') void settled().then(() => over || updater.kill('SIGKILL'));
    const { exitCode, signal, timedOut } = await updater;
    over = true;
    await published;
    await wrapping.ended();
    assert.ok(!timedOut, `the updater neither ended nor settled:\n${await this.log()}`);
    return { exitCode, signal };
  }

  /** Once v0.0.1 runs, or nobody is left who would start it. */
  async #publishNext(
    seen: number,
    updater: { kill(signal: NodeJS.Signals): boolean },
    isOver: () => boolean,
  ): Promise<void> {
    const runs = () =>
      this.records().some(({ seq, fact }) => seq > seen && fact.type === 'appStarted');
    while (!isOver() && !runs()) await sleep(LOOK_EVERY_MS);
    await this.publish('0.0.2', this.kind.story === 'rollback');
    if (!isOver()) updater.kill('SIGHUP');
  }

  /**
   * A start without faults: one version runs again in time. Then nothing stands in the way of the
   * end that the story has.
   */
  async recover(): Promise<string> {
    const startedAt = performance.now();
    const recovery = await this.product.command(['run', '--once']);
    assert.equal(recovery.exitCode, 0, recovery.stderr);
    // Under a lock the version that was there is started first, then the whole update is made.
    const version = await this.check(this.kind.isLocked ? performance.now() : startedAt);
    const last = await this.product.command(['update']);
    assert.ok(
      this.isDone(),
      `no end of the story: ${last.stderr}${last.stdout}\n${this.records()
        .map(({ fact }) => fact.type)
        .join(
          ' ',
        )}\n${JSON.stringify(await this.product.status())}\n${recovery.stderr}\n${await this.log()}`,
    );
    await this.check(performance.now());
    return version;
  }

  /** Whether the update is over: made, or undone and denied. */
  isDone(): boolean {
    const context = this.state()?.snapshot.context;
    if (!context || !this.state()?.snapshot.matches({ steady: { running: 'settled' } }))
      return false;
    if (this.kind.isLocked && !this.#isLockSettled(context)) return false;
    if (this.kind.story === 'first')
      return context.current?.version === '0.0.1' && context.lastGood?.version === '0.0.1';
    if (this.kind.story === 'update')
      return context.current?.version === '0.0.2' && context.lastGood?.version === '0.0.2';
    return (
      context.current?.version === '0.0.1' &&
      context.denied.some(({ version }) => version === '0.0.2')
    );
  }

  /** Given back after an update, kept after a rollback. */
  #isLockSettled({ fleetLock }: Context): boolean {
    return this.kind.story === 'rollback' ? Boolean(fleetLock?.failure) : fleetLock === null;
  }

  /** The power goes for the app, too. */
  async endApps(): Promise<void> {
    while (this.product.apps().length > 0) {
      for (const { pid } of this.product.apps()) sendSignal(pid, 'SIGKILL');
      await sleep(LOOK_EVERY_MS);
    }
  }

  records(): JournalRecord[] {
    return this.product.records();
  }

  state(): State | null {
    return replay(this.records());
  }

  async log(): Promise<string> {
    const { stdout } = await execa(
      'tail',
      ['-n', '40', path.join(this.product.root, 'update.log')],
      { reject: false },
    );
    return stdout;
  }

  /**
   * One complete, verified version runs and answers; what is linked, journaled and on disk agrees.
   * Returns that version.
   */
  async check(since: number, { journalAgrees = true } = {}): Promise<string> {
    const { current, lastGood } = await readWorld(this.places);
    assert.ok(current, 'nothing is linked as current');
    // At the very first start the baked version may have to do for a while; it has no manifest.
    if (this.kind.story !== 'first') assert.ok(lastGood, 'nothing is linked as last-good');
    for (const tree of [current, lastGood])
      if (tree !== null && tree.digest !== null)
        assert.deepEqual(
          await problemsOf(tree.path, this.linked),
          [],
          `${tree.version} is not as its manifest says`,
        );
    while ((await ask(this.product.port)) !== current.version) {
      assert.ok(
        performance.now() - since < RUNS_WITHIN_MS,
        `${current.version} does not answer:\n${await this.log()}`,
      );
      await sleep(LOOK_EVERY_MS);
    }
    const apps = this.product.apps();
    assert.equal(apps.length, 1, `${apps.length} copies of the app`);
    assert.equal(apps[0]?.tree, current.path);
    this.#checkJournal(current.version, journalAgrees);
    this.#checkDisk();
    return current.version;
  }

  /**
   * It replays, agrees with the links, and a lower version than before has a rollback, or an
   * operator's word, on record.
   */
  #checkJournal(version: string, agrees: boolean): void {
    const records = this.records();
    const state = replay(records);
    if (agrees) assert.equal(state?.snapshot.context.current?.version, version);
    const ran = records.flatMap(({ fact }) =>
      fact.type === 'versionBecameHealthy' ? [fact.version] : [],
    );
    const highest = ran.sort((a, b) => compareVersions(b, a, 'semver'))[0] ?? version;
    const wentBack = records.some(({ fact }) =>
      ['probationFailed', 'startFailed', 'appCrashLooped', 'installRequested'].includes(fact.type),
    );
    assert.ok(
      wentBack || compareVersions(version, highest, 'semver') >= 0,
      `${version} runs after ${highest}, and no rollback is on record`,
    );
  }

  #checkDisk(): void {
    const names = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);
    const trees = names(path.join(this.places.root, 'releases'));
    const temporary = names(path.join(this.places.root, 'tmp'));
    assert.ok(
      trees.length + temporary.filter((name) => name.startsWith('tree-')).length <= MAX_TREES,
      `too many trees: ${[...trees, ...temporary].join()}`,
    );
    assert.ok(temporary.filter((name) => name.endsWith('.part')).length <= 1, temporary.join());
    const links = readdirSync(this.places.root).filter((name) =>
      lstatSync(path.join(this.places.root, name)).isSymbolicLink(),
    );
    assert.ok(links.length <= 3, `links are left lying about: ${links.join()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.product.dispose();
  }
}
