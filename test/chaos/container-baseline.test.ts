/**
 * What took the shell original down, row by row, in a real container: with the outcome that it
 * should have had.
 */
import assert from 'node:assert/strict';
import { cases } from '../support/chaos/cases.ts';
import {
  Container,
  type ContainerOptions,
  createVolume,
  nativeArchive,
} from '../support/docker/container.ts';
import type { FakeGitHub, Misbehaviour } from '../support/github/server.ts';

type Row = { title: string; run: () => Promise<string> };

/** 0.0.1 runs and is trusted. */
async function running(options: ContainerOptions = {}): Promise<Container> {
  const container = await Container.run({ ...options, env: { SVWAIT: '3', ...options.env } });
  await container.fact('versionBecameHealthy');
  return container;
}

async function check(container: Container): Promise<void> {
  await container.signal('HUP');
}

/** One copy, nothing half done. */
async function sound(container: Container): Promise<void> {
  await container.until('one copy of the app', async () => (await container.apps()).length === 1);
  await container.until('no zombie', async () => (await container.zombies()) === 0);
  for (const command of ['verify', 'replay'])
    assert.equal((await container.command(command)).exitCode, 0, command);
}

async function updatesTo(container: Container, version: string): Promise<void> {
  await container.command('retry', version);
  await container.until(`${version} is taken`, async () => {
    await container.command('update');
    return (await container.ask()) === version;
  });
  await sound(container);
}

/** The server misbehaves; 0.0.1 answers meanwhile and after, and 0.0.2 is taken when it behaves. */
function server(
  title: string,
  misbehave: (github: FakeGitHub) => Misbehaviour,
  code: RegExp,
  strategy = 'kill-then-download',
): Row {
  return {
    title: `${title} (${strategy})`,
    run: async () => {
      await using container = await running({ env: { UPDATE_STRATEGY: strategy } });
      await container.publish('0.0.2', { padBytes: 300_000 });
      container.github.misbehave = misbehave(container.github);
      await check(container);
      await container.until('it is told', async () =>
        code.test((await container.status()).lastError?.code ?? ''),
      );
      await container.answers('0.0.1');
      const { version, lastError } = await container.status();
      assert.equal(version, '0.0.1');
      await sound(container);
      container.github.misbehave = {};
      await updatesTo(container, '0.0.2');
      return `0.0.1 answers (${lastError?.code}), then 0.0.2`;
    },
  };
}

/** The new version is bad: 0.0.1 comes back, and 0.0.3 is taken. */
function release(
  title: string,
  files: NonNullable<Parameters<typeof nativeArchive>[1]>['files'],
  code: RegExp,
  env: Record<string, string> = {},
): Row {
  return {
    title,
    run: async () => {
      await using container = await running({ env });
      await container.publish('0.0.2', { ...(files ? { files } : {}) });
      await check(container);
      await container.until(
        'it is denied',
        async () => (await container.status()).denied.length > 0,
      );
      await container.answers('0.0.1');
      const [denial] = (await container.status()).denied;
      assert.match(denial?.code ?? '', code);
      await sound(container);
      await container.publish('0.0.3');
      await updatesTo(container, '0.0.3');
      return `0.0.1 answers, 0.0.2 is denied (${denial?.code}), then 0.0.3`;
    },
  };
}

/** At the first start the server, or the configuration, is no good. */
function firstStart(
  title: string,
  misbehave: Misbehaviour,
  env: Record<string, string>,
  said: RegExp,
): Row {
  return {
    title,
    run: async () => {
      const container = await Container.prepare({
        env: { UPDATE_FIRST_CHECK_TIMEOUT: '3', ...env },
      });
      await using _ = container;
      container.github.misbehave = misbehave;
      await container.create();
      await container.answers('0.0.1');
      await container.until('the log says why', async () => said.test(await container.logs()));
      return '0.0.1 answers, and the log says why';
    },
  };
}

/** A process is killed in the middle of an update. */
function killed(title: string, fact: 'switchStarted' | 'verified', pattern: RegExp): Row {
  return {
    title,
    run: async () => {
      await using container = await running({
        env: { STOP_MS: '1000', UPDATE_STRATEGY: 'kill-then-download' },
      });
      await container.publish('0.0.2', { padBytes: 5_000_000 });
      const seen = container.fact(fact, (found) => !('to' in found) || found.to === '0.0.2');
      await check(container);
      await seen;
      process.kill(await container.processOf(pattern), 'SIGKILL');
      await updatesTo(container, '0.0.2');
      return 'app and updater come back, then 0.0.2';
    },
  };
}

const UPDATER = /self-update run/;
const flippedBit = (content: Buffer): Buffer => {
  const copy = Buffer.from(content);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
};
const contentOf = (github: FakeGitHub): Buffer =>
  github.releases[0]?.assets[0]?.content ?? Buffer.alloc(0);
const script = (text: string) => ({ app: { content: `#!/bin/sh\n${text}\n`, mode: 0o755 } });

const rows: Row[] = [
  server(
    'the asset host fails for good in mid download',
    (github) => ({ cutAfterBytes: contentOf(github).length >> 1 }),
    /DOWNLOAD_CUT/,
  ),
  server('the asset is 404', () => ({ assetStatus: 404 }), /DOWNLOAD_REFUSED/),
  server('the asset is 500', () => ({ assetStatus: 500 }), /DOWNLOAD_REFUSED|SERVER_FAILED/),
  server(
    'the asset is HTML',
    () => ({ lie: Buffer.from('<html>sorry</html>') }),
    /LENGTH_MISMATCH/,
  ),
  server('the asset is empty', () => ({ lie: Buffer.alloc(0) }), /LENGTH_MISMATCH|DOWNLOAD_CUT/),
  server(
    'the asset is garbage',
    (github) => ({ lie: Buffer.alloc(contentOf(github).length, 7) }),
    /DIGEST_MISMATCH/,
  ),
  server(
    'the download stalls',
    (github) => ({ stallAfterBytes: contentOf(github).length >> 1 }),
    /DOWNLOAD_STALLED|DOWNLOAD_CUT/,
    'download-then-kill',
  ),
  server('the API accepts and never answers', () => ({ api: 'hang' }), /NETWORK_FAILED/),
  server(
    'one bit of the archive is flipped',
    (github) => ({ lie: flippedBit(contentOf(github)) }),
    /DIGEST_MISMATCH/,
  ),
  server(
    'the API answers malformed JSON',
    () => ({ api: { status: 200, body: '[{"tag_name": ' } }),
    /ANSWER_MALFORMED/,
  ),
  server('the API answers 500', () => ({ api: { status: 500 } }), /SERVER_FAILED/),
  server(
    'a release has no tag_name',
    () => ({ spoil: ({ tag_name: _, ...rest }) => rest }),
    /ANSWER_MALFORMED/,
  ),
  firstStart(
    'the API hangs at the first start',
    { api: 'hang' },
    {},
    /takes longer than 3 s|no answer in time/,
  ),
  firstStart('the API resets at the first start', { api: 'reset' }, {}, /NETWORK_FAILED/),
  firstStart('GH_USER is empty', {}, { GH_USER: '' }, /GH_USER/),
  firstStart('GH_REPO is empty', {}, { GH_REPO: '' }, /GH_REPO/),
  firstStart(
    'the API answers 403 at the first start',
    { api: { status: 403, headers: { 'retry-after': '60' } } },
    {},
    /RATE_LIMITED/,
  ),
  firstStart(
    'the API answers 429 at the first start',
    { api: { status: 429, headers: { 'retry-after': '60' } } },
    {},
    /RATE_LIMITED/,
  ),
  killed('the updater is killed during the stop', 'switchStarted', UPDATER),
  killed('the updater is killed during the extraction', 'verified', UPDATER),
  {
    title: 'the updater is killed when idle',
    run: async () => {
      await using container = await running();
      process.kill(await container.processOf(/run locked/), 'SIGKILL');
      await container.publish('0.0.2');
      await updatesTo(container, '0.0.2');
      return 'it comes back, then 0.0.2';
    },
  },
  release('the new version exits at once', script('exit 1'), /APP_EXITED/),
  release('the new version exits after 3 s', script('sleep 3; exit 1'), /APP_EXITED/, {
    UPDATE_PROBATION: '5',
  }),
  release(
    'the app is a link out of its tree',
    { app: { content: '', mode: 0o755 }, 'usr/bin/app': { content: '', mode: 0o644 } },
    /ENTRY_POINT_MISSING/,
  ),
  release('the app has mode 644', { app: { content: 'x', mode: 0o644 } }, /ENTRY_POINT_MISSING/),
  {
    title: 'a healthy app is killed',
    run: async () => {
      await using container = await running();
      const [pid = 0] = await container.apps();
      process.kill(pid, 'SIGKILL');
      await container.until(
        'it answers again',
        async () => (await container.ask()) === '0.0.1' && (await container.apps())[0] !== pid,
      );
      await sound(container);
      return '0.0.1 is started again';
    },
  },
  {
    title: 'the app ignores TERM',
    run: async () => {
      await using container = await running({ env: { IGNORE_TERM: '1', SVWAIT: '1' } });
      await container.publish('0.0.2');
      await updatesTo(container, '0.0.2');
      return 'it is killed after SVWAIT, then 0.0.2 alone';
    },
  },
  {
    title: 'the app needs 10 s to stop',
    run: async () => {
      await using container = await running({ env: { STOP_MS: '10000', SVWAIT: '12' } });
      await container.publish('0.0.2');
      await check(container);
      const { killed: wasKilled, durationMs } = await container.fact('appStopped');
      assert.ok(!wasKilled && durationMs > 9000, `${durationMs} ms`);
      await container.answers('0.0.2');
      await sound(container);
      return 'it is waited for, then 0.0.2';
    },
  },
  {
    title: 'the container is killed during the extraction, then started',
    run: async () => {
      await using volume = await createVolume();
      await using container = await running({ volume: volume.name });
      await container.publish('0.0.2', { padBytes: 20_000_000 });
      const seen = container.fact('verified');
      await check(container);
      await seen;
      await container.signal('KILL');
      await container.ended();
      await container.start();
      await container.until('a version answers', async () =>
        ['0.0.1', '0.0.2'].includes((await container.ask()) ?? ''),
      );
      await container.answers('0.0.2');
      await sound(container);
      return 'a complete version answers, then 0.0.2';
    },
  },
  {
    title: 'an older release becomes the latest',
    run: async () => {
      await using container = await running();
      await container.publish('0.0.3');
      await updatesTo(container, '0.0.3');
      await container.publish('0.0.2');
      container.github.latestTag = 'v0.0.2';
      for (let i = 0; i < 2; i++) assert.equal((await container.command('update')).exitCode, 0);
      await container.answers('0.0.3');
      return '0.0.3 stays';
    },
  },
  {
    title: 'two assets match',
    run: async () => {
      await using container = await running({ env: { UPDATE_ASSET: '*.tar.gz' } });
      const content = await nativeArchive('0.0.2');
      container.github.publish('v0.0.2', { 'one.tar.gz': content, 'two.tar.gz': content });
      await check(container);
      await container.until(
        'it is told',
        async () => (await container.status()).lastError !== null,
      );
      const { lastError } = await container.status();
      await container.answers('0.0.1');
      await sound(container);
      return `0.0.1 answers, refused as ${lastError?.code}`;
    },
  },
  {
    title: 'USR1 to PID 1',
    run: async () => {
      await using container = await running();
      for (const signal of ['USR1', 'USR2']) await container.signal(signal);
      await container.publish('0.0.2');
      await updatesTo(container, '0.0.2');
      return 'it goes to the services; then 0.0.2';
    },
  },
];

cases('baseline', rows, { sample: rows.length, concurrency: 2 }, ({ run }) => run());
