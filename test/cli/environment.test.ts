/** Two environments: what the updater's process keeps, and what the app is given. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  appEnvironment,
  cleanEnvironment,
  givenEnvironment,
  HARMLESS_NAMES,
  LOADER_NAMES,
  OWN_NAMES,
  pathWithoutApp,
  RUNTIME_NAMES,
  withoutSteering,
} from '../../src/cli/environment.ts';
import { settingNames } from '../../src/config/settings.ts';
import { missing } from '../support/tools.ts';

const DOCKER = path.join(import.meta.dirname, '..', '..', 'docker');
const WRAPPER = path.join(DOCKER, 'self-update');

describe('the list of names that the updater keeps', () => {
  it('is the same in the shell that starts it', () => {
    const listed = [
      ...readFileSync(WRAPPER, 'utf8').matchAll(/^ {4}(.+)\) continue ;;$/gm),
    ].flatMap(([, names = '']) => names.split(' | '));
    assert.deepEqual(listed.sort(), [...OWN_NAMES].sort());
  });

  it('has every setting', () => {
    const all = Object.fromEntries(settingNames.map((name) => [name, 'x']));
    assert.deepEqual(cleanEnvironment(all), all);
  });
});

describe('an environment', () => {
  const given = {
    PATH: '/bin',
    UPDATE_DIR: '/data',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    NODE_OPTIONS: '--inspect=0.0.0.0:9229',
    LD_PRELOAD: '/x.so',
    'spring.datasource.url': 'jdbc:x=y\nz',
    EMPTY: '',
  };

  it('of a clean start has no name that is not on the list', () => {
    const names = Object.keys(cleanEnvironment(given));
    assert.deepEqual(names.filter((name) => !name.startsWith('SELF_UPDATE_KEPT_')).sort(), [
      'NODE_EXTRA_CA_CERTS',
      'PATH',
      'UPDATE_DIR',
    ]);
  });

  const zoneOfCheck = (zone: string): string => {
    assert.match(
      readFileSync(path.join(DOCKER, 'healthcheck'), 'utf8'),
      /app\.user.*drop_variables steers_program && drop_zone/,
    );
    const script = '. "$1"; drop_zone; [ -n "$TZ" ] || TZ=none; printf %s "$TZ"';
    return spawnSync('/bin/sh', ['-c', script, 'sh', path.join(DOCKER, 'steering.sh')], {
      env: { TZ: zone },
      encoding: 'utf8',
    }).stdout;
  };

  for (const zone of [':/data/app/fifo', '/data/app/fifo', '../../data/app/fifo', ':UTC'])
    it(`keeps from root the time zone ${zone}, a file that the app may have put there, and hands it on to the app`, () => {
      const clean = cleanEnvironment({ ...given, TZ: zone });
      assert.equal(clean['TZ'], undefined);
      assert.equal(givenEnvironment(clean)['TZ'], zone);
      assert.equal(withoutSteering({ TZ: zone })['TZ'], undefined);
      assert.equal(zoneOfCheck(zone), 'none', 'nor does the health check of the image have it');
    });

  for (const zone of ['Europe/Berlin', 'Etc/GMT+3', 'America/Port-au-Prince'])
    it(`keeps the time zone ${zone}`, () => {
      assert.equal(cleanEnvironment({ TZ: zone })['TZ'], zone);
      assert.equal(zoneOfCheck(zone), zone);
    });

  it('comes through a clean start whole, with values of several lines and names that no shell can use', () => {
    assert.deepEqual(givenEnvironment(cleanEnvironment(given)), given);
  });
});

describe('what steers programs', () => {
  it('is the same in the shell that takes it from checks, and from what starts the services', () => {
    const [, loader = '', program = ''] = readFileSync(
      path.join(DOCKER, 'steering.sh'),
      'utf8',
    ).split(/^steers_\w+\(\)/m);
    const names = (text: string, end: string): string[] =>
      [...text.matchAll(/^ {4}([A-Z_].*)\) (.*);;$/gm)].flatMap(([, list = '', does]) =>
        does === end ? list.split(' | ') : [],
      );
    assert.deepEqual(names(loader, '').sort(), [...LOADER_NAMES].sort());
    assert.deepEqual(names(program, '').sort(), [...RUNTIME_NAMES].sort());
    assert.deepEqual(names(program, 'return 1 ').sort(), [...HARMLESS_NAMES].sort());
  });

  it('is not given to a command of another user, and nothing else is kept from it', () => {
    const steering = {
      ...{
        NODE_OPTIONS: '--inspect',
        NODE_V8_COVERAGE: '/x',
        LD_AUDIT: '/x.so',
        OPENSSL_CONF: '/x',
        GCONV_PATH: '/x',
        PYTHONPATH: '/x',
        RUBYOPT: '-rx',
      },
      ...{
        PERL5OPT: '-Mx',
        JAVA_TOOL_OPTIONS: '-javaagent:x',
        JDK_JAVA_OPTIONS: '-x',
        BASH_ENV: '/x',
        ENV: '/x',
        'BASH_FUNC_ls%%': '() { id; }',
      },
    };
    const kept = {
      PATH: '/bin',
      NODE_ENV: 'production',
      NODE_EXTRA_CA_CERTS: '/ca',
      DATABASE_URL: 'x',
      'spring.datasource.url': 'y\nz',
      ENVIRONMENT: 'live',
    };
    assert.deepEqual(withoutSteering({ ...steering, ...kept }), kept);
  });
});

describe('a PATH for root', () => {
  const app = { uid: 1000, gid: 1000 };

  it('has no directory that the app can change, by its name or by where it leads', () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'path-'));
    // A directory of the machine's that everybody may write to is above: what counts here is below.
    const at = (name: string): string => path.join(root, name);
    try {
      for (const name of ['ours', 'apps', 'apps/bin']) mkdirSync(at(name));
      if (process.getuid?.() === 0) chownSync(at('apps'), app.uid, app.gid);
      else chmodSync(at('apps'), 0o777);
      symlinkSync(at('apps/bin'), at('ours/link'));
      const searchPath = [
        '/usr/bin',
        at('apps/bin'),
        at('apps'),
        at('ours/link'),
        'relative',
        '',
        '/nonexistent',
        '/bin',
      ];
      assert.equal(pathWithoutApp(searchPath.join(':'), app), '/usr/bin:/bin');
      assert.match(pathWithoutApp(at('apps/bin'), app), /^\/usr\/local\/sbin:/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('has no link that leads through a directory of the app, wherever it ends', {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, () => {
    // Not below /tmp, where everything is within reach.
    const root = mkdtempSync('/opt/path-');
    const at = (name: string): string => path.join(root, name);
    try {
      for (const name of ['ours', 'ours/bin', 'apps']) mkdirSync(at(name));
      chownSync(at('apps'), app.uid, app.gid);
      symlinkSync('/usr/bin', at('apps/hop'));
      symlinkSync('../apps/hop', at('ours/through'));
      symlinkSync('bin', at('ours/fine'));
      const searchPath = [at('ours/through'), at('ours/fine'), '/usr/bin'];
      assert.equal(pathWithoutApp(searchPath.join(':'), app), `${at('ours/fine')}:/usr/bin`);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('the shell that starts the updater', { skip: missing('busybox') }, () => {
  // What it would start prints its environment instead.
  const script = readFileSync(WRAPPER, 'utf8').replace(/^exec .*$/m, 'exec /usr/bin/env -0');
  const given = (
    variables: Record<string, string>,
  ): { environment: Record<string, string>; stderr: string } => {
    const { stdout, stderr, status, error } = spawnSync('busybox', ['sh', '-c', script], {
      env: variables,
      encoding: 'utf8',
      maxBuffer: 1e7,
    });
    assert.deepEqual([status, error], [0, undefined], stderr);
    const pairs = stdout.split('\0').filter((pair) => pair !== '');
    const environment = givenEnvironment(
      Object.fromEntries(
        pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
      ),
    );
    return { environment, stderr };
  };

  it('starts it with a variable as long as the kernel allows, and says that hooks go without it', () => {
    const { environment, stderr } = given({ BIG: 'x'.repeat(131_060), OTHER: 'y' });
    assert.equal(environment['OTHER'], 'y');
    assert.equal(environment['BIG'], undefined);
    assert.match(stderr, /^self-update: the variable BIG is too long/);
  });

  it('counts its bytes, whatever the locale', () => {
    for (const locale of ['C', 'C.UTF-8']) {
      const { environment, stderr } = given({
        LC_ALL: locale,
        BIG: 'é'.repeat(65_527),
        FITS: 'é'.repeat(65_500),
      });
      assert.equal(environment['BIG'], undefined);
      assert.equal(environment['FITS']?.length, 65_500);
      assert.match(stderr, /^self-update: the variable BIG is too long/);
    }
  });

  it('takes a variable that is named like its own values for what it is', () => {
    const variables = {
      FIRST: '1',
      SECOND: '2',
      SELF_UPDATE_KEPT_1: 'PATH=/evil',
      SELF_UPDATE_KEPT_9: 'x',
    };
    const { environment } = given(variables);
    for (const [name, value] of Object.entries(variables)) assert.equal(environment[name], value);
    assert.notEqual(environment['PATH'], '/evil');
  });
});

describe('what the app is given', () => {
  it("is the whole environment but the updater's variables", () => {
    assert.deepEqual(
      appEnvironment({
        PORT: '80',
        GH_USER: 'acme',
        UPDATE_GH_TOKEN: 'secret',
        EMPTY: '',
        UNSET: undefined,
      }),
      {
        PORT: '80',
        GH_USER: 'acme',
        EMPTY: '',
      },
    );
  });
});
