/**
 * A real etcd (Debian's etcd-server) on free ports of loopback, with a data directory of its own,
 * that a test kills and starts again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 50;
const READY_WITHIN_MS = 60_000;

export class Etcd implements AsyncDisposable {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'etcd-'));
  /** Of the JSON gateway, and of gRPC. */
  readonly endpoint: string;
  readonly #peer: string;
  #process: ChildProcess | null = null;
  #log = '';

  private constructor(port: number, peerPort: number) {
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#peer = `http://127.0.0.1:${peerPort}`;
  }

  /** Resolves once it answers. */
  static async start(): Promise<Etcd> {
    const [port = 0, peerPort = 0] = await freePorts(2);
    const etcd = new Etcd(port, peerPort);
    await etcd.restart();
    return etcd;
  }

  /** Starts it on the data that it has. */
  async restart(): Promise<void> {
    const child = spawn(
      // Nobody is left who would end it when the test's process is killed.
      'setpriv',
      [
        ['--pdeathsig', 'KILL', 'etcd'],
        ['--name', 'one', '--data-dir', path.join(this.root, 'data'), '--log-level', 'error'],
        ['--listen-client-urls', this.endpoint, '--advertise-client-urls', this.endpoint],
        ['--listen-peer-urls', this.#peer, '--initial-advertise-peer-urls', this.#peer],
        ['--initial-cluster', `one=${this.#peer}`, '--heartbeat-interval', '20'],
        ['--election-timeout', '200'],
      ].flat(),
      { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] } },
    );
    this.#process = child;
    child.on('error', (error) => {
      this.#log += error.message;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-4000);
    });
    await this.#ready(child);
  }

  /** SIGKILL, as a power cut; what it acknowledged is on disk. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async #ready(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await this.#isHealthy())) {
      const isOver = child.pid === undefined || child.exitCode !== null;
      if (isOver || performance.now() > deadline)
        throw new Error(`etcd does not answer:\n${this.#log}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  async #isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.endpoint}/health`, {
        signal: AbortSignal.timeout(1000),
      });
      return ((await response.json()) as { health?: string }).health === 'true';
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** All at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
