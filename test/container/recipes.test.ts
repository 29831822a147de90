/** The recipes of docs/update-policy.md, by the very files that it names. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';
import { Prober } from '../support/prober.ts';
import { freePort } from '../support/product.ts';
import { comingWindow } from '../support/window.ts';

const RECIPES = [
  '--volume',
  `${path.join(import.meta.dirname, '..', '..', 'examples', 'recipes')}:/opt/recipes:ro`,
];

/** A real HAProxy before the app; where that is out, a page says sorry. */
async function proxy(appPort: number): Promise<{ port: number; api: number } & AsyncDisposable> {
  const [port, api, sorry] = [await freePort(), await freePort(), await freePort()];
  const directory = mkdtempSync(path.join(os.tmpdir(), 'haproxy-'));
  const file = path.join(directory, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  stats socket ipv4@127.0.0.1:${api} level admin
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend all
  bind 127.0.0.1:${port}
  default_backend app
backend app
  retries 0
  server app1 127.0.0.1:${appPort}
  server sorry 127.0.0.1:${sorry} backup
frontend sorry
  bind 127.0.0.1:${sorry}
  http-request return status 200 content-type text/plain string sorry
`,
  );
  const haproxy = execa('haproxy', ['-db', '-f', file], { reject: false, stdio: 'ignore' });
  return {
    port,
    api,
    async [Symbol.asyncDispose]() {
      haproxy.kill('SIGTERM');
      await haproxy;
      rmSync(directory, { recursive: true });
    },
  };
}

describe('the recipe', { concurrency: 2 }, () => {
  it('to drain behind a proxy: nobody sees an error during an update', async () => {
    const appPort = await freePort();
    await using front = await proxy(appPort);
    await using container = await Container.run({
      port: appPort,
      run: RECIPES,
      env: {
        UPDATE_PRE_STOP_CMD: '/opt/recipes/haproxy.sh',
        UPDATE_POST_UPDATE_CMD: '/opt/recipes/haproxy.sh',
        HAPROXY_API: `127.0.0.1 ${front.api}`,
        HAPROXY_SERVER: 'app/app1',
        STOP_MS: '500',
        SLEEP: '3600',
      },
    });
    await container.fact('hookSucceeded', ({ hook }) => hook === 'postUpdate');
    const prober = new Prober(front.port).start();
    await prober.answers('0.0.1');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('hookSucceeded', ({ hook, seq }) => hook === 'postUpdate' && seq > 12);
    await prober.answers('0.0.2');
    await prober.stop();
    assert.deepEqual(
      prober.versions.map(({ version }) => version),
      ['0.0.1', 'sorry', '0.0.2'],
    );
    assert.equal(prober.failures, 0, 'requests that failed');
  });

  it('to drain behind a proxy: without the proxy the app is not interrupted', async () => {
    await using container = await Container.run({
      run: RECIPES,
      env: {
        UPDATE_PRE_STOP_CMD: '/opt/recipes/haproxy.sh',
        HAPROXY_API: `127.0.0.1 ${await freePort()}`,
        HAPROXY_SERVER: 'app/app1',
        SLEEP: '3600',
      },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('hookFailed');
    assert.equal(await container.ask(), '0.0.1');
    assert.match(await container.logs(), /HAProxy at .* does not know app\/app1/);
  });

  it('to back up before each update, and to restore on the way back', async () => {
    await using container = await Container.run({
      run: RECIPES,
      env: { UPDATE_PRE_START_CMD: '/opt/recipes/backup.sh', UPDATE_PROBATION: '3', SLEEP: '3600' },
    });
    await container.fact('versionBecameHealthy');
    await container.exec(['sh', '-c', 'echo of-0.0.1 > /data/app/db'], ['--user', '1000:1000']);
    const bad = { content: '#!/bin/sh\nexit 3\n', mode: 0o755 };
    await container.publish('0.0.2', {
      files: {
        app: bad,
        migrate: { content: '#!/bin/sh\necho of-0.0.2 > "$1/db"\n', mode: 0o755 },
      },
    });
    await container.signal('HUP');
    const failed = await container.fact('probationFailed');
    await container.fact(
      'appStarted',
      ({ version, seq }) => version === '0.0.1' && seq > failed.seq,
    );
    assert.equal((await container.exec(['cat', '/data/app/db'])).stdout, 'of-0.0.1');
    const log = await container.logs();
    assert.match(log, /backed up \/data\/app to \/data\/backups\/0\.0\.1-to-0\.0\.2\.tar/);
    assert.match(log, /restored \/data\/backups\/0\.0\.1-to-0\.0\.2\.tar/);
  });

  for (const [profile, options] of [
    ['root', PROFILES.root],
    [
      'root with four capabilities, read-only',
      [
        ...PROFILES['root with four capabilities'],
        ...HARDENED,
        '--tmpfs',
        '/run/self-update',
        '--tmpfs',
        '/tmp',
      ],
    ],
  ] as const)
    it(`to back up runs nothing of a hostile release as root, and follows no link that it left (${profile})`, async () => {
      await using container = await Container.run({
        run: [...RECIPES, ...options],
        env: {
          UPDATE_PRE_START_CMD: '/opt/recipes/backup.sh',
          UPDATE_PROBATION: '3',
          SLEEP: '3600',
        },
      });
      await container.fact('versionBecameHealthy');
      const before = (
        await container.exec([
          'sh',
          '-c',
          'ls -ln /data/self-update /data/self-update/state/journal* /etc/passwd | grep -v "^total"',
        ])
      ).stdout;
      // What an app may have left for root to stumble over, by name in the backup and on the way
      // back.
      const trap =
        'cd /data/app && echo of-0.0.1 > db && ln -s /data/self-update evil && ln -s /etc/passwd passwd && mkdir sub && ln -s /data/self-update/state sub/state';
      assert.equal((await container.exec(['sh', '-c', trap], ['--user', '1000:1000'])).exitCode, 0);
      const migrate = `#!/bin/sh
cat /proc/self/status | grep -E '^(Uid|Gid|CapEff):' > "$1/../app/who"
for target in /data/self-update/owned /run/self-update/private/owned /etc/owned /usr/lib/self-update/owned /data/backups/owned; do echo x > "$target"; done 2> /dev/null
rm -rf "$1/sub"; ln -s /data/self-update "$1/sub"; cp "$1/who" /tmp/who.kept
exit 0
`;
      await container.publish('0.0.2', {
        files: {
          app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 },
          migrate: { content: migrate, mode: 0o755 },
        },
      });
      await container.signal('HUP');
      const failed = await container.fact('probationFailed');
      await container.fact(
        'appStarted',
        ({ version, seq }) => version === '0.0.1' && seq > failed.seq,
      );
      const who = (await container.exec(['cat', '/tmp/who.kept'])).stdout;
      assert.match(
        who,
        /^Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000$/,
        'whom the release ran as',
      );
      const owned = await container.exec([
        'sh',
        '-c',
        'find /data /run /etc /usr -name owned 2> /dev/null; cat /data/app/db; readlink /data/app/evil; readlink /data/app/sub/state',
      ]);
      assert.equal(
        owned.stdout,
        'of-0.0.1\n/data/self-update\n/data/self-update/state',
        'the data as it was, links as links, and nothing else touched',
      );
      const after = (
        await container.exec([
          'sh',
          '-c',
          'ls -ln /data/self-update /data/self-update/state/journal* /etc/passwd | grep -v "^total"',
        ])
      ).stdout;
      const owners = (text: string) =>
        text
          .split('\n')
          .flatMap(
            (line) => /^\S+ +\d+ +(\d+ +\d+) .* (\S+)$/.exec(line)?.slice(1).join(' ') ?? [],
          );
      for (const owner of owners(after)) assert.match(owner, /^0 +0 /, owner);
      assert.ok(owners(before).length > 1);
    });

  it('to back up refuses a directory that the app could change, and the app starts all the same', async () => {
    await using container = await Container.run({
      run: RECIPES,
      env: {
        UPDATE_PRE_START_CMD: '/opt/recipes/backup.sh',
        BACKUPS: '/data/app/backups',
        SLEEP: '3600',
      },
    });
    await container.fact('hookFailed');
    assert.match(await container.logs(), /\/data\/app\/backups is in the app's own data/);
    await container.answers('0.0.1');
  });

  it('for night updates: found by day, made when the night comes', async () => {
    const { text, opensAt } = comingWindow(20_000);
    await using container = await Container.run({
      env: { UPDATE_WINDOW: text, TZ: 'UTC', SLEEP: '3600' },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.until(
      'it waits',
      async () => (await container.status()).waitingFor?.reason === 'window',
    );
    assert.equal(Date.parse((await container.status()).waitingFor?.until ?? ''), opensAt);
    await container.until(
      'it is updated',
      async () => (await container.ask()) === '0.0.2',
      100_000,
    );
    assert.ok(Date.now() >= opensAt);
  });

  it('for a canary by minimum age: what is taken back within the age is run by nobody else', async () => {
    await using canary = await Container.run({ env: { UPDATE_MIN_AGE: '0', SLEEP: '3600' } });
    await using other = await Container.run({
      github: canary.github,
      env: { UPDATE_MIN_AGE: '1d', SLEEP: '3600' },
    });
    for (const container of [canary, other]) await container.fact('versionBecameHealthy');
    await canary.publish('0.0.2');
    for (const container of [canary, other]) await container.signal('HUP');
    await canary.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await other.until(
      'it waits',
      async () => (await other.status()).waitingFor?.reason === 'minAge',
    );
    assert.equal((await other.command('check')).exitCode, 100);
    canary.github.releases.shift();
    await other.signal('HUP');
    await other.until('it waits no more', async () => (await other.status()).target === null);
    assert.deepEqual([await canary.ask(), await other.ask()], ['0.0.2', '0.0.1']);
  });
});
