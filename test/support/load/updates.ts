/**
 * An app of this folder in a real container that is updated again and again under load: what the
 * tests and `npm run bench` of the hand-over have in common.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { Container, nativeArchive } from '../docker/container.ts';
import { IMAGES } from '../docker/images.ts';
import { freePort } from '../product.ts';
import { Load } from './load.ts';
import type { Connections, StreamReport } from './stream.ts';

const APPS = path.join(import.meta.dirname, 'apps');
export const LOADED_APPS = {
  go: 'Go',
  nodeChanged: 'Node, changed',
  nodeUnchanged: 'Node, unchanged',
} as const;
export type LoadedApp = keyof typeof LOADED_APPS;
/** `binds itself`: without UPDATE_LISTEN, the same app listens on its own. */
export type Manner = 'binds itself' | 'download-then-kill' | 'hand-over';

export type AppOptions = {
  app: LoadedApp;
  manner: Manner;
  updates: number;
  /** How long the app takes until it listens. */
  startMs?: number;
  env?: Record<string, string>;
};
export type UpdatesOptions = AppOptions & {
  /** Requests a second, of all streams together. */
  rate: number;
  connections: readonly Connections[];
  /** How long the app takes for an answer: a stream for each, with each kind of connection. */
  handlerMs: readonly number[];
  /** Between two updates. A service that ran for less than a second is started a second later. */
  restMs?: number;
};
export type StreamOfUpdates = StreamReport & { connections: Connections; handlerMs: number };

/** Version 0.1.0 of the app in a container, and `updates` more that are packed by now. */
export class LoadedContainer {
  readonly container: Container;
  readonly #archives: ReadonlyMap<string, Buffer>;

  private constructor(container: Container, archives: ReadonlyMap<string, Buffer>) {
    this.container = container;
    this.#archives = archives;
  }

  static async prepare(options: AppOptions): Promise<LoadedContainer> {
    const { app, manner, updates, startMs = 0, env = {} } = options;
    const archives = new Map<string, Buffer>();
    // Before any load: packing them would be load too.
    for (let count = 0; count <= updates; count++)
      archives.set(`0.1.${count}`, await archiveOf(app, `0.1.${count}`));
    const port = await freePort();
    const held = manner !== 'binds itself';
    const container = await Container.prepare({
      port,
      image: IMAGES.empty,
      env: {
        UPDATE_STRATEGY: held ? manner : 'download-then-kill',
        ...(held ? { UPDATE_LISTEN: `127.0.0.1:${port}` } : {}),
        ...(held && app === 'nodeUnchanged' ? { UPDATE_LISTEN_NODE: 'on' } : {}),
        START_MS: String(startMs),
        // Updates come when they are asked for, and else not.
        SLEEP: '3600',
        ...env,
      },
    });
    return new LoadedContainer(container, archives);
  }

  get port(): number {
    return this.container.port;
  }

  /** The versions that it is to be updated to, in order. */
  get versions(): string[] {
    return [...this.#archives.keys()].slice(1);
  }

  async start(): Promise<void> {
    this.#publish('0.1.0');
    await this.container.create();
    await this.#isHealthy('0.1.0');
    await this.container.answers('0.1.0');
  }

  /** Resolves once this version is healthy. */
  async update(version: string): Promise<void> {
    this.#publish(version);
    await this.container.signal('HUP');
    await this.#isHealthy(version);
  }

  #publish(version: string): void {
    this.container.github.publish(`v${version}`, {
      [`app_${version}_linux_amd64.tar.gz`]: this.#archives.get(version) ?? Buffer.alloc(0),
    });
  }

  async #isHealthy(version: string): Promise<void> {
    await this.container.fact('versionBecameHealthy', (fact) => fact.version === version);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.container[Symbol.asyncDispose]();
  }
}

/** Starts the app, loads it, updates it so many times, and tells what became of the requests. */
export async function loadThroughUpdates(options: UpdatesOptions): Promise<StreamOfUpdates[]> {
  await using app = await LoadedContainer.prepare(options);
  await app.start();
  const streams = options.connections.flatMap((connections) =>
    options.handlerMs.map((handlerMs) => ({ connections, handlerMs })),
  );
  await using load = new Load(
    streams.map(({ connections, handlerMs }) => ({
      port: app.port,
      rate: options.rate / streams.length,
      connections,
      path: `/?ms=${handlerMs}`,
    })),
  );
  await load.answers('0.1.0');
  for (const version of app.versions) {
    await sleep(options.restMs ?? 0);
    await app.update(version);
    await load.answers(version);
  }
  const reports = await load.stop();
  return streams.flatMap((stream, index) => {
    const report = reports[index];
    return report === undefined ? [] : [{ ...stream, ...report }];
  });
}

const archived = new Map<string, Buffer>();

async function archiveOf(app: LoadedApp, version: string): Promise<Buffer> {
  const key = `${app} ${version}`;
  const packed =
    archived.get(key) ??
    (await nativeArchive(version, {
      files: { app: { content: await programOf(app), mode: 0o755 } },
    }));
  archived.set(key, packed);
  return packed;
}

let built: Promise<Buffer> | null = null;

export function programOf(app: LoadedApp): Promise<Buffer> | Buffer {
  if (app === 'nodeChanged') return readFileSync(path.join(APPS, 'node-changed.cjs'));
  if (app === 'nodeUnchanged') return readFileSync(path.join(APPS, 'node-unchanged.cjs'));
  built ??= buildGo();
  return built;
}

/** Static, and of the standard library alone: nothing is fetched for it. */
async function buildGo(): Promise<Buffer> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'load-go-'));
  const file = path.join(directory, 'app');
  try {
    await execa('go', ['build', '-trimpath', '-ldflags=-s', '-o', file, 'go.go'], {
      cwd: APPS,
      env: { CGO_ENABLED: '0' },
    });
    return readFileSync(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
