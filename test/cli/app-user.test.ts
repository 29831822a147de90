/**
 * Who the app is, by UPDATE_APP_USER, as docker/init reads it: no slip makes it root, and what was
 * fine goes on to be.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { missing } from '../support/tools.ts';

const INIT = readFileSync(path.join(import.meta.dirname, '..', '..', 'docker', 'init'), 'utf8');
const READ_USER = /^read_user\(\) \{$[\s\S]*?^\}$/m.exec(INIT)?.[0] ?? '';

/** Null: refused. */
const USERS: Record<string, string | null> = {
  '1000': '1000:1000',
  '1000:': '1000:1000',
  '1000:1001': '1000:1001',
  '1000:0': '1000:0',
  '1000:1000:44': '1000:1000:44',
  '4294967294': '4294967294:4294967294',
  '0': '0:0',
  '0:0': '0:0',
  root: '0:0',
  daemon: '1:1',
  'daemon:daemon': '1:1',
  '00': null,
  '00:0': null,
  '0:': null,
  '0:00': null,
  '000000000000': null,
  '0x0': null,
  '+0': null,
  '-0': null,
  ' 0': null,
  '0 ': null,
  '0\n': null,
  '4294967295': null,
  '4294967296': null,
  '18446744073709551616': null,
  '1000:01': null,
  '1000::0': null,
  ':0': null,
  ':': null,
  'r..t': null,
  '.*': null,
  'r*': null,
  none: null,
};

describe('the user of the app', { skip: missing('busybox') }, () => {
  for (const [given, expected] of Object.entries(USERS))
    it(`${JSON.stringify(given)} ${expected === null ? 'is refused' : `is ${expected}`}`, () => {
      assert.notEqual(READ_USER, '');
      const script = `set -u\n${READ_USER}\nread_user "$1" && printf %s "$user"`;
      const { status, stdout, stderr } = spawnSync('busybox', ['sh', '-c', script, 'sh', given], {
        encoding: 'utf8',
      });
      assert.equal(stderr, '');
      assert.equal(status === 0 ? stdout : null, expected);
    });
});
