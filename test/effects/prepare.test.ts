/**
 * What is found out while the app still runs, on real file systems: mounted by root, so these parts
 * run as root only.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execaSync } from 'execa';
import { type PrepareDependencies, prepareSwitch } from '../../src/effects/prepare.ts';
import { toFault } from '../../src/support/fault.ts';
import { release } from '../support/machine.ts';

const isRoot = process.getuid?.() === 0;
const reachable = { assertReachable: async () => {} } as PrepareDependencies['supervisor'];

function at(root: string, command: string | null = null): PrepareDependencies {
  return {
    places: {
      root,
      bakedDir: '/nowhere',
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    },
    app: { command, repositoryName: 'app', workdir: null, args: [], environment: {} },
    supervisor: reachable,
    maxAssetBytes: 1024 ** 3,
    warn: assert.fail,
  };
}

function input(sizeBytes = 9) {
  const found = release('2.0.0');
  return {
    release: { ...found, asset: { ...found.asset, sizeBytes } },
    from: '1.0.0',
    attempt: 1,
    installed: false,
  };
}

/** A file system of its own, by mount(8)'s options. */
function mounted(
  options: string,
): { directory: string; change: (options: string) => void } & Disposable {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'mounted-'));
  execaSync('mount', ['-t', 'tmpfs', '-o', options, 'none', directory]);
  return {
    directory,
    change: (changed) => void execaSync('mount', ['-o', `remount,${changed}`, directory]),
    [Symbol.dispose]() {
      execaSync('umount', [directory]);
      rmSync(directory, { recursive: true });
    },
  };
}

describe('the preflight', () => {
  it('says before the stop that the tool for this format is missing, and asks for none where the format needs none', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'prepare-'));
    const searchPath = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      const named = (name: string) => {
        const { release: found, ...rest } = input();
        return { ...rest, release: { ...found, asset: { ...found.asset, name } } };
      };
      for (const name of ['app_linux_amd64.tar.xz', 'app_linux_amd64.bz2'])
        await assert.rejects(prepareSwitch(named(name), at(root)), { code: 'TOOL_MISSING' });
      assert.equal(
        (await prepareSwitch(named('app_linux_amd64.tar.zst'), at(root))).type,
        'switchStarted',
      );
    } finally {
      process.env['PATH'] = searchPath;
      rmSync(root, { recursive: true });
    }
  });

  it('refuses a release whose description could not be read back, and leaves the app alone', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'prepare-'));
    const { release: found, ...rest } = input();
    const endless = 'a'.repeat(1_200_000);
    const attacks = {
      'an address of a megabyte': {
        ...found,
        asset: { ...found.asset, browserUrl: `https://github.com/?${endless}` },
      },
      'a time of a megabyte': {
        ...found,
        publishedAt: `2020-01-01T00:00:00.${'0'.repeat(1_200_000)}Z`,
      },
      'signatures without end': {
        ...found,
        signatures: Array.from({ length: 9000 }, () => ({
          kind: 'minisign' as const,
          over: 'asset' as const,
          asset: found.asset,
        })),
      },
      'a tag that is too long': { ...found, tag: 'v'.repeat(256) },
      'a digest that is none': { ...found, asset: { ...found.asset, digest: 'sha1' } },
    };
    try {
      for (const [title, release] of Object.entries(attacks))
        await assert.rejects(
          prepareSwitch({ ...rest, release }, at(root)),
          ({ code, message }: Error & { code: string }) =>
            code === 'ARCHIVE_REFUSED' && message.length < 500,
          title,
        );
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('says that the switch may begin, and leaves nothing behind', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'prepare-'));
    assert.equal((await prepareSwitch(input(), at(root))).type, 'switchStarted');
    assert.deepEqual(readdirSync(root).sort(), ['releases', 'tmp']);
    assert.deepEqual(readdirSync(path.join(root, 'tmp')), []);
    rmSync(root, { recursive: true });
  });

  it('refuses places between which nothing can be renamed, and leaves nothing behind (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted('size=1m');
    const root = mkdtempSync(path.join(os.tmpdir(), 'prepare-'));
    // A mount below UPDATE_DIR, as `docker run --tmpfs /data/self-update/tmp` makes one.
    mkdirSync(path.join(root, 'tmp'));
    execaSync('mount', ['--bind', volume.directory, path.join(root, 'tmp')]);
    try {
      await assert.rejects(
        prepareSwitch(input(), at(root)),
        (error) => toFault(error, 'OTHER').code === 'CROSS_DEVICE',
      );
      assert.deepEqual(
        [readdirSync(path.join(root, 'tmp')), readdirSync(path.join(root, 'releases'))],
        [[], []],
      );
    } finally {
      execaSync('umount', [path.join(root, 'tmp')]);
      rmSync(root, { recursive: true });
    }
  });

  it('needs a supervisor that will start the app again', async () => {
    const root = path.join(os.tmpdir(), 'never-made');
    const gone = {
      assertReachable: () =>
        Promise.reject(Object.assign(new Error('gone'), { code: 'SUPERVISOR_MISSING' })),
    } as PrepareDependencies['supervisor'];
    await assert.rejects(prepareSwitch(input(), { ...at(root), supervisor: gone }), {
      code: 'SUPERVISOR_MISSING',
    });
    assert.ok(!existsSync(root));
  });

  it('refuses an asset for which there is no room, and passes one for which there is (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted('size=10m');
    await assert.rejects(prepareSwitch(input(9 * 1024 * 1024), at(volume.directory)), {
      code: 'NO_SPACE',
    });
    assert.equal(
      (await prepareSwitch(input(2 * 1024 * 1024), at(volume.directory))).type,
      'switchStarted',
    );
  });

  it('refuses a volume without free inodes (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted('nr_inodes=3');
    for (const name of ['releases', 'tmp']) mkdirSync(path.join(volume.directory, name));
    await assert.rejects(prepareSwitch(input(), at(volume.directory)), { code: 'ENOSPC' });
  });

  it('refuses a read-only volume (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted('mode=755');
    volume.change('ro');
    await assert.rejects(prepareSwitch(input(), at(volume.directory)), { code: 'EROFS' });
  });

  it('refuses a noexec volume, but not for a command that only reads the tree (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted('noexec');
    await assert.rejects(prepareSwitch(input(), at(volume.directory)), { code: 'NOT_EXECUTABLE' });
    assert.equal(
      (await prepareSwitch(input(), at(volume.directory, 'node server.js'))).type,
      'switchStarted',
    );
    volume.change('exec');
    assert.equal((await prepareSwitch(input(), at(volume.directory))).type, 'switchStarted');
  });
});

describe('a directory in the place of a link of the updater’s', () => {
  it('is set aside before the app is stopped, whole, and told: no link could take its place, and each try would be an outage', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'in-place-'));
    try {
      for (const name of ['current', 'last-good'])
        mkdirSync(path.join(root, name, 'work'), { recursive: true });
      const told: string[] = [];
      const fact = await prepareSwitch(input(), {
        ...at(root),
        warn: (message) => told.push(message),
      });
      assert.equal(fact.type, 'switchStarted');
      const aside = told.map(
        (message) =>
          /was a directory, and no link: it was moved to (\S+) \[NOT_A_FILE\]$/.exec(
            message,
          )?.[1] ?? message,
      );
      assert.deepEqual(
        aside.map((directory) => readdirSync(directory)),
        [['work'], ['work']],
      );
      assert.ok(
        !existsSync(path.join(root, 'current')) && !existsSync(path.join(root, 'last-good')),
      );
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
