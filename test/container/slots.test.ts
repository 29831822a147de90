/**
 * The two slots of the strategy hand-over, driven without an updater, which has a wrong
 * configuration here: two copies of the app run beside each other, and each is ended alone.
 */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { build } from 'esbuild';
import { execa } from 'execa';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import type { SlotName } from '../../src/effects/supervisor/supervisor.ts';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { freePort } from '../support/product.ts';

const SUPPORT = path.join(import.meta.dirname, '..', 'support', 'docker');
const LIB = '/usr/lib/self-update';
const OURS = '/run/self-update/private';
const scratch = mkdtempSync(path.join(os.tmpdir(), 'slots-'));
const driver = path.join(scratch, 'driver.js');
const trees = path.join(scratch, 'trees');

/** What is beside the app: test/support/docker/borrower.cpp. */
const TREES: Record<string, Record<string, string>> = {
  'baked/0.0.1': {},
  second: { SAY: 'READY=1\nSTATUS=serving' },
  third: { SAY: 'STATUS=READY=1' },
  flooding: { SAY: 'READY=1', TIMES: '20000' },
  failing: { EXIT: '7' },
  deaf: { IGNORE_TERM: '1' },
};

before(async () => {
  await build({
    entryPoints: [path.join(SUPPORT, 'slot-driver.ts')],
    outfile: driver,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    banner: {
      js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
    },
    logLevel: 'error',
  });
  const app = path.join(scratch, 'app');
  await execa('g++', ['-O2', '-Wall', '-o', app, path.join(SUPPORT, 'borrower.cpp')]);
  for (const [name, files] of Object.entries(TREES)) {
    const tree = path.join(trees, name);
    mkdirSync(tree, { recursive: true });
    copyFileSync(app, path.join(tree, 'app'));
    const all = { VERSION: path.basename(name), '.self-update-manifest.json': '{}', ...files };
    for (const [file, text] of Object.entries(all)) writeFileSync(path.join(tree, file), text);
  }
  for (const place of [scratch, trees]) chmodSync(place, 0o755);
});

class Slots implements AsyncDisposable {
  readonly container: Container;

  private constructor(container: Container) {
    this.container = container;
  }

  /** The app is 0.0.1, in the first slot, and the updater has given up. */
  static async run(
    profile: Profile = 'root',
    run: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<Slots> {
    const port = await freePort();
    const container = await Container.run({
      port,
      env: {
        UPDATE_STRATEGY: ' hand-over ',
        UPDATE_LISTEN: `127.0.0.1:${port}`,
        UPDATE_BAKED_DIR: '/trees/baked',
        // Wrong, so that no updater does anything.
        UPDATE_RANGE: 'none',
        ...env,
      },
      run: [
        ...PROFILES[profile],
        ...run,
        '--volume',
        `${trees}:/trees:ro`,
        '--volume',
        `${driver}:/driver.js:ro`,
      ],
    });
    const slots = new Slots(container);
    await container.answers('0.0.1');
    await slots.link('baked/0.0.1');
    await slots.updaterRests();
    return slots;
  }

  /** Started by the word of the app that it is none that is linked, it gives up again. */
  updaterRests(): Promise<void> {
    return this.container.until('the updater rests', async () =>
      (await this.container.processes()).some(({ command }) => command.endsWith('sleep 86400')),
    );
  }

  async link(tree: string): Promise<void> {
    const { exitCode, stderr } = await this.container.exec([
      'ln',
      '-sfn',
      `/trees/${tree}`,
      '/data/self-update/current',
    ]);
    assert.equal(exitCode, 0, stderr);
  }

  async call<T>(slot: SlotName, method: string, tree = ''): Promise<T> {
    const { exitCode, stdout, stderr } = await this.container.exec([
      `${LIB}/bin/node`,
      '/driver.js',
      slot,
      method,
      ...(tree === '' ? [] : [`/trees/${tree}`]),
    ]);
    assert.equal(exitCode, 0, `${method}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  running(slot: SlotName): Promise<{ tree: string; pid: number } | null> {
    return this.call(slot, 'running');
  }

  async startOnce(slot: SlotName, tree: string): Promise<void> {
    assert.deepEqual(await this.call(slot, 'startOnce', tree), { adopted: false });
  }

  async endOfOnce(slot: SlotName): Promise<unknown> {
    let end: unknown = null;
    await this.container.until('it has ended', async () => {
      end = await this.call(slot, 'endOfOnce');
      return end !== null;
    });
    return end;
  }

  /** From `slot` on the other one: as the machine does it. */
  async handOver(to: SlotName, from: SlotName, tree: string): Promise<void> {
    await this.startOnce(to, tree);
    await this.link(tree);
    await this.call(to, 'keep');
    assert.deepEqual(await this.call(from, 'stop'), { killed: false });
  }

  /** By their pids on this machine, with the tree each runs. */
  async copies(): Promise<{ pid: number; tree: string }[]> {
    return (await this.container.processes()).flatMap(({ pid, command, state }) => {
      const tree = /^\/trees\/(\S+)\/app$/.exec(command)?.[1];
      return tree === undefined || state.startsWith('Z') ? [] : [{ pid, tree }];
    });
  }

  /** A copy is started before it has become the app's program. */
  async bothCopies(): Promise<{ pid: number; tree: string }[]> {
    let copies = await this.copies();
    await this.container.until('both run', async () => {
      copies = await this.copies();
      return copies.length === 2;
    });
    return copies;
  }

  async trees(): Promise<string[]> {
    return (await this.copies()).map(({ tree }) => tree).sort();
  }

  async kill(pattern: RegExp): Promise<void> {
    assert.ok(sendSignal(await this.container.processOf(pattern), 'SIGKILL'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.container[Symbol.asyncDispose]();
  }
}

const TMPFS = ['--tmpfs', '/run/self-update', '--tmpfs', '/tmp'];
const MANNERS: [string, Profile, readonly string[]][] = [
  ['root', 'root', []],
  ['root with four capabilities, hardened', 'root with four capabilities', [...HARDENED, ...TMPFS]],
  ['one unprivileged user', 'one unprivileged user', []],
  ['one unprivileged user, hardened', 'one unprivileged user', HARDENED],
];

describe('a version that is started beside the app', { concurrency: 2 }, () => {
  for (const [manner, profile, run] of MANNERS) {
    it(`serves beside it, says READY=1, takes over, and hands back (${manner})`, async () => {
      await using slots = await Slots.run(profile, run);
      const { container } = slots;
      await slots.startOnce('app2', 'second');
      const first = await slots.running('app');
      assert.equal(first?.tree, '/trees/baked/0.0.1');
      assert.equal((await slots.running('app2'))?.tree, '/trees/second');
      await container.answers('second');
      await container.answers('0.0.1');
      await container.until('READY=1 is heard', () => slots.call('app2', 'isReady'));
      assert.equal(await slots.call('app', 'isReady'), false);
      assert.deepEqual(await slots.call('app2', 'startOnce', 'second'), { adopted: true });
      const { stdout: health } = await container.exec([`${LIB}/healthcheck`]);
      assert.equal(health, '0.0.1');

      await slots.link('second');
      await slots.call('app2', 'keep');
      await slots.call('app2', 'keep');
      assert.equal((await slots.running('app'))?.pid, first?.pid);
      assert.deepEqual(await slots.call('app', 'stop'), { killed: false });
      assert.deepEqual(await slots.trees(), ['second']);
      assert.equal(await slots.call('app2', 'observe'), '/trees/second');
      assert.equal((await container.exec([`${LIB}/healthcheck`])).exitCode, 0);

      // It is the app now, and is started again when it ends.
      await slots.kill(/^\/trees\/second\/app$/);
      await container.until('it was started again', async () => (await slots.trees()).length === 1);
      await container.answers('second');

      await slots.handOver('app', 'app2', 'third');
      assert.deepEqual(await slots.trees(), ['third']);
      await container.answers('third');
      assert.equal(await slots.call('app', 'isReady'), false);
      assert.doesNotMatch(await container.logs(), /earlier copy/);
    });

    it(`is ended alone, with its descendants in other sessions and its orphans (${manner})`, async () => {
      await using slots = await Slots.run(profile, run);
      const { container } = slots;
      const first = (await slots.copies())[0];
      await slots.startOnce('app2', 'third');
      for (const [version, tree] of [
        ['third', 'third'],
        ['0.0.1', 'baked/0.0.1'],
      ] as const)
        for (const path of ['/daemon', '/orphan', '/stray'])
          await container.until(`${version} answers ${path}`, async () => {
            const count = async () =>
              (await slots.copies()).filter((copy) => copy.tree === tree).length;
            const before = await count();
            return (await container.ask(path)) === version && (await count()) > before;
          });
      const own = (await slots.copies()).filter(({ tree }) => tree !== 'third');
      assert.ok(own.length >= 4);
      await slots.call('app2', 'stop');
      assert.deepEqual(await slots.copies(), own);
      assert.ok(own.some(({ pid }) => pid === first?.pid));
      // The other one's are ended as ever, when it is alone.
      await slots.call('app', 'stop');
      assert.deepEqual(await slots.copies(), []);
    });
  }

  for (const profile of ['root', 'one unprivileged user'] as const)
    it(`ends with the app, and with it what nobody could tell whose it is (${profile})`, async () => {
      await using slots = await Slots.run(profile);
      const { container } = slots;
      await slots.startOnce('app2', 'third');
      await container.until('third answers /stray', async () => {
        const before = (await slots.copies()).filter(({ tree }) => tree === 'third').length;
        return (
          (await container.ask('/stray')) === 'third' &&
          (await slots.copies()).filter(({ tree }) => tree === 'third').length > before
        );
      });
      await slots.call('app', 'stopBoth');
      assert.deepEqual(await slots.copies(), []);
    });

  for (const profile of ['root', 'one unprivileged user'] as const)
    it(`ends with what earlier copies left behind, and nothing else (${profile})`, async () => {
      await using slots = await Slots.run(profile);
      const { container } = slots;
      await slots.startOnce('app2', 'third');
      const app = 'SELF_UPDATE_APP=/run/self-update/private:/trees';
      const notify = 'NOTIFY_SOCKET=/run/self-update/notify';
      const orphans: [string, boolean][] = [
        [`${app}/earlier`, false],
        [`${app}/earlier ${notify}/app`, false],
        [`${app}/baked/0.0.1 ${notify}/app2`, false],
        [`${app}/third ${notify}/app2`, false],
        [`${notify}/app2`, false],
        [`${app}/baked/0.0.1`, true],
        [`${app}/baked/0.0.1 ${notify}/app`, true],
        [`${notify}/app`, true],
        ['NAME=value', true],
      ];
      const user = profile === 'root' ? ['--user', '1000:1000'] : [];
      for (const [index, [environment]] of orphans.entries())
        await container.exec(
          [
            'sh',
            '-c',
            `setsid env -i ${environment} ${LIB}/bin/sleep 100${index} > /dev/null 2>&1 &`,
          ],
          user,
        );
      const sleeping = async () =>
        (await container.processes())
          .flatMap(({ command, state }) =>
            state.startsWith('Z') ? [] : (/bin\/sleep 100(\d)$/.exec(command)?.[1] ?? []),
          )
          .map(Number)
          .sort();
      await container.until('all are there', async () => (await sleeping()).length === 9);
      await slots.call('app2', 'stop');
      assert.deepEqual(
        await sleeping(),
        orphans.flatMap(([, stays], index) => (stays ? index : [])),
      );
      assert.deepEqual(await slots.trees(), ['baked/0.0.1']);
    });

  it('ends within its time, also if the app stops who looks into environments', async (t) => {
    await using slots = await Slots.run();
    const { container } = slots;
    await slots.startOnce('app2', 'third');
    const stopping =
      'cd /proc; while :; do for p in [0-9]*; do read -r name < $p/comm; [ "$name" != grep ] || kill -STOP $p; done 2> /dev/null; done';
    await container.exec(['sh', '-c', stopping], ['--detach', '--user', '1000:1000']);
    const began = performance.now();
    await slots.call('app2', 'stop');
    const took = performance.now() - began;
    assert.deepEqual(await slots.trees(), ['baked/0.0.1']);
    t.diagnostic(`${Math.round(took)} ms`);
    assert.ok(took < 7000, `${took}`);
  });

  it('that exits is not started again, and its end is neither a crash loop nor the container’s', async () => {
    await using slots = await Slots.run('root', [], { UPDATE_ON_APP_EXIT: 'exit' });
    const { container } = slots;
    await slots.startOnce('app2', 'failing');
    assert.deepEqual(await slots.endOfOnce('app2'), { exitCode: 7, signal: null });
    await slots.startOnce('app2', 'third');
    assert.equal(await slots.call('app2', 'endOfOnce'), null);
    await slots.kill(/^\/trees\/third\/app$/);
    assert.deepEqual(await slots.endOfOnce('app2'), { exitCode: null, signal: 'SIGKILL' });
    await slots.startOnce('app2', 'failing');
    assert.deepEqual(await slots.endOfOnce('app2'), { exitCode: 7, signal: null });
    await slots.call('app2', 'stop');
    assert.equal((await container.logs()).match(/failing started/g)?.length, 2);
    assert.equal((await container.exec(['ls', `${OURS}/app2.exits`])).exitCode, 1);
    await slots.handOver('app2', 'app', 'second');
    assert.deepEqual(await slots.trees(), ['second']);
    // The app's own end is.
    await slots.kill(/^\/trees\/second\/app$/);
    assert.equal(await container.ended(), 137);
  });

  it('finds its socket where nobody but root can put another one', async () => {
    await using slots = await Slots.run();
    const socket = '/run/self-update/notify/app2';
    const tries = `rm -f ${socket}; mv ${socket} ${socket}.old; rm -rf /run/self-update/notify; ls -l /run/self-update/notify`;
    const { stdout } = await slots.container.exec(['sh', '-c', tries], ['--user', '1000']);
    assert.match(stdout, /^srwxrwxrwx .* app\nsrwxrwxrwx .* app2$/m);
    await slots.startOnce('app2', 'second');
    await slots.container.until('READY=1 is heard', () => slots.call('app2', 'isReady'));
  });

  it('is ready also after twenty thousand other words, of which nothing is kept', async () => {
    await using slots = await Slots.run();
    await slots.startOnce('app2', 'flooding');
    await slots.container.until('READY=1 is heard', () => slots.call('app2', 'isReady'));
    const { stdout } = await slots.container.exec(['du', '-sk', '/run/self-update']);
    assert.ok(Number.parseInt(stdout, 10) < 500, stdout);
  });

  it('is heard again after who hears it was killed', async () => {
    await using slots = await Slots.run();
    const { container } = slots;
    for (const victim of [/socklog -R unix .*app2$/, /^runsv app-notify$/]) {
      await slots.kill(victim);
      await container.until('there is one that hears each', async () => {
        const commands = (await container.processes()).map(({ command }) => command);
        return (
          commands.includes('runsv app-notify') &&
          commands.filter((command) => command.includes('socklog -R unix')).length === 2
        );
      });
    }
    await slots.startOnce('app2', 'second');
    await container.until('READY=1 is heard', () => slots.call('app2', 'isReady'));
  });
});

describe('kill -9 while two copies run', { concurrency: 2 }, () => {
  for (const profile of ['root', 'one unprivileged user'] as const) {
    it(`of the runsv of the new one: it goes on, and no third is started (${profile})`, async () => {
      await using slots = await Slots.run(profile);
      const { container } = slots;
      await slots.startOnce('app2', 'second');
      const both = await slots.bothCopies();
      await slots.kill(/^runsv app2$/);
      await container.until('there is a new one', async () =>
        (await container.processes()).some(({ command }) => command === 'runsv app2'),
      );
      assert.deepEqual(await slots.call('app2', 'startOnce', 'second'), { adopted: true });
      assert.equal(await slots.call('app2', 'endOfOnce'), null);
      assert.deepEqual(await slots.copies(), both);
      await slots.link('second');
      await slots.call('app2', 'keep');
      // Its own runsv has started it anew meanwhile.
      await container.until('it is supervised', async () =>
        /second ended[\s\S]*second started/.test(await container.logs()),
      );
      await slots.call('app', 'stop');
      assert.deepEqual(await slots.trees(), ['second']);
      await container.answers('second');
    });

    it(`of the app's runsv: the app is started anew, and the new one stays (${profile})`, async () => {
      await using slots = await Slots.run(profile);
      const { container } = slots;
      await slots.startOnce('app2', 'third');
      const beside = (await slots.bothCopies()).find(({ tree }) => tree === 'third');
      await slots.kill(/^runsv app$/);
      await container.until('it was started anew', async () =>
        /0\.0\.1 ended[\s\S]*0\.0\.1 started/.test(await container.logs()),
      );
      assert.deepEqual(await slots.trees(), ['baked/0.0.1', 'third']);
      assert.deepEqual(
        (await slots.copies()).find(({ tree }) => tree === 'third'),
        beside,
      );
    });
  }

  it('of the runsv of the one that is retired: it is not started again', async () => {
    await using slots = await Slots.run();
    const { container } = slots;
    await slots.startOnce('app2', 'second');
    await slots.link('second');
    await slots.call('app2', 'keep');
    await slots.kill(/^runsv app$/);
    await slots.kill(/^\/trees\/baked\/0\.0\.1\/app$/);
    await container.until('there is a new one', async () =>
      (await container.processes()).some(({ command }) => command === 'runsv app'),
    );
    await slots.call('app', 'stop');
    assert.deepEqual(await slots.trees(), ['second']);
    assert.equal((await container.logs()).match(/0\.0\.1 started/g)?.length, 1);
  });
});

describe('an app that crashes when the other one has become the app', () => {
  it('is not started again, and its end is not the container’s', async () => {
    await using slots = await Slots.run('root', [], { UPDATE_ON_APP_EXIT: 'exit' });
    await slots.startOnce('app2', 'second');
    await slots.link('second');
    await slots.call('app2', 'keep');
    await slots.kill(/^\/trees\/baked\/0\.0\.1\/app$/);
    await slots.container.until(
      'it is down',
      async () =>
        (
          await slots.container.exec(['cat', `${OURS}/service/app/supervise/stat`])
        ).stdout.trim() === 'down',
    );
    assert.deepEqual(await slots.call('app', 'stop'), { killed: false });
    assert.deepEqual(await slots.trees(), ['second']);
    assert.equal((await slots.container.logs()).match(/0\.0\.1 started/g)?.length, 1);
  });
});

describe('where the updater can’t work', { concurrency: 2 }, () => {
  const wake = async (slots: Slots) => {
    await slots.container.signal('HUP');
    await slots.container.until('one copy', async () => (await slots.copies()).length === 1);
  };

  it('the one that is linked stays, and the one beside it ends', async () => {
    await using slots = await Slots.run();
    const app = await slots.copies();
    await slots.startOnce('app2', 'third');
    await wake(slots);
    assert.deepEqual(await slots.copies(), app);
  });

  it('the one that is linked by now becomes the app, and the old one ends', async () => {
    await using slots = await Slots.run();
    await slots.startOnce('app2', 'second');
    const beside = (await slots.copies()).find(({ tree }) => tree === 'second');
    await slots.link('second');
    await wake(slots);
    assert.deepEqual(await slots.copies(), [beside]);
    await slots.kill(/^\/trees\/second\/app$/);
    await slots.container.answers('second');
  });

  it('one that does not end is killed', async () => {
    await using slots = await Slots.run('one unprivileged user', [], { SVWAIT: '1' });
    await slots.startOnce('app2', 'deaf');
    await wake(slots);
    assert.deepEqual(await slots.trees(), ['baked/0.0.1']);
  });
});

describe('the container, while two copies run', { concurrency: 2 }, () => {
  it('ends with both, told at once', async () => {
    await using slots = await Slots.run();
    await slots.startOnce('app2', 'second');
    assert.equal((await slots.container.stop()).status, 143);
    const log = await slots.container.logs();
    assert.match(log, /0\.0\.1 ended/);
    assert.match(log, /second ended/);
    assert.doesNotMatch(log, /killing it/);
  });

  it('ends within SVWAIT, when one of them ignores its signal', async () => {
    await using slots = await Slots.run('one unprivileged user', [], { SVWAIT: '1' });
    await slots.startOnce('app2', 'deaf');
    assert.equal((await slots.container.stop()).status, 143);
    const log = await slots.container.logs();
    assert.match(log, /0\.0\.1 ended/);
    assert.match(log, /still running after 1 s; killing it/);
  });

  it('passes USR1 to the one that is the app', async () => {
    await using slots = await Slots.run();
    const { container } = slots;
    await slots.startOnce('app2', 'second');
    await container.signal('USR1');
    await container.until('the app has it', async () =>
      (await container.logs()).includes('0.0.1 was sent USR1'),
    );
    await slots.link('second');
    await slots.call('app2', 'keep');
    await slots.call('app', 'stop');
    await container.signal('USR1');
    await container.until('the app has it', async () =>
      (await container.logs()).includes('second was sent USR1'),
    );
    assert.equal((await container.logs()).match(/was sent USR1/g)?.length, 2);
  });
});

describe('a log service of the app', () => {
  it('hears both copies', async () => {
    const log = mkdtempSync(path.join(os.tmpdir(), 'slots-log-'));
    const run = '#!/bin/sh\nwhile read -r line; do echo "logged: $line"; done\n';
    writeFileSync(path.join(log, 'run'), run, { mode: 0o755 });
    chmodSync(log, 0o755);
    for (const profile of ['root', 'one unprivileged user'] as const) {
      await using slots = await Slots.run(profile, ['--volume', `${log}:/etc/service/app/log:ro`]);
      await slots.startOnce('app2', 'second');
      for (const version of ['0.0.1', 'second'])
        await slots.container.until(`${version} is logged`, async () =>
          (await slots.container.logs()).includes(`logged: ${version} serves`),
        );
    }
  });
});

describe('without the strategy', () => {
  it('there is one slot, and nothing of all this', async () => {
    await using slots = await Slots.run('root', [], { UPDATE_STRATEGY: 'download-then-kill' });
    const { container } = slots;
    const list = async (directory: string) =>
      (await container.exec(['ls', directory])).stdout.split('\n').sort();
    assert.deepEqual(await list(`${OURS}/service`), ['app', 'update']);
    assert.deepEqual(await list('/run/self-update'), ['private']);
    assert.deepEqual(await list(`${OURS}/service/app`), ['finish', 'run', 'supervise']);
    const commands = (await container.processes()).map(({ command }) => command);
    assert.deepEqual(
      commands.filter((command) => /app2|notify|socklog/.test(command)),
      [],
    );
    const pid = (await slots.running('app'))?.pid;
    const { stdout } = await container.exec(
      ['sh', '-c', `tr '\\0' '\\n' < /proc/${pid}/environ`],
      ['--user', '1000'],
    );
    assert.match(stdout, /^LISTEN_FDS=1$/m);
    assert.doesNotMatch(stdout, /NOTIFY_SOCKET/);
  });

  it('a service of the image that has a name of ours is refused with it', async () => {
    const container = await Container.prepare({
      env: { UPDATE_STRATEGY: 'hand-over' },
      run: ['--volume', `${trees}:/etc/service/app2:ro`],
    });
    await using _ = container;
    await container.create();
    assert.equal(await container.ended(), 78);
    assert.match(
      await container.logs(),
      /has services app2 and app-notify: give those of yours other names/,
    );
  });
});
