/** Which files of secrets the app can read: by owner and mode, on the whole way there. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  secretFileWarnings,
  sharedDirectoryWarnings,
  standingWarnings,
} from '../../src/cli/warnings.ts';
import { partsOf } from '../support/output.ts';

const APP = { uid: 4321, gid: 4322 };
const asRoot = { skip: process.getuid?.() !== 0 && 'needs root' };

it('a rollout that the minimum age makes pointless is warned of, and a longer one is not', () => {
  const warned = (UPDATE_ROLLOUT: string) =>
    standingWarnings(partsOf('/nowhere', { UPDATE_ROLLOUT, UPDATE_MIN_AGE: '1d' })).join('\n');
  assert.match(warned('24h'), /UPDATE_MIN_AGE is not below UPDATE_ROLLOUT/);
  assert.doesNotMatch(warned('2d'), /UPDATE_ROLLOUT/);
});

it('a password that is the name of the repository or its owner is warned of, and another one is not', () => {
  const warned = (password: string) =>
    standingWarnings(
      partsOf('/nowhere', {
        UPDATE_GH_API_URL: `https://ops:${password}@ghe.example/api/v3`,
        GH_USER: 'megacorp',
      }),
    );
  assert.match(
    warned('megacorp').join('\n'),
    /^UPDATE_GH_API_URL: .*GH_USER or GH_REPO.*not blacked out.*choose another one$/m,
  );
  assert.doesNotMatch(warned('hunter2x').join('\n'), /blacked out/);
});

describe("a secret's file that the app's user can read is warned of", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'secret-'));
    chmodSync(directory, 0o755);
  });
  after(() => rmSync(directory, { recursive: true }));

  function file(name: string, mode: number, owner?: [number, number]): string {
    const made = path.join(directory, name);
    writeFileSync(made, 'secret\n');
    chmodSync(made, mode);
    if (owner) chownSync(made, ...owner);
    return made;
  }
  const warned = (token: string) => secretFileWarnings({ UPDATE_GH_TOKEN_FILE: token }, APP);

  it('as a shell makes it: mode 0644', () => {
    assert.match(
      warned(file('shell', 0o644)).join(),
      /^UPDATE_GH_TOKEN_FILE: the app's user \(4321:4322\) can read .*mode 600/,
    );
    assert.deepEqual(warned(file('safe', 0o600)), []);
    assert.deepEqual(warned(file('group', 0o640)), []);
  });

  it("where it is the app's, or its group's", asRoot, () => {
    assert.equal(warned(file('owned', 0o600, [APP.uid, 0])).length, 1);
    assert.equal(
      warned(file('locked', 0o000, [APP.uid, 0])).length,
      1,
      'its owner can change the mode',
    );
    assert.equal(warned(file('grouped', 0o640, [0, APP.gid])).length, 1);
    assert.deepEqual(
      warned(file('not-grouped', 0o604, [0, APP.gid])),
      [],
      "the group's bits are the group's only ones",
    );
  });

  it('through a link, as Kubernetes mounts secrets, and not behind a closed directory', () => {
    const link = path.join(directory, 'link');
    symlinkSync(file('target', 0o644), link);
    assert.equal(warned(link).length, 1);
    const closed = path.join(directory, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    writeFileSync(path.join(closed, 'token'), 'x', { mode: 0o644 });
    chmodSync(path.join(closed, 'token'), 0o644);
    assert.deepEqual(warned(path.join(closed, 'token')), []);
  });

  it('of every setting that may be given as a file, and of all where app and updater are one user', () => {
    const open = file('open', 0o644);
    const names = [
      'UPDATE_GH_TOKEN_FILE',
      'UPDATE_HTTP_TOKEN_FILE',
      'UPDATE_WEBHOOK_SECRET_FILE',
      'UPDATE_NOTIFY_URL_FILE',
    ];
    const environment = Object.fromEntries(names.map((name) => [name, open]));
    assert.equal(secretFileWarnings(environment, APP).length, names.length);
    assert.match(
      secretFileWarnings({ UPDATE_GH_TOKEN_FILE: file('mine', 0o600) }, null).join(),
      /runs as the updater's user/,
    );
    assert.deepEqual(secretFileWarnings({}, null), []);
  });
});

describe('a directory of the updater that others may write', () => {
  it('is warned of, with a remedy that ends the warning', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'shared-'));
    try {
      assert.deepEqual(sharedDirectoryWarnings(directory), []);
      mkdirSync(path.join(directory, 'inbox'));
      chmodSync(path.join(directory, 'inbox'), 0o777);
      const [warning = ''] = sharedDirectoryWarnings(directory);
      const remedy = /chmod go-w (\S+);/.exec(warning);
      assert.equal(remedy?.[1], path.join(directory, 'inbox'));
      chmodSync(path.join(directory, 'inbox'), 0o755);
      assert.deepEqual(sharedDirectoryWarnings(directory), []);
      assert.deepEqual(sharedDirectoryWarnings(path.join(directory, 'missing')), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is warned of where it is private itself, and lies where others may exchange it', () => {
    const parent = mkdtempSync(path.join(os.tmpdir(), 'parent-'));
    const place = path.join(parent, 'between', 'data');
    mkdirSync(place, { recursive: true, mode: 0o700 });
    const link = mkdtempSync(path.join(os.tmpdir(), 'link-'));
    symlinkSync(place, path.join(link, 'data'));
    try {
      for (const name of [place, path.join(place, 'missing', 'too'), path.join(link, 'data')]) {
        chmodSync(parent, 0o755);
        assert.deepEqual(sharedDirectoryWarnings(name), [], name);
        for (const [remedy, mode] of [
          [/chmod (go-w) (\S+) /, 0o777],
          [/\(or chmod (\+t), /, 0o777],
          [/chmod (go-w) (\S+) /, 0o775],
        ] as const) {
          chmodSync(parent, mode);
          if (mode === 0o775 && process.getgid?.() === process.getuid?.()) chmodSync(parent, 0o777);
          const warnings = sharedDirectoryWarnings(name);
          assert.equal(warnings.length, 1, name);
          assert.match(
            warnings[0] ?? '',
            /above UPDATE_DIR, can be written by others \(mode 77[57]\), .*another place$/,
          );
          const [, change = ''] = remedy.exec(warnings[0] ?? '') ?? [];
          execFileSync('chmod', [change, parent]);
          assert.deepEqual(sharedDirectoryWarnings(name), [], `after chmod ${change}`);
        }
      }
      chmodSync(parent, 0o755);
      chmodSync(path.join(parent, 'between'), 0o777);
      assert.equal(sharedDirectoryWarnings(place).length, 1, 'any of those above');
      assert.equal(
        sharedDirectoryWarnings(link, path.join(parent, 'between', 'data')).length,
        1,
        'what the image or the installation brings is run, too',
      );
      chmodSync(link, 0o777);
      assert.match(
        sharedDirectoryWarnings(path.join(link, 'data')).join(),
        /link-.*above UPDATE_DIR/,
        'the link itself can be exchanged',
      );
    } finally {
      rmSync(parent, { recursive: true });
      rmSync(link, { recursive: true });
    }
  });

  it('or by way of a link in a directory that is open, which another link leads through', () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'chain-'));
    try {
      for (const name of ['way', 'open', 'safe/data'])
        mkdirSync(path.join(root, name), { recursive: true });
      symlinkSync('../open/second', path.join(root, 'way', 'first'));
      symlinkSync(path.join(root, 'safe'), path.join(root, 'open', 'second'));
      const place = path.join(root, 'way', 'first', 'data');
      assert.deepEqual(sharedDirectoryWarnings(place), []);
      chmodSync(path.join(root, 'open'), 0o777);
      assert.match(
        sharedDirectoryWarnings(place).join(),
        /open, above UPDATE_DIR, can be written by others \(mode 777\)/,
      );
      // Also where only what lies in it leads that way.
      symlinkSync('../../open/second', path.join(root, 'safe', 'data', 'releases'));
      assert.match(
        sharedDirectoryWarnings(path.join(root, 'safe', 'data')).join(),
        /open, above UPDATE_DIR, can be written/,
      );
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it(
    "or by way of another user's link in a sticky directory, who can lead it elsewhere",
    asRoot,
    () => {
      const root = mkdtempSync(path.join(os.tmpdir(), 'sticky-'));
      try {
        mkdirSync(path.join(root, 'safe', 'data'), { recursive: true });
        mkdirSync(path.join(root, 'tmp'));
        const link = path.join(root, 'tmp', 'theirs');
        symlinkSync('../safe', link);
        lchownSync(link, APP.uid, APP.gid);
        const place = path.join(link, 'data');
        assert.deepEqual(
          sharedDirectoryWarnings(place),
          [],
          'where nobody but us may rename it, its owner does not matter',
        );
        chmodSync(path.join(root, 'tmp'), 0o1777);
        const [warning = ''] = sharedDirectoryWarnings(place);
        const [, remedy = ''] =
          /is a link of user 4321, .*\((chown -h 0 \S+)\)/.exec(warning) ?? [];
        execFileSync('/bin/sh', ['-c', remedy]);
        assert.deepEqual(sharedDirectoryWarnings(place), [], remedy);
      } finally {
        rmSync(root, { recursive: true });
      }
    },
  );

  it('and links in a circle are no way without an end', () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'circle-'));
    symlinkSync('circle', path.join(root, 'circle'));
    assert.deepEqual(sharedDirectoryWarnings(path.join(root, 'circle', 'data')), []);
    rmSync(root, { recursive: true });
  });

  it("or that lies below one of another user's, sticky or not", asRoot, () => {
    const parent = mkdtempSync(path.join(os.tmpdir(), 'parent-'));
    mkdirSync(path.join(parent, 'data'), { mode: 0o700 });
    chownSync(parent, APP.uid, APP.gid);
    chmodSync(parent, 0o1777);
    assert.match(
      sharedDirectoryWarnings(path.join(parent, 'data')).join(),
      /^\S+ belongs to user 4321, .*chown 0 \S+\)/,
    );
    rmSync(parent, { recursive: true });
  });

  it('or that belongs to another user', asRoot, () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'shared-'));
    chownSync(directory, APP.uid, APP.gid);
    assert.match(sharedDirectoryWarnings(directory).join(), /belongs to user 4321, .*chown 0/);
    rmSync(directory, { recursive: true });
  });
});
