/**
 * Real updaters that follow one repository and share a lock server on a real etcd. Their apps write
 * down when they are up, by the machine's monotonic clock, which all processes share.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../../../src/machines/context.ts';
import { replay } from '../../../src/runtime/fold.ts';
import { submit } from '../../../src/runtime/inbox.ts';
import { archive } from '../app.ts';
import { Product } from '../product.ts';
import { Etcd } from './etcd.ts';
import { FleetLockServer, type Handled } from './server.ts';

/** In seconds of the monotonic clock; `to` is infinite while it lasts. */
export type Outage = { name: string; from: number; to: number };

const LOOK_EVERY_MS = 200;
const PATIENCE_MS = 60_000;
const SECOND_NS = 1_000_000_000;

/** Serves its version at $PORT, and writes `up` and `down` to $APP_RECORD. */
const appSource = (version: string) => `#!${process.execPath}
const fs = require('node:fs');
const tell = (what) =>
  fs.appendFileSync(process.env.APP_RECORD, what + ' ${version} ' + process.hrtime.bigint() + '\\n');
const server = require('node:http').createServer((request, response) => response.end('${version}'));
server.listen(Number(process.env.PORT), '127.0.0.1', () => tell('up'));
process.once('SIGTERM', () => {
  tell('down');
  process.exit(0);
});
`;
const BAD = '#!/bin/sh\nexit 3\n';

export class Fleet implements AsyncDisposable {
  readonly etcd: Etcd;
  readonly server: FleetLockServer;
  readonly members: Product[];

  private constructor(etcd: Etcd, server: FleetLockServer, members: Product[]) {
    this.etcd = etcd;
    this.server = server;
    this.members = members;
  }

  /** All of them run v0.0.1. */
  static async start(count: number, env: Record<string, string> = {}): Promise<Fleet> {
    const etcd = await Etcd.start();
    const server = await new FleetLockServer(etcd.endpoint).listen();
    const members: Product[] = [];
    const fleet = new Fleet(etcd, server, members);
    for (let index = 0; index < count; index++)
      members.push(await Product.create({ baked: null, env: { ...fleet.#env(index), ...env } }));
    for (const member of members) Object.assign(member.env, fleet.#own(member));
    await fleet.publish('0.0.1');
    for (const member of members) member.start();
    await fleet.all('0.0.1');
    return fleet;
  }

  #env(index: number): Record<string, string> {
    return {
      UPDATE_FLEET_LOCK_URL: this.server.url,
      UPDATE_FLEET_ID: `member-${index}`,
      UPDATE_STRATEGY: 'download-then-kill',
      UPDATE_ASSET: '*.tar.gz',
    };
  }

  #own({ root, port }: Product): Record<string, string> {
    return {
      UPDATE_GH_API_URL: this.#first.github.url,
      APP_RECORD: path.join(root, 'record'),
      PORT: String(port),
    };
  }

  get #first(): Product {
    const [first] = this.members;
    if (first === undefined) throw new Error('a fleet of nobody');
    return first;
  }

  /** `isBad`: it ends at once, on probation. */
  async publish(version: string, { isBad = false } = {}): Promise<void> {
    const content = isBad ? BAD : appSource(version);
    this.#first.github.publish(`v${version}`, {
      'app.tar.gz': await archive({ app: { content, mode: 0o755 } }),
    });
  }

  /** They look for a release, and whoever waits for the lock asks for it, now. */
  wake(members = this.members): void {
    for (const { dir } of members) submit(path.join(dir, 'inbox'), { type: 'updateRequested' });
  }

  /** Resolves once each of them, or of these, is healthy with this version. */
  async all(version: string, members = this.members): Promise<void> {
    await Promise.all(members.map((one) => one.logged(passed(version))));
  }

  /** Resolves with those whose journals say so, once there are `count` of them. */
  async those(fits: (context: Context) => boolean, count: number): Promise<Product[]> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.members.filter((member) => {
        const context = replay(member.records())?.snapshot.context;
        return context !== undefined && fits(context);
      });
      if (found.length >= count) return found;
      if (performance.now() > deadline)
        throw new Error(
          `${found.length} instead of ${count}:\n${this.members
            .map(({ log }, index) => `--- ${index}\n${log.slice(-12).join('\n')}`)
            .join('\n')}`,
        );
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Resolves with the next answer of the lock server that fits. */
  handled(fits: (handled: Handled) => boolean): Promise<Handled> {
    return new Promise((resolve) => {
      const look = (handled: Handled) => {
        if (!fits(handled)) return;
        this.server.events.off('handled', look);
        resolve(handled);
      };
      this.server.events.on('handled', look);
    });
  }

  /** Each time between the end of an app and its next start, by when it began. */
  outages(): Outage[] {
    return this.members
      .flatMap((member) => outagesOf(path.basename(member.root), member.env['APP_RECORD'] ?? ''))
      .sort((a, b) => a.from - b.from);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.dispose()));
    await this.server.close();
    await this.etcd[Symbol.asyncDispose]();
  }
}

const passed = (version: string) =>
  new RegExp(`${version.replaceAll('.', '\\.')} passed probation`);

/** Those that last at the same time as the one before them. */
export const overlaps = (outages: readonly Outage[]): Outage[] => {
  let latest = 0;
  return outages.filter(({ from, to }) => {
    const isWithin = from < latest;
    latest = Math.max(latest, to);
    return isWithin;
  });
};

function outagesOf(name: string, file: string): Outage[] {
  if (!existsSync(file)) return [];
  const outages: Outage[] = [];
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    const [what, , at] = line.split(' ');
    const seconds = Number(at) / SECOND_NS;
    const last = outages.at(-1);
    if (what === 'down') outages.push({ name, from: seconds, to: Number.POSITIVE_INFINITY });
    else if (last !== undefined && last.to === Number.POSITIVE_INFINITY) last.to = seconds;
  }
  return outages;
}
