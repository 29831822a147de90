/**
 * A directory in which documented commands are run as they stand, by a shell. Only what names
 * another world is put right: the image's documented name and IMAGE are the image under test, and
 * `docker run` gets this machine's network and the local fake of GitHub.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { FakeGitHub } from '../github/server.ts';
import { freePort } from '../product.ts';
import { nativeArchive } from './container.ts';
import { docker } from './engine.ts';
import { IMAGES } from './images.ts';

const DOCUMENTED = 'self-update-test:documented';
const LOOK_EVERY_MS = 100;

export type Result = { exitCode: number | undefined; stdout: string; stderr: string };

export class Workplace {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'documents-'));
  readonly port: number;
  readonly github: FakeGitHub;
  readonly #environment: string[];

  private constructor(github: FakeGitHub, port: number, environment: Record<string, string>) {
    this.github = github;
    this.port = port;
    this.#environment = Object.entries(environment).map(([name, value]) => `-e ${name}=${value}`);
    const shim = path.join(this.directory, '.bin', 'docker');
    mkdirSync(path.dirname(shim));
    writeFileSync(
      shim,
      `#!/bin/sh
PATH=\${PATH#*:}
[ "$1" = run ] || exec docker "$@"
shift
exec docker run --network host ${this.#environment.join(' ')} "$@"
`,
    );
    chmodSync(shim, 0o755);
  }

  static async create({
    repo = 'app',
    token = null,
    env = {},
  }: {
    repo?: string;
    token?: string | null;
    env?: Record<string, string>;
  } = {}): Promise<Workplace> {
    const github = await new FakeGitHub({ repo, token }).listen();
    const port = await freePort();
    await docker(['tag', IMAGES.empty, DOCUMENTED]);
    const all = {
      UPDATE_GH_API_URL: github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
      UPDATE_PROBATION: '0.3',
      SLEEP: '3600',
      PORT: String(port),
      ...env,
    };
    return new Workplace(github, port, all);
  }

  async publish(version: string, files: Parameters<typeof nativeArchive>[1] = {}): Promise<void> {
    this.github.publish(`v${version}`, {
      [`app_${version}_linux_amd64.tar.gz`]: await nativeArchive(version, files),
    });
  }

  write(name: string, content: string | Buffer, mode = 0o644): void {
    const file = path.join(this.directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content, { mode });
  }

  /** One command to its end, with what is put right in it. */
  async run(command: string, env: Record<string, string> = {}): Promise<Result> {
    const PATH = `${path.join(this.directory, '.bin')}:${process.env['PATH']}`;
    const { exitCode, stdout, stderr } = await execa('sh', ['-c', atHome(command)], {
      cwd: this.directory,
      env: { PATH, ...env },
      reject: false,
      stdin: 'ignore',
    });
    return { exitCode, stdout, stderr };
  }

  /** The same, which has to end well. */
  async succeeds(command: string, env: Record<string, string> = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, env);
    if (exitCode !== 0)
      throw new Error(`${atHome(command)} ended with ${exitCode}:\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** Looks until the command's output fits. Bounded by the test's own time limit. */
  async until(command: string, pattern: RegExp): Promise<string> {
    for (;;) {
      const { stdout, stderr } = await this.run(command);
      if (pattern.test(stdout + stderr)) return stdout + stderr;
      await sleep(LOOK_EVERY_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.github.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function atHome(command: string): string {
  return command.replace(/(?<= )self-updating-container$|\bIMAGE\b/g, DOCUMENTED);
}

/**
 * A container and volumes that a documented command makes under a name of its own choice; gone at
 * the end.
 */
export async function named(container: string, ...volumes: string[]): Promise<AsyncDisposable> {
  const remove = async () => {
    await docker(['rm', '--force', '--volumes', container], { reject: false });
    if (volumes.length > 0)
      await docker(['volume', 'rm', '--force', ...volumes], { reject: false });
  };
  await remove();
  return { [Symbol.asyncDispose]: remove };
}
