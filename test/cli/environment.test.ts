/** Two environments: what the updater's process keeps, and what the app is given. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { cleanEnvironment, givenEnvironment, OWN_NAMES } from '../../src/cli/environment.ts';
import { settingNames } from '../../src/config/settings.ts';

const WRAPPER = path.join(import.meta.dirname, '..', '..', 'docker', 'self-update');

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
