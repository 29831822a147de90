/** UPDATE_LISTEN is read by a shell (docker/listen.sh) and by src/config/listen.ts: alike. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseHeldSockets } from '../../src/config/listen.ts';

const LISTEN_SH = path.join(import.meta.dirname, '..', '..', 'docker', 'listen.sh');
const SCRIPT = `set -u
. "$1"
if read_sockets "$2"; then printf '%s\\n' "$names" "$ports"; printf %s "$sockets"
else echo "$problem"; exit 1; fi`;

/** What each reader says, in one form: names, ports, and a line for each socket; or what is wrong. */
function inShell(text: string): string {
  const { stdout, stderr } = spawnSync('/bin/dash', ['-c', SCRIPT, 'sh', LISTEN_SH, text], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  return stdout.trimEnd();
}

function inTypeScript(text: string): string {
  const sockets = parseHeldSockets(text);
  if (typeof sockets === 'string') return sockets;
  const of = (word: 'name' | 'port') => sockets.map((socket) => socket[word]).join(':');
  const places = sockets.map(({ address, port }) => `${address} ${port}`);
  return [of('name'), of('port'), ...places].join('\n').trimEnd();
}

const notOne = (word: string) => `has "${word}", which is not [NAME=][ADDRESS:]PORT`;

/** The text, and what is read out of it. */
const READ: Record<string, string> = {
  '': '',
  ' , ': '',
  '8080': '8080\n8080\n0.0.0.0 8080',
  '1': '1\n1\n0.0.0.0 1',
  '65535': '65535\n65535\n0.0.0.0 65535',
  'web=8080': 'web\n8080\n0.0.0.0 8080',
  'web=0.0.0.0:8080 admin=127.0.0.1:9000 [::]:8443':
    'web:admin:8443\n8080:9000:8443\n0.0.0.0 8080\n127.0.0.1 9000\n:: 8443',
  '8080,8081': '8080:8081\n8080:8081\n0.0.0.0 8080\n0.0.0.0 8081',
  '\t8080\n,\r\n 8081 ': '8080:8081\n8080:8081\n0.0.0.0 8080\n0.0.0.0 8081',
  'a.b-c_D=255.255.255.255:1': 'a.b-c_D\n1\n255.255.255.255 1',
  '[::1]:80': '80\n80\n::1 80',
  'x=[fe80::1]:80 y=[::1]:80': 'x:y\n80:80\nfe80::1 80\n::1 80',
  '[1:2:3:4:5:6:7:8]:80': '80\n80\n1:2:3:4:5:6:7:8 80',
  '[1:2:3:4:5:6:7::]:80': '80\n80\n1:2:3:4:5:6:7:: 80',
  '[ABCD:ef01::]:80': '80\n80\nABCD:ef01:: 80',
  'one=127.0.0.1:80 two=127.0.0.2:80': 'one:two\n80:80\n127.0.0.1 80\n127.0.0.2 80',
  '1 2 3 4 5': '1:2:3:4:5\n1:2:3:4:5\n0.0.0.0 1\n0.0.0.0 2\n0.0.0.0 3\n0.0.0.0 4\n0.0.0.0 5',
};
const REFUSED: Record<string, string> = {
  '1 2 3 4 5 6': 'names more than 5 sockets',
  '8080 8080': 'has port 8080 twice at the same address',
  'a=8080 b=0.0.0.0:8080': 'has port 8080 twice at the same address',
  'a=[::1]:8080 b=[::1]:8080': 'has port 8080 twice at the same address',
  'a=8080 a=8081': 'has the name "a" twice',
  '8080 [::]:8080': 'has the name "8080" twice',
  '9=8080 9': 'has the name "9" twice',
};
const WRONG = [
  ...['0', '00', '08080', '65536', '99999', '123456', '-1', '+80', '8080x', '0x50', '80.0', 'web'],
  ...['=8080', 'a=', 'a=b=80', 'ä=80', 'a/b=80', 'a:b=80', '*', '?', '[a-z]*'],
  ...[':80', '1.2.3:80', '1.2.3.4.5:80', '1.2.3.256:80', '01.2.3.4:80', '1.2.3.:80', '.1.2.3:80'],
  ...[
    'localhost:80',
    '::1:80',
    '[::1]',
    '[::1]80',
    '[]:80',
    '[1.2.3.4]:80',
    '[::1%lo]:80',
    '[::1:80',
  ],
  ...['::1]:80', '[:]:80', '[:1]:80', '[1:]:80', '[:::]:80', '[1::2::3]:80', '[12345::]:80'],
  ...['[1:2:3:4:5:6:7]:80', '[1:2:3:4:5:6:7:8:9]:80', '[1::2:3:4:5:6:7:8]:80', '[g::]:80'],
  ...['[::ffff:1.2.3.4]:80', '127.0.0.1:', '$(id):80', '`id`', '"80"', "'80'", '80;81', '80\\'],
];

describe('UPDATE_LISTEN', () => {
  for (const [text, expected] of Object.entries({ ...READ, ...REFUSED }))
    it(`is read alike by both: ${JSON.stringify(text)}`, () => {
      assert.equal(inTypeScript(text), expected);
      assert.equal(inShell(text), expected);
    });

  for (const text of WRONG)
    it(`is refused alike by both: ${JSON.stringify(text)}`, () => {
      assert.equal(inTypeScript(text), notOne(text));
      assert.equal(inShell(text), notOne(text));
    });
});
