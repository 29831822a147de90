/**
 * What our scripts use of busybox, tried in the image: an applet may be missing, lack an option, or
 * crash over one (`wget -T`).
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { metaOf } from '../../src/config/settings.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
/** Scripts that run in a Debian container while the image is built. */
const BUILD_ONLY = new Set(['assemble', 'bake']);
/** Functions of ours, and a pattern of a `case`, that are named like an applet. */
const OURS = new Set(['uptime', 'last', 'ash']);

/**
 * By applet and options as they stand in the scripts: a line of shell that succeeds where they do
 * what we need.
 */
const TRIED: Record<string, string> = {
  '[': '[ a = a ] && ! [ a = b ]',
  '[ -O': '[ -O /tmp/t ]',
  '[ -L': 'ln -s t /tmp/link && [ -L /tmp/link ] && ! [ -L /tmp/t ]',
  '[ -S':
    '! [ -S /tmp/t ] && { /usr/lib/self-update/bin/socklog -R unix /tmp/sock & until [ -S /tmp/sock ]; do sleep 0.02; done; kill $!; }',
  '[ -c': '[ -c /dev/null ] && ! [ -c /tmp/t ]',
  '[ -d': '[ -d /proc/1 ] && ! [ -d /none ]',
  '[ -e': '[ -e /proc/1 ] && ! [ -e /none ]',
  '[ -f': '[ -f /tmp/t ] && ! [ -f /tmp ]',
  '[ -k': 'mkdir /tmp/k && chmod 1777 /tmp/k && [ -k /tmp/k ] && ! [ -k /proc ]',
  '[ -n': '[ -n a ] && ! [ -n "" ]',
  '[ -p': '[ -p /tmp/fifo ] && ! [ -p /tmp/t ]',
  '[ -r': '[ -r /tmp/t ] && ! [ -r /none ]',
  '[ -t': '! [ -t 0 ]',
  '[ -w': '[ -w /tmp ] && ! [ -w /none ]',
  '[ -x': '[ -x /bin/sh ] && ! [ -x /tmp/t ]',
  '[ -z': '[ -z "" ] && ! [ -z a ]',
  awk: `echo a > /tmp/a1; [ "$(echo b a | awk 'NR == FNR { own[FNR] = $0; next } own[1] == $2 { print $1 }' /tmp/a1 -)" = b ]`,
  'awk -F, -v': `[ "$(echo a,b | awk -F, -v want=a '$1 == want { print $2 }')" = b ]`,
  'awk -v': `[ "$(echo /proc/7/fd: | awk -v lock=x '/^\\/proc\\// { split($0, part, "/"); print part[3] }')" = 7 ]`,
  cat: '[ "$(cat /tmp/t)" = text ]',
  chmod: 'chmod o+w /tmp/t && chmod g+rwx /tmp/t && chmod o+rw /tmp/t',
  'chmod -R':
    'mkdir -p /tmp/c/d && echo > /tmp/c/d/f && echo > /tmp/kept && chmod 666 /tmp/kept && ln -s /tmp/kept /tmp/c/d/l && ln -s /tmp /tmp/c/t && chmod 2775 /tmp/c/d && ' +
    'chmod -R go-rwx,g-s /tmp/c && [ "$(stat -c %a /tmp/kept)$(stat -c %a /tmp/c/d)$(stat -c %a /tmp/c/d/f)" = 666700600 ]',
  'chown -h':
    'ln -s t /tmp/own && chown -h 1:1 /tmp/own && [ "$(stat -c %u /tmp/own)$(stat -c %u /tmp/t)" = 10 ]',
  chown: 'chown 0:0 /tmp/t',
  'cut -d': '[ "$(echo a:b:c:d | cut -d : -f 3,4)" = c:d ]',
  echo: '[ "$(echo a)" = a ]',
  env: 'A=1 env | grep -q A=1',
  find: 'mkdir /tmp/f && touch /tmp/f/x && find /tmp/f -mindepth 1 -maxdepth 1 -exec rm -rf {} + && [ ! -e /tmp/f/x ]',
  grep: 'echo root:x | grep "^root:"',
  'grep -lzF': `printf 'a\\0MARK=x:\\0' > /tmp/z; [ "$(grep -lzF MARK=x: /tmp/z)" = /tmp/z ] && ! grep -lzF MARK=y: /tmp/z`,
  'grep -lzxF': `printf 'MARK=x\\0' > /tmp/zx; [ "$(grep -lzxF MARK=x /tmp/zx)" = /tmp/zx ] && ! grep -lzxF MARK /tmp/zx`,
  'grep -sHE': `[ "$(grep -sHE '^(State|PPid):' /none /proc/$$/status | wc -l)" = 2 ] && grep -sHE '^(State|PPid):' /proc/$$/status | grep -q "^/proc/$$/status:PPid:"`,
  'grep -szHE': `[ "$(printf 'A=1\\0B=2\\n3\\0' > /tmp/zh; grep -szHE '^(A|B)=' /none /tmp/zh | tr '\\n\\0' '+\\n' | tr '\\n' '|')" = '/tmp/zh:A=1|/tmp/zh:B=2+3|' ]`,
  'grep -vx -e': '[ "$(printf "update\\napp\\nmine\\n" | grep -vx -e update -e app)" = mine ]',
  'grep -zE': `[ "$(printf 'A=1\\0a.b=2\\0' | grep -zE '^[^=]*[^A-Z0-9_=][^=]*=' | tr '\\0' '\\n')" = a.b=2 ]`,
  'head -c': '[ "$(printf "a\\nb\\n" | head -c 1)" = a ]',
  kill: 'sleep 100 & kill $!',
  'kill -0': 'kill -0 $$ && ! kill -0 999999',
  'kill -ALRM': '(trap "exit 0" ALRM; kill -ALRM $(sh -c "echo \\$PPID"); exit 1)',
  'kill -HUP': 'sleep 100 & kill -HUP $!',
  'kill -KILL': 'setsid sleep 100 & until kill -KILL "-$!" 2> /dev/null; do sleep 0.02; done',
  'kill -STOP': 'sleep 100 & kill -STOP $! && kill -KILL $!',
  'ln -s': 'mkdir /tmp/l && ln -s /tmp/t /tmp/z2 /tmp/l/ && [ "$(cat /tmp/l/t)" = text ]',
  ls: '[ "$(ls /tmp/l)" ]',
  'ls -l': 'ls -l /proc/$$/fd | grep -q -- "->"',
  'ls -t': '[ "$(cd /tmp/o && ls -t | tail -n +2)" = old ]',
  mkdir: 'mkdir /tmp/d1',
  'mkdir -m': 'mkdir -m 700 /tmp/d2 /tmp/d3 && [ "$(stat -c %a /tmp/d3)" = 700 ]',
  'mkdir -p': 'mkdir -p /tmp/d4/d5',
  'mkfifo -m': 'mkfifo -m 600 /tmp/f1 /tmp/f2 && [ -p /tmp/f2 ]',
  mv: 'touch /tmp/m && mv /tmp/m /tmp/m2 && [ -e /tmp/m2 ]',
  'nc -w': 'echo question | nc -w 3 127.0.0.1 8090',
  'od -An -c -j17 -N1': `[ "$(od -An -c -j17 -N1 /tmp/status | tr -d ' ')" = u ]`,
  'od -An -tu1 -j17 -N3': `[ "$(od -An -tu1 -j17 -N3 /tmp/status | tr -s ' ')" = ' 117 0 1' ]`,
  printf: '[ "$(printf %s a)" = a ]',
  'pwd -P': '[ "$(cd -P /proc/self/cwd && pwd -P)" ]',
  readlink: 'ln -s to/where /tmp/leads && [ "$(readlink /tmp/leads)" = to/where ]',
  'readlink -f': 'ln -s /tmp /tmp/far && [ "$(readlink -f /tmp/far/x)" = /tmp/x ]',
  'find -perm':
    'mkdir -p /tmp/found/.in/deep/er && chmod -R 777 /tmp/found/.in && ' +
    '[ "$(find /tmp/found -xdev -mindepth 1 -maxdepth 2 -type d \\( ! -user 0 -o -perm /022 \\) -print | wc -l)" = 2 ]',
  'find -exec':
    'mkdir -p /tmp/plus/d && echo > /tmp/plus/.f && ln -s /tmp/plus/d /tmp/plus/l && chmod 777 /tmp/plus /tmp/plus/.f /tmp/plus/d && chown 1:1 /tmp/plus/d && ' +
    'find /tmp/plus -mindepth 1 -maxdepth 1 -user 0 ! -type l -exec chmod go-w {} + && [ "$(stat -c %a /tmp/plus/.f)$(stat -c %a /tmp/plus/d)" = 755777 ]',
  'chmod -t':
    'mkdir /tmp/unstuck && chmod 3777 /tmp/unstuck && chmod go-w,g-s,-t /tmp/unstuck && [ "$(stat -c %a /tmp/unstuck)" = 755 ]',
  rm: 'touch /tmp/r && rm /tmp/r',
  'rm -f': 'rm -f /tmp/none',
  'rm -rf': 'mkdir -p /tmp/r2/r && rm -rf /tmp/r2 && [ ! -e /tmp/r2 ]',
  sed: `[ "$(printf "it's\\n" | sed "s/'/'\\\\\\\\''/g; 1s/^/'/; \\$s/\\$/' /")" = "'it'\\\\''s' " ]`,
  'sed -n': `[ "$(printf 'UPDATE_A=1\\nB=2\\n' | sed -n 's/^\\(UPDATE_[A-Za-z0-9_]*\\)=.*/\\1/p')" = UPDATE_A ]`,
  seq: '[ "$(seq 3 | tail -n 1)" = 3 ]',
  'sh -c': 'sh -c "exit 0" sh argument',
  sleep: 'sleep 0.02',
  'sort -V': '[ "$(printf "1.9.0\\n1.10.0\\n" | sort -V | tail -n 1)" = 1.10.0 ]',
  'stat -L -c': 'ln -s t /tmp/s && [ "$(stat -L -c %d:%i /tmp/s)" = "$(stat -c %d:%i /tmp/t)" ]',
  'stat -c': '[ "$(stat -c %u /tmp/t)" = 0 ]',
  sync: 'sync',
  'tail -n': '[ "$(printf "a\\nb\\nc\\n" | tail -n 2 | tail -n +2)" = c ]',
  'tar -C':
    'mkdir /tmp/x && tar -C /tmp/l -cf /tmp/t.tar . && tar -C /tmp/x -xf /tmp/t.tar && [ -L /tmp/x/t ]',
  'timeout -s': 'timeout -s KILL 1 sleep 10; [ $? = 137 ]',
  timeout: 'timeout 2 true; timeout 1 sleep 10; [ $? -gt 128 ]',
  'touch -d': 'touch -d @0 /tmp/t && [ "$(stat -c %Y /tmp/t)" = 0 ]',
  tr: `[ "$(echo term | tr '[:lower:]' '[:upper:]')" = TERM ] && printf 'a\\nb\\0' | tr '\\n\\0' '\\001\\n' | grep -q b`,
  'tr -d': `[ "$(echo ' a ' | tr -d ' ')" = a ]`,
  'tr -s': `[ "$(echo 'a   b' | tr -s ' ')" = 'a b' ]`,
  'wc -l': '[ "$(wc -l < /tmp/t)" = 1 ]',
  'wget -q -S -Y':
    'wget -q -S -Y off -O /dev/null http://127.0.0.1:8090/t && ! wget -q -S -Y off -O /dev/null http://127.0.0.1:8090/none',
};
const PREPARED = `mkdir -p /tmp/o; touch -d @1 /tmp/o/old; touch /tmp/o/new; echo text > /tmp/t; mkfifo /tmp/fifo
printf '00000000000000000u\\0\\1' > /tmp/status; httpd -p 127.0.0.1:8090 -h /tmp`;

function scripts(): string[] {
  return ['docker', 'examples/recipes'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter(
        (entry) => entry.isFile() && !BUILD_ONLY.has(entry.name) && !entry.name.endsWith('.js'),
      )
      .map((entry) => path.join(entry.parentPath, entry.name)),
  );
}

/** Words in the place of a command that are applets, each with the options that follow. */
function used(script: string, applets: ReadonlySet<string>): string[] {
  const text = script.replaceAll(/^\s*#.*$/gm, '');
  const command =
    /(?:^|[|&;({]|\b(?:do|then|else|exec|until|while|if)\b|!|timeout \d+)[ \t]*([a-z][a-z0-9]*|\[)((?:[ \t]+-[A-Za-z0-9,]+(?![\w-]))*)/gm;
  return [...text.matchAll(command)].flatMap(([, name = '', options = '']) =>
    applets.has(name) && !OURS.has(name)
      ? [[name, ...options.split(/\s+/).filter(Boolean)].join(' ')]
      : [],
  );
}

/** Runs shell in a bare image with the PATH that our scripts give themselves. */
async function inImage(image: string, script: string): Promise<string> {
  const lib = '/usr/lib/self-update';
  const { stdout } = await docker([
    'run',
    '--rm',
    '--entrypoint',
    `${lib}/bin/busybox`,
    image,
    'sh',
    '-c',
    `export PATH="${lib}/applets:$PATH"\n${script}`,
  ]);
  return stdout;
}

describe('what our scripts use of busybox', () => {
  it('is tried here, all of it', async () => {
    const applets = new Set(
      (await inImage(IMAGES.product, 'ls /usr/lib/self-update/applets')).split('\n'),
    );
    const untried = new Set(
      scripts().flatMap((file) =>
        used(readFileSync(file, 'utf8'), applets).filter((use) => TRIED[use] === undefined),
      ),
    );
    assert.deepEqual([...untried], []);
  });

  for (const image of [IMAGES.product, IMAGES.productOnDebian])
    it(`works in ${image}`, async () => {
      const lines = Object.entries(TRIED).map(
        ([use, line]) =>
          `(${line}) > /tmp/out 2>&1 || echo '${use.replaceAll("'", '')}' "$?" "$(head -n 2 /tmp/out)"`,
      );
      assert.equal(await inImage(image, [PREPARED, ...lines].join('\n')), '');
    });

  for (const image of [IMAGES.product, IMAGES.productOnDebian])
    it(`and the documented health command does what it says in ${image}`, async () => {
      const example = metaOf('UPDATE_HEALTH_CMD').example;
      const [open, closed] = [example.replace('25565', '8090'), example.replace('25565', '8091')];
      assert.notEqual(open, example);
      assert.equal(
        await inImage(
          image,
          `httpd -p 127.0.0.1:8090 -h /tmp; ${open}; echo $?; ${closed}; echo $?`,
        ),
        '0\n1',
      );
    });
});
