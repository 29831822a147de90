/** Two environments: what the updater's process keeps, and what the app is given. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
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

const DOCKER = path.join(import.meta.dirname, '..', '..', 'docker');
const WRAPPER = path.join(DOCKER, 'self-update');

describe('the list of names that the updater keeps', () => {
  it('is the same in the shell that starts it', () => {
    const listed = [...readFileSync(WRAPPER, 'utf8').matchAll(/^ {4}(.+)\) continue ;;$/gm)].flatMap(([, names = '']) => names.split(' | '));
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
    assert.deepEqual(names.filter((name) => !name.startsWith('SELF_UPDATE_KEPT_')).sort(), ['NODE_EXTRA_CA_CERTS', 'PATH', 'UPDATE_DIR']);
  });

  it('comes through a clean start whole, with values of several lines and names that no shell can use', () => {
    assert.deepEqual(givenEnvironment(cleanEnvironment(given)), given);
  });
});

describe('what steers programs', () => {
  it('is the same in the shell that takes it from checks, and from what starts the services', () => {
    const [, loader = '', program = ''] = readFileSync(path.join(DOCKER, 'steering.sh'), 'utf8').split(/^steers_\w+\(\)/m);
    const names = (text: string, end: string): string[] =>
      [...text.matchAll(/^ {4}([A-Z_].*)\) (.*);;$/gm)].flatMap(([, list = '', does]) => (does === end ? list.split(' | ') : []));
    assert.deepEqual(names(loader, '').sort(), [...LOADER_NAMES].sort());
    assert.deepEqual(names(program, '').sort(), [...RUNTIME_NAMES].sort());
    assert.deepEqual(names(program, 'return 1 ').sort(), [...HARMLESS_NAMES].sort());
  });

  it('is not given to a command of another user, and nothing else is kept from it', () => {
    const steering = {
      ...{ NODE_OPTIONS: '--inspect', NODE_V8_COVERAGE: '/x', LD_AUDIT: '/x.so', OPENSSL_CONF: '/x', GCONV_PATH: '/x', PYTHONPATH: '/x', RUBYOPT: '-rx' },
      ...{ PERL5OPT: '-Mx', JAVA_TOOL_OPTIONS: '-javaagent:x', JDK_JAVA_OPTIONS: '-x', BASH_ENV: '/x', ENV: '/x', 'BASH_FUNC_ls%%': '() { id; }' },
    };
    const kept = { PATH: '/bin', NODE_ENV: 'production', NODE_EXTRA_CA_CERTS: '/ca', DATABASE_URL: 'x', 'spring.datasource.url': 'y\nz', ENVIRONMENT: 'live' };
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
      const searchPath = ['/usr/bin', at('apps/bin'), at('apps'), at('ours/link'), 'relative', '', '/nonexistent', '/bin'];
      assert.equal(pathWithoutApp(searchPath.join(':'), app), '/usr/bin:/bin');
      assert.match(pathWithoutApp(at('apps/bin'), app), /^\/usr\/local\/sbin:/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
