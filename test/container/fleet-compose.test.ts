/**
 * examples/fleet/compose, started as it is written: only its images are the suite's, and GitHub is
 * the suite's stand-in, at the gateway of the containers' network.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { parse, stringify } from 'yaml';
import { archive } from '../support/app.ts';
import { docker } from '../support/docker/engine.ts';
import { provideFleet } from '../support/docker/fleet.ts';
import { IMAGES } from '../support/docker/images.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { Load } from '../support/load/load.ts';
import { ask } from '../support/prober.ts';
import { freePort, TOKEN } from '../support/product.ts';

const FILE = path.join(
  import.meta.dirname,
  '..',
  '..',
  'examples',
  'fleet',
  'compose',
  'compose.yaml',
);
const APPS = ['app1', 'app2', 'app3'] as const;
const PATIENCE_MS = 150_000;
const STORAGE = 'storage.test';

/** An ordinary service, which ends what it has when it is told to stop. */
const APP = `#!/usr/bin/env node
const { readFileSync } = require('node:fs');
const http = require('node:http');
const version = readFileSync(__dirname + '/VERSION', 'utf8').trim();
const server = http.createServer((_request, response) => response.end(version)).listen(8080);
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
`;

class Fleet {
  readonly port: number;
  readonly github: FakeGitHub;
  readonly #name = `fleet-${randomUUID().slice(0, 8)}`;
  readonly #directory = mkdtempSync(path.join(os.tmpdir(), 'fleet-'));

  private constructor(github: FakeGitHub, port: number) {
    this.github = github;
    this.port = port;
  }

  static async create(): Promise<Fleet> {
    const { services } = parse(readFileSync(FILE, 'utf8'), { merge: true }) as {
      services: Record<string, { image: string }>;
    };
    await provideFleet(
      Object.fromEntries(Object.entries(services).map(([name, { image }]) => [name, image])),
    );
    const template = '{{(index .IPAM.Config 0).Gateway}}';
    const bridge = ['network', 'inspect', 'bridge', '--format', template];
    const host = (await docker(bridge)).stdout;
    const github = await new FakeGitHub({ token: TOKEN, host, assetHost: STORAGE }).listen();
    const fleet = new Fleet(github, await freePort());
    const environment = {
      UPDATE_GH_API_URL: github.url,
      UPDATE_GH_TOKEN: TOKEN,
      UPDATE_ASSET_HOSTS: STORAGE,
      UPDATE_INSECURE_HTTP: '1',
      UPDATE_PROBATION: '1',
      UPDATE_HEALTH_INTERVAL: '1',
      SLEEP: '5',
    };
    const additions = { environment, extra_hosts: [`${STORAGE}:${host}`] };
    writeFileSync(
      path.join(fleet.#directory, 'github.yaml'),
      stringify({ services: Object.fromEntries(APPS.map((app) => [app, additions])) }),
    );
    return fleet;
  }

  async compose(...args: string[]): Promise<string> {
    const files = ['-f', FILE, '-f', path.join(this.#directory, 'github.yaml')];
    const { stdout } = await execa('docker-compose', ['-p', this.#name, ...files, ...args], {
      env: { IMAGE: IMAGES.empty, PORT: String(this.port) },
      stdin: 'ignore',
    });
    return stdout;
  }

  async publish(version: string): Promise<void> {
    this.github.publish(`v${version}`, {
      [`app_${version}_linux_amd64.tar.gz`]: await archive({
        VERSION: { content: version },
        app: { content: APP, mode: 0o755 },
      }),
    });
  }

  /** Where an app is asked past HAProxy. */
  async addressOf(app: string): Promise<string> {
    const id = await this.compose('ps', '-q', app);
    const template = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    return (await docker(['inspect', '--format', template, id])).stdout;
  }

  async until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await isSo())) {
      if (performance.now() > deadline)
        throw new Error(`not within ${PATIENCE_MS} ms: ${what}\n${await this.compose('logs')}`);
      await sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.compose('down', '--volumes', '--timeout', '1');
    await this.github.close();
    rmSync(this.#directory, { recursive: true });
  }
}

/** What an app answers; null where nothing listens. */
function answerOf(host: string): Promise<string | null> {
  return new Promise((resolve) => {
    const request = http.get({ host, port: 8080, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('close', () => resolve(body));
    });
    request.on('error', () => resolve(null));
  });
}

/** Asks all of them again and again: which versions they are, and how many are down at a time. */
class Watch {
  versions: (string | null)[] = [];
  mostDown = 0;
  readonly #done: Promise<void>;
  #isOver = false;

  constructor(addresses: readonly string[]) {
    this.#done = this.#loop(addresses);
  }

  async #loop(addresses: readonly string[]): Promise<void> {
    while (!this.#isOver) {
      this.versions = await Promise.all(addresses.map(answerOf));
      this.mostDown = Math.max(this.mostDown, this.versions.filter((one) => one === null).length);
      await sleep(20);
    }
  }

  areAll(version: string): boolean {
    return this.versions.length > 0 && this.versions.every((one) => one === version);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }
}

describe('three apps behind HAProxy, with etcd and a lock server, by Compose', () => {
  it('are updated one after another, and nobody sees an error', async () => {
    await using fleet = await Fleet.create();
    await fleet.publish('0.0.1');
    await fleet.compose('up', '-d');
    const addresses = await Promise.all(APPS.map((app) => fleet.addressOf(app)));
    await fleet.until('all run', async () => {
      const answers = await Promise.all(addresses.map(answerOf));
      return answers.every((one) => one === '0.0.1');
    });
    await fleet.until('HAProxy has them', async () => (await ask(fleet.port)) === '0.0.1');
    const watch = new Watch(addresses);
    await using load = new Load(
      (['new', 'kept'] as const).map((connections) => ({
        port: fleet.port,
        rate: 40,
        connections,
      })),
    );
    await load.answers('0.0.1');
    await fleet.publish('0.0.2');
    await fleet.compose('kill', '-s', 'HUP', ...APPS);
    await fleet.until('all are updated', () => watch.areAll('0.0.2'));
    await load.answers('0.0.2');
    await watch.stop();
    for (const { reasons } of await load.stop()) assert.deepEqual(reasons, {});
    assert.equal(watch.mostDown, 1, 'the most that were down at a time');
    const log = await fleet.compose('logs', '--no-color', 'airlock');
    for (const app of APPS) {
      assert.match(log, new RegExp(`pre-reboot default "${app}" 200`));
      assert.match(log, new RegExp(`steady-state default "${app}" 200`));
    }
  });
});
