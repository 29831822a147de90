/**
 * The product as a user runs it: the real command line in a process of its own, in a directory of
 * its own.
 */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { MARKER, markedProcesses, sendSignal } from '../../src/effects/supervisor/process-table.ts';
import type { SlotName } from '../../src/effects/supervisor/supervisor.ts';
import { Journal } from '../../src/journal/journal.ts';
import type { JournalRecord } from '../../src/journal/record.ts';
import type { Fact, FactOf, FactType } from '../../src/machines/facts.ts';
import type { Status } from '../../src/report/status.ts';
import { appSource } from './app.ts';
import { FakeGitHub } from './github/server.ts';

const BIN = path.join(import.meta.dirname, '..', '..', 'bin', 'self-update.js');
export const TOKEN = 'canary-token-0123456789';
/**
 * What hangs is ended before the test is, which then can say what was told until then. Far above
 * what a busy machine needs.
 */
const PATIENCE_MS = 100_000;

/** A running command line, as far as tests steer it. */
export type Updater = PromiseLike<{ exitCode?: number; signal?: string }> & {
  pid?: number;
  kill(signal: NodeJS.Signals): boolean;
  nodeChildProcess: ChildProcess;
};
export type Event = Fact & { seq: number; at: string };
export type EventOf<T extends FactType> = FactOf<T> & { seq: number; at: string };
export type ProductOptions = {
  baked?: string | null;
  env?: Record<string, string>;
  stopMs?: number;
  entry?: string;
  owner?: string;
  repo?: string;
  /** A place of its own, instead of a new one: for what facts name. */
  root?: string;
  githubPort?: number;
};

export class Product {
  readonly root: string;
  readonly github: FakeGitHub;
  readonly port: number;
  readonly env: Record<string, string>;
  /** The script that Node is given. */
  readonly entry: string;
  /** Every resident updater that was started, oldest first. */
  readonly updaters: Updater[] = [];
  /** What the updater wrote to standard error, whole lines. */
  readonly log: string[] = [];
  readonly output: string[] = [];
  /** Emits `line` with each line of either. */
  readonly #lines = new EventEmitter();

  private constructor(
    github: FakeGitHub,
    port: number,
    { baked = '0.0.1', env = {}, stopMs = 0, entry = BIN, root }: ProductOptions,
  ) {
    if (root !== undefined) mkdirSync(root, { recursive: true });
    this.root = root ?? mkdtempSync(path.join(os.tmpdir(), 'self-update-'));
    this.github = github;
    this.port = port;
    this.entry = entry;
    const bakedDir = path.join(this.root, 'baked');
    if (baked !== null)
      this.#bake(path.join(bakedDir, baked), appSource({ version: baked, port, stopMs }));
    this.env = {
      PATH: process.env['PATH'] ?? '',
      HOME: this.root,
      GH_USER: github.owner,
      GH_REPO: github.repo,
      SLEEP: '5',
      SVWAIT: '5',
      UPDATE_GH_TOKEN: TOKEN,
      UPDATE_GH_API_URL: github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
      UPDATE_DIR: path.join(this.root, 'data'),
      UPDATE_BAKED_DIR: bakedDir,
      UPDATE_PROBATION: '0.3',
      UPDATE_LINKED_DIR: path.join(this.root, 'linked'),
      ...env,
    };
  }

  static async create(options: ProductOptions = {}): Promise<Product> {
    const { owner = 'acme', repo = 'app', githubPort = 0 } = options;
    const github = await new FakeGitHub({ token: TOKEN, owner, repo }).listen(githubPort);
    return new Product(github, await freePort(), options);
  }

  #bake(directory: string, source: string): void {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, 'app'), source, { mode: 0o755 });
  }

  get dir(): string {
    return this.env['UPDATE_DIR'] ?? '';
  }

  /** Runs one command to its end. */
  async command(
    args: string[],
    env: Record<string, string | undefined> = {},
  ): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [this.entry, ...args], {
      env: { ...this.env, ...env } as Record<string, string>,
      extendEnv: false,
      reject: false,
      timeout: PATIENCE_MS,
    });
    return { exitCode, stdout, stderr };
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.command(['status', '--json'])).stdout) as Status;
  }

  async events(): Promise<Event[]> {
    const { stdout } = await this.command(['events', '--json']);
    return stdout === '' ? [] : stdout.split('\n').map((line) => JSON.parse(line) as Event);
  }

  /** The journal, read in this process: for who looks again and again. */
  records(): JournalRecord[] {
    const journal = Journal.openForReading(path.join(this.dir, 'state'));
    try {
      return journal?.read() ?? [];
    } finally {
      journal?.close();
    }
  }

  /** Starts the resident updater. */
  start(
    args: string[] = [],
    {
      extraEnv = {},
      onLine,
    }: { extraEnv?: Record<string, string>; onLine?: (line: string) => void } = {},
  ): Updater {
    const updater = execa(process.execPath, [this.entry, 'run', ...args], {
      env: { ...this.env, ...extraEnv },
      extendEnv: false,
      reject: false,
      buffer: false,
      stdin: 'ignore',
    });
    this.updaters.push(updater);
    const collect = (stream: NodeJS.ReadableStream | null, into: string[]) => {
      if (stream === null) return;
      createInterface({ input: stream }).on('line', (line) => {
        into.push(line);
        this.#lines.emit('line', line);
        onLine?.(line);
      });
    };
    collect(updater.stderr, this.log);
    collect(updater.stdout, this.output);
    return updater;
  }

  /**
   * Resolves with the first line of the log that fits, now or once it is there: what a fact tells
   * comes before its line does.
   */
  async logged(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = [...this.log, ...this.output].find((one) => pattern.test(one));
      if (line !== undefined) return line;
      await once(this.#lines, 'line');
    }
  }

  /**
   * Kills the newest updater, and waits until it is gone. The app may hold its output open for
   * longer.
   */
  async killUpdater(): Promise<void> {
    const child = this.updaters.at(-1)?.nodeChildProcess;
    if (!child) throw new Error('no updater was started');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Starts `events --follow`. */
  follow(patienceMs = PATIENCE_MS) {
    const options = {
      env: this.env,
      extendEnv: false,
      reject: false,
      buffer: false,
      stdin: 'ignore',
      timeout: patienceMs,
    } as const;
    return execa(process.execPath, [this.entry, 'events', '--json', '--follow'], options);
  }

  /** Follows the journal until a fact of this type (that fits) is there. */
  async fact<T extends FactType>(
    type: T,
    fits: (fact: EventOf<T>) => boolean = () => true,
  ): Promise<EventOf<T>> {
    const follower = this.follow();
    let found: EventOf<T> | null = null;
    for await (const line of follower.iterable()) {
      const event = eventOf(line as string);
      if (event?.type !== type || !fits(event as EventOf<T>)) continue;
      found = event as EventOf<T>;
      // The iteration ends with the process.
      follower.kill('SIGTERM');
      break;
    }
    if (found !== null) return found;
    throw new Error(`no ${type} within ${PATIENCE_MS} ms; the log says:\n${this.log.join('\n')}`);
  }

  /** The processes of the app, by the mark that they carry; it names the second slot. */
  apps(): { pid: number; slot: SlotName; tree: string }[] {
    return markedProcesses(this.dir).map(({ pid, marker }) => {
      const slot = marker.startsWith('app2:') ? 'app2' : 'app';
      return { pid, slot, tree: slot === 'app' ? marker : marker.slice('app2:'.length) };
    });
  }

  /** Ends everything and removes the directory. */
  async dispose(): Promise<void> {
    for (const running of this.updaters) running.kill('SIGKILL');
    // The app holds the updater's output open: it goes first.
    for (const { pid } of markedProcesses(this.dir)) sendSignal(pid, 'SIGKILL');
    await Promise.allSettled(this.updaters);
    for (const { pid } of markedProcesses(this.dir)) sendSignal(pid, 'SIGKILL');
    await this.github.close();
    await execa('chmod', ['-R', 'u+w', this.root], { reject: false });
    rmSync(this.root, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

export { MARKER };

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Null for half a line, which a follower that was ended leaves. */
function eventOf(line: string): Event | null {
  try {
    return JSON.parse(line) as Event;
  } catch {
    return null;
  }
}
