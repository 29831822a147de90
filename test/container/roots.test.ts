/**
 * Root never works in a place that the app can change: attacks by an app that owns, exchanges,
 * links and hides what root comes across.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Container, createVolume, HARDENED, PROFILES } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';

const SEPARATED = ['root', 'root with four capabilities'] as const;
const APP = ['--user', '1000:1000'];
/** Owner, group and mode. */
const statOf = async (container: Container, file: string) =>
  (await container.exec(['stat', '-c', '%u:%g %a', file])).stdout;
const shell = (container: Container, script: string, options: readonly string[] = []) =>
  container.exec(['sh', '-c', script], options);

/** A directory of this machine for a bind mount at /data. */
function hostDirectory(uid: number, mode: number): { name: string } & Disposable {
  const name = mkdtempSync(path.join(os.tmpdir(), 'data-'));
  chownSync(name, uid, uid);
  chmodSync(name, mode);
  return { name, [Symbol.dispose]: () => rmSync(name, { recursive: true, force: true }) };
}

/**
 * Something is changed in a volume while no container runs from it, as a platform does at a mount.
 */
async function inVolume(volume: string, script: string): Promise<void> {
  await docker([
    'run',
    '--rm',
    '--volume',
    `${volume}:/data`,
    '--entrypoint',
    '/bin/sh',
    IMAGES.app,
    '-c',
    script,
  ]);
}

/** An image whose /linked is a link of root's to /data. */
async function linkedImage(): Promise<string> {
  const { derive } = await import('../support/docker/setup.ts');
  await derive(IMAGES.app, 'self-update-test:linked-data', 'RUN ln -s /data /linked');
  return 'self-update-test:linked-data';
}

async function updates(container: Container, version: string): Promise<void> {
  await container.publish(version);
  await container.signal('HUP');
  await container.answers(version);
}

describe("the place of the app's data", { concurrency: 2 }, () => {
  const PLACES: Record<string, string>[] = [
    { UPDATE_LINKED_DIR: '/data', UPDATE_LINKED: 'world' },
    { UPDATE_LINKED_DIR: '/data/' },
    { UPDATE_LINKED_DIR: '/' },
    { UPDATE_DIR: '/data/app/updater' },
    { UPDATE_DIR: '/data/app' },
    { UPDATE_LINKED_DIR: '/data/self-update' },
    { UPDATE_LINKED_DIR: '/data/self-update/linked' },
  ];
  for (const env of PLACES)
    it(`is not apart from root's (${JSON.stringify(env)}): neither is given to the app, which runs, and is told why nothing is updated`, async () => {
      await using container = await Container.run({ env });
      await container.until('it says so', async () =>
        /are not apart.*\[DIRECTORY_UNSAFE\]/.test(await container.logs()),
      );
      await container.answers('0.0.1');
      const place = env['UPDATE_DIR'] ?? '/data/self-update';
      const given = await shell(
        container,
        'find / /data -maxdepth 2 -xdev -user 1000 ! -path "/proc*"; [ ! -O /data ] && echo /data; true',
      );
      assert.equal(given.stdout, '');
      assert.notEqual(
        (await shell(container, `mv ${place} ${place}.mine || touch ${place}/x`, APP)).exitCode,
        0,
      );
    });

  it("is the system's (/etc): it stays root's, and updates continue", async () => {
    await using container = await Container.run({ env: { UPDATE_LINKED_DIR: '/etc' } });
    assert.match(await statOf(container, '/etc'), /^0:0 /);
    await updates(container, '0.0.2');
    assert.match(await container.logs(), /UPDATE_LINKED_DIR: \/etc is a system directory/);
  });

  it("leads through a link of root's to root's own place: that is not given away", async () => {
    await using container = await Container.run({
      env: { UPDATE_LINKED_DIR: '/linked/self-update' },
      image: await linkedImage(),
    });
    await container.answers('0.0.1');
    assert.match(await statOf(container, '/data/self-update'), /^0:0 /);
  });

  it('holds what an older version, or docker cp, left there as root: it is given as ever', async () => {
    await using volume = await createVolume();
    await inVolume(
      volume.name,
      'mkdir -p /data/app/world && chown 0:0 /data/app && echo x > /data/app/file',
    );
    await using container = await Container.run({ volume: volume.name });
    await container.fact('versionBecameHealthy');
    assert.match(await statOf(container, '/data/app'), /^1000:0 /);
  });
});

for (const profile of SEPARATED) {
  for (const hardening of [[], HARDENED]) {
    const run = [...PROFILES[profile], ...hardening];

    describe(`the app against ${profile}${hardening.length > 0 ? ', read-only, no new privileges' : ''}`, {
      concurrency: 3,
    }, () => {
      it('gets nothing of root by exchanging names while its data is seeded', async () => {
        const command = `sh -c 'ln -s /data/self-update/state /data/app/evil; exec "$0/app"' "$PWD"`;
        const env = {
          UPDATE_LINKED: 'world',
          EXCHANGE: '/data/app/evil /data/app/world.seed.tmp',
          UPDATE_APP_COMMAND: command,
        };
        await using container = await Container.run({ run, env });
        await container.fact('versionBecameHealthy');
        // What the image's tree left empty is seeded, by names that are there in root's own place.
        const names = ['lock', 'journal.db'];
        const before = await Promise.all(
          names.map((name) => statOf(container, `/data/self-update/state/${name}`)),
        );
        await container.publish('0.0.2', {
          files: Object.fromEntries(names.map((name) => [`world/${name}`, { content: 'seed' }])),
        });
        await container.signal('HUP');
        await container.until('the update ended, in whatever way', async () =>
          (await container.events()).some(
            ({ type }) => type === 'installed' || type === 'extractionFailed',
          ),
        );
        assert.deepEqual(
          await Promise.all(
            names.map((name) => statOf(container, `/data/self-update/state/${name}`)),
          ),
          before,
        );
        await container.until('an app answers', async () => (await container.ask()) !== null);
      });

      it('stops no update by chmod 700 of its data directory, nor its own start there', async () => {
        const command = `sh -c 'chmod 700 /data/app && exec /data/self-update/current/app'`;
        const env = {
          UPDATE_LINKED: 'world',
          UPDATE_APP_WORKDIR: '/data/app/world',
          UPDATE_APP_COMMAND: command,
        };
        await using container = await Container.prepare({ run, env });
        await container.publish('0.0.2');
        await container.create();
        await container.answers('0.0.2');
        await updates(container, '0.0.3');
        // Root itself may lack the right to look.
        assert.match((await shell(container, 'stat -c %u /data/app/world', APP)).stdout, /^1000$/);
      });

      it('puts no update off for ever by a busy directory, nor by one that survives the boot', async () => {
        await using container = await Container.run({ run });
        await container.fact('versionBecameHealthy');
        await shell(
          container,
          'mkdir -p /run/self-update/busy/in && touch -d 2096-01-01 /run/self-update/busy',
          APP,
        );
        await updates(container, '0.0.2');
        await container.stop();
        await container.start();
        await container.answers('0.0.2');
        assert.notEqual(
          (await container.exec(['test', '-e', '/run/self-update/busy'])).exitCode,
          0,
        );
      });

      it('puts a runsv of its own into a directory that PATH names first: root runs its own', async () => {
        const PATH = '/data/app/bin:/usr/local/bin:/usr/bin:/bin';
        await using container = await Container.run({ run, env: { PATH } });
        await container.answers('0.0.1');
        const script = '#!/bin/sh\nid > /data/app/got\nexec /usr/lib/self-update/bin/runsv "$@"\n';
        await shell(
          container,
          `mkdir -p /data/app/bin && printf '%s' '${script}' > /data/app/bin/runsv && chmod 755 /data/app/bin/runsv`,
          APP,
        );
        await container.stop();
        await container.start();
        await container.answers('0.0.1');
        assert.equal((await shell(container, 'cat /data/app/got', APP)).stdout, '');
        const [pid = ''] = (
          await shell(container, 'cat /run/self-update/private/app.group')
        ).stdout.split('\n');
        const environment = (await shell(container, `tr '\\0' '\\n' < /proc/${pid}/environ`, APP))
          .stdout;
        assert.match(environment, new RegExp(`^PATH=${PATH}$`, 'm'));
      });

      for (const place of ['tmp/left', 'releases/evil', 'inbox/.hidden', '.hidden'])
        it(`left a directory of its own at ${place}: root stays out, and updates once it is mended as advised`, async () => {
          await using volume = await createVolume();
          await inVolume(
            volume.name,
            `cd /data && mkdir -p self-update/${place} && chmod -R 755 self-update && chown 1000:1000 self-update/${place}`,
          );
          await using container = await Container.run({ run, volume: volume.name });
          await container.answers('0.0.1');
          await container.until('it says so', async () =>
            /belongs to .*\[DIRECTORY_UNSAFE\]/.test(await container.logs()),
          );
          const [, advice = ''] =
            /, or `(.+?)`.* \[DIRECTORY_UNSAFE\]/.exec(await container.logs()) ?? [];
          assert.equal((await shell(container, advice)).exitCode, 0, advice);
          await updates(container, '0.0.2');
        });

      it('left directories of its own deep in what root removes: they are removed, and nothing that they lead to', async () => {
        await using volume = await createVolume();
        // By the name of what an extraction leaves: nothing else is removed there.
        const tmp = '/data/self-update/tmp/tree-0123456789ab';
        const links = `for n in 1 2 3; do ln -s /data/kept ${tmp}/a/evil/$n; done; mkdir /data/kept && touch /data/kept/file`;
        await inVolume(
          volume.name,
          `mkdir -p ${tmp}/a/evil/in && ${links} && chmod -R 755 /data/self-update && chown -Rh 1000:1000 ${tmp}/a && chmod 700 ${tmp}/a/evil`,
        );
        await using container = await Container.run({ run, volume: volume.name });
        await container.answers('0.0.1');
        await updates(container, '0.0.2');
        assert.equal((await shell(container, `ls ${tmp}`)).stdout, '');
        assert.equal((await shell(container, 'ls /data/kept')).stdout.trim(), 'file');
      });

      for (const spelled of ['00:0', '4294967296', ' 0'])
        it(`is not root by ${JSON.stringify(spelled)}, another spelling of 0`, async () => {
          await using container = await Container.run({ run, env: { UPDATE_APP_USER: spelled } });
          await container.answers('0.0.1');
          assert.ok(
            (await container.logs()).includes(
              `UPDATE_APP_USER: ${spelled} is neither a user of the image nor uid:gid; using 1000:1000`,
            ),
          );
          assert.equal(
            (await shell(container, 'cat /run/self-update/private/app.user')).stdout.trim(),
            '1000:1000',
          );
        });

      it('owns the directory at /data: root stays out, says how to mend it, and updates once it is mended', async () => {
        using data = hostDirectory(1000, 0o755);
        await using container = await Container.run({ run, volume: data.name });
        await container.answers('0.0.1');
        await container.until('it says so', async () =>
          /\[DIRECTORY_UNSAFE\]/.test(await container.logs()),
        );
        assert.equal((await container.exec(['ls', '/data/self-update'])).stdout, '');
        const status = await container.command('status');
        assert.match(status.stderr, /\[DIRECTORY_UNSAFE\]/);
        const [, advice = ''] =
          /: run `(.+?)`.* \[DIRECTORY_UNSAFE\]/.exec(await container.logs()) ?? [];
        assert.equal((await shell(container, advice)).exitCode, 0, advice);
        await container.until('it says that all is well', async () =>
          /updates continue/.test(await container.logs()),
        );
        await updates(container, '0.0.2');
      });

      it('can write at /data, and made links where root comes by: none of them is followed', async () => {
        using data = hostDirectory(1000, 0o755);
        await inVolume(
          data.name,
          'mkdir -p /data/self-update /data/stolen && ln -s /data/stolen /data/self-update/state && chown -Rh 1000:1000 /data',
        );
        await using container = await Container.run({ run, volume: data.name });
        await container.answers('0.0.1');
        await container.until('it says so', async () =>
          /\[DIRECTORY_UNSAFE\]/.test(await container.logs()),
        );
        assert.equal(
          (await container.exec(['chown', '0:0', '/data', '/data/self-update'])).exitCode,
          0,
        );
        await container.stop();
        await container.start();
        await container.until('it says so of the link', async () =>
          /self-update\/state .*\[DIRECTORY_UNSAFE\]/.test(await container.logs()),
        );
        await container.answers('0.0.1');
        assert.equal((await container.exec(['ls', '/data/stolen'])).stdout, '');
      });

      it("shares a group with the volume (fsGroup): what is the updater's is taken back, and verifies", async () => {
        await using volume = await createVolume();
        await using container = await Container.run({ run, volume: volume.name });
        await container.answers('0.0.1');
        await updates(container, '0.0.2');
        await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
        await container.stop();
        // As kubelet does it.
        await inVolume(
          volume.name,
          'chgrp -R 1000 /data; find /data -type d -exec chmod g+rwxs {} +; find /data -type f -exec chmod g+rw {} +',
        );
        await container.start();
        await container.answers('0.0.2');
        const { stdout } = await shell(
          container,
          'find /data/self-update ! -type l -perm /022; find /data -maxdepth 0 ! -perm -1000',
        );
        assert.equal(stdout, '');
        assert.equal(
          (
            await shell(
              container,
              'mv /data/self-update /data/mine; ls /data/self-update/state',
              APP,
            )
          ).stdout,
          '',
        );
        assert.deepEqual((await container.command('verify')).stdout, '0.0.2: unchanged');
        assert.match(
          await container.logs(),
          /^init: other users may write in \/data\/self-update /m,
        );
        await updates(container, '0.0.3');
      });

      it('finds a directory at /data that everybody may write: its sticky bit is set, or root stays out', async () => {
        using roots = hostDirectory(0, 0o777);
        await using container = await Container.run({ run, volume: roots.name });
        await container.answers('0.0.1');
        await updates(container, '0.0.2');
        assert.notEqual(
          (await shell(container, 'mv /data/self-update /data/mine', APP)).exitCode,
          0,
        );
        using nobodys = hostDirectory(65534, 0o777);
        await using other = await Container.run({ run, volume: nobodys.name });
        await other.answers('0.0.1');
        await other.until('it says so', async () =>
          /\[DIRECTORY_UNSAFE\]/.test(await other.logs()),
        );
      });

      it('finds nothing that it may write where the container began with umask 0, and has that umask itself', async () => {
        const init = 'umask 0; exec /usr/lib/self-update/bin/tini -s -- /usr/lib/self-update/init';
        await using container = await Container.run({
          run: [...run, '--entrypoint', '/bin/sh'],
          args: ['-c', init],
        });
        await container.answers('0.0.1');
        await updates(container, '0.0.2');
        await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
        const { stdout } = await shell(
          container,
          'find /data/self-update /run/self-update/private ! -type l -perm /022 ! -perm 1777',
        );
        assert.equal(stdout, '');
        assert.match((await container.ask('/read//proc/self/status')) ?? '', /^Umask:\t0000$/m);
      });
    });
  }
}

describe('a linked name below another one', () => {
  it('leads root nowhere through a link of the app', async () => {
    const command = `sh -c 'ln -s /etc/service/app /data/app/world/x; exec "$0/app"' "$PWD"`;
    await using container = await Container.run({
      env: { UPDATE_LINKED: 'world world/x/run', UPDATE_APP_COMMAND: command },
    });
    await container.fact('versionBecameHealthy');
    const before = await statOf(container, '/etc/service/app/run');
    await updates(container, '0.0.2');
    assert.equal(await statOf(container, '/etc/service/app/run'), before);
    assert.match(before, /^0:0 755$/);
  });
});
