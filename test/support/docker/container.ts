/**
 * A real container of the product under test, followed by a stand-in for GitHub on this machine's
 * loopback.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { FactType } from '../../../src/machines/facts.ts';
import type { Status } from '../../../src/report/status.ts';
import { archive } from '../app.ts';
import { FakeGitHub } from '../github/server.ts';
import { ask, Prober } from '../prober.ts';
import { type Event, type EventOf, freePort, TOKEN } from '../product.ts';
import { docker, type Output } from './engine.ts';
import { IMAGES } from './images.ts';

/** How containers are run: who root is, and what may be written. */
export const PROFILES = {
  root: [],
  'root with four capabilities': [
    '--cap-drop',
    'ALL',
    '--cap-add',
    'SETUID',
    '--cap-add',
    'SETGID',
    '--cap-add',
    'KILL',
    '--cap-add',
    'CHOWN',
  ],
  'one unprivileged user': ['--cap-drop', 'ALL', '--user', '4321:4321'],
} as const;
export type Profile = keyof typeof PROFILES;
export const HARDENED = ['--read-only', '--security-opt', 'no-new-privileges'] as const;

/** Nothing that a test waits for takes longer on a machine that works. */
const PATIENCE_MS = 40_000;
const LOOK_EVERY_MS = 20;

export type ContainerOptions = {
  image?: string;
  env?: Record<string, string>;
  /** Further options of docker run. */
  run?: readonly string[];
  args?: readonly string[];
  /** A named volume for /data, which outlives the container. */
  volume?: string;
  github?: FakeGitHub;
  port?: number;
};

export class Container {
  readonly name = `self-update-${randomUUID().slice(0, 8)}`;
  readonly github: FakeGitHub;
  readonly port: number;
  readonly #options: ContainerOptions;
  readonly #ownsGithub: boolean;

  private constructor(github: FakeGitHub, port: number, options: ContainerOptions) {
    this.github = github;
    this.port = port;
    this.#options = options;
    this.#ownsGithub = options.github === undefined;
  }

  /** A stand-in and a name, before anything runs. */
  static async prepare(options: ContainerOptions = {}): Promise<Container> {
    const github = options.github ?? (await new FakeGitHub({ token: TOKEN }).listen());
    return new Container(github, options.port ?? (await freePort()), options);
  }

  static async run(options: ContainerOptions = {}): Promise<Container> {
    const container = await Container.prepare(options);
    await container.create();
    return container;
  }

  /** docker run, detached. */
  async create(): Promise<void> {
    await docker(this.runArguments(['--detach']));
  }

  /** The words of docker run, for who wants to sit at its terminal. */
  runArguments(manner: readonly string[], more: Record<string, string> = {}): string[] {
    const { image = IMAGES.app, env = {}, run = [], args = [], volume } = this.#options;
    const all: Record<string, string> = {
      GH_USER: this.github.owner,
      GH_REPO: this.github.repo,
      SLEEP: '5',
      SVWAIT: '5',
      UPDATE_GH_TOKEN: TOKEN,
      UPDATE_GH_API_URL: this.github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
      UPDATE_PROBATION: '0.3',
      PORT: String(this.port),
      ...env,
      ...more,
    };
    const settings = Object.entries(all).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    const mount = volume === undefined ? [] : ['--volume', `${volume}:/data`];
    return [
      'run',
      ...manner,
      '--network',
      'host',
      '--name',
      this.name,
      ...settings,
      ...mount,
      ...run,
      image,
      ...args,
    ];
  }

  async publish(version: string, options: Parameters<typeof nativeArchive>[1] = {}): Promise<void> {
    this.github.publish(`v${version}`, {
      [`app_${version}_linux_amd64.tar.gz`]: await nativeArchive(version, options),
    });
  }

  exec(args: readonly string[], options: readonly string[] = []): Promise<Output> {
    return docker(['exec', ...options, this.name, ...args], { reject: false });
  }

  /** One command of an operator: docker exec NAME self-update … */
  command(...args: string[]): Promise<Output> {
    return this.exec(['self-update', ...args]);
  }

  async status(): Promise<Status> {
    const { stdout, stderr } = await this.command('status', '--json');
    if (stdout === '') throw new Error(`no status: ${stderr}\n${await this.logs()}`);
    return JSON.parse(stdout) as Status;
  }

  async events(): Promise<Event[]> {
    const { stdout } = await this.command('events', '--json');
    return stdout === '' ? [] : stdout.split('\n').map((line) => JSON.parse(line) as Event);
  }

  /** Follows the journal until a fact of this type (that fits) is there. */
  async fact<T extends FactType>(
    type: T,
    fits: (fact: EventOf<T>) => boolean = () => true,
  ): Promise<EventOf<T>> {
    // What docker exec started lives on when its client is killed, so it says who it is.
    const script = 'echo "$$"; exec self-update events --json --follow';
    const follower = execa('docker', ['exec', this.name, 'sh', '-c', script], {
      reject: false,
      buffer: false,
      stdin: 'ignore',
      timeout: PATIENCE_MS,
    });
    let pid = '';
    for await (const line of follower.iterable()) {
      if (pid === '') {
        pid = line as string;
        continue;
      }
      const event = JSON.parse(line as string) as Event;
      if (event.type !== type || !fits(event as EventOf<T>)) continue;
      await this.exec(['sh', '-c', `kill -KILL ${pid}`]);
      return event as EventOf<T>;
    }
    throw new Error(`no ${type} within ${PATIENCE_MS} ms; the log says:\n${await this.logs()}`);
  }

  async logs(): Promise<string> {
    const { stdout, stderr } = await docker(['logs', this.name], { reject: false });
    return `${stdout}\n${stderr}`;
  }

  /** What the app answers; null when it does not. */
  ask(path = '/'): Promise<string | null> {
    return ask(this.port, path);
  }

  /** Resolves once this version answers. */
  async answers(version: string): Promise<void> {
    await this.until(`version ${version} answers`, async () => (await this.ask()) === version);
  }

  /** Looks until it is so: for what has no way of telling. */
  async until(what: string, isSo: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await isSo())) {
      if (performance.now() > deadline)
        throw new Error(
          `not within ${patienceMs} ms: ${what}; the log says:\n${await this.logs()}`,
        );
      await sleep(LOOK_EVERY_MS);
    }
  }

  probe(intervalMs?: number): Prober {
    return new Prober(this.port, intervalMs).start();
  }

  /** The processes inside, by their pids on this machine. */
  async processes(): Promise<{ pid: number; state: string; command: string }[]> {
    const { stdout } = await docker(['top', this.name, '-eo', 'pid,stat,args']);
    return stdout
      .split('\n')
      .slice(1)
      .map((line) => /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line))
      .flatMap((match) =>
        match ? [{ pid: Number(match[1]), state: match[2] ?? '', command: match[3] ?? '' }] : [],
      );
  }

  /** Counted from inside: docker top leaves zombies out. */
  async zombies(): Promise<number> {
    const { stdout } = await this.exec(['ps', '-o', 'stat,pid']);
    return stdout.split('\n').filter((line) => line.trim().startsWith('Z')).length;
  }

  /** Processes of the suite's app: more than one is what must never be. */
  async apps(): Promise<number[]> {
    return (await this.processes())
      .filter(
        ({ command, state }) =>
          /^\S*\/(?:releases|baked)\/\S+\/app\b/.test(command) && !state.startsWith('Z'),
      )
      .map(({ pid }) => pid);
  }

  async processOf(pattern: RegExp): Promise<number> {
    const found = (await this.processes()).find(({ command }) => pattern.test(command));
    if (!found) throw new Error(`no process fits ${pattern}`);
    return found.pid;
  }

  signal(name: string): Promise<Output> {
    return docker(['kill', '--signal', name, this.name]);
  }

  async inspect<T>(template: string): Promise<T> {
    return JSON.parse(
      (await docker(['inspect', '--format', `{{json ${template}}}`, this.name])).stdout,
    ) as T;
  }

  /** Resolves with the exit status once the container has ended. */
  async ended(): Promise<number> {
    return Number((await docker(['wait', this.name])).stdout);
  }

  /**
   * docker stop; resolves to the exit status. 137 is that of a container that took longer, and was
   * killed.
   */
  async stop(timeoutSeconds = 20): Promise<{ status: number }> {
    await docker(['stop', '--time', String(timeoutSeconds), this.name]);
    return { status: await this.inspect<number>('.State.ExitCode') };
  }

  async start(): Promise<void> {
    await docker(['start', this.name]);
  }

  async remove(): Promise<void> {
    await docker(['rm', '--force', '--volumes', this.name], { reject: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
    if (this.#ownsGithub) await this.github.close();
  }
}

/** A goreleaser-style archive of the suite's app; `files` are added, or replace what is there. */
export async function nativeArchive(
  version: string,
  { files = {}, padBytes = 0 }: { files?: Parameters<typeof archive>[0]; padBytes?: number } = {},
): Promise<Buffer> {
  const app = readFileSync(process.env['TEST_APP'] ?? '');
  const padding = padBytes > 0 ? { 'padding.bin': { content: randomBytes(padBytes) } } : {};
  return archive({
    LICENSE: { content: 'MIT\n' },
    VERSION: { content: `${version}\n` },
    app: { content: app, mode: 0o755 },
    ...padding,
    ...files,
  });
}

/** A named volume that is gone at the end. */
export async function createVolume(): Promise<{ name: string } & AsyncDisposable> {
  const { stdout: name } = await docker(['volume', 'create']);
  return {
    name,
    async [Symbol.asyncDispose]() {
      await docker(['volume', 'rm', '--force', name], { reject: false });
    },
  };
}
