/**
 * Variables that are meant for the app act on the app in the container, and on nothing of the
 * updater's: not on a command, a loop, or a resident one.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import {
  Container,
  HARDENED,
  nativeArchive,
  PROFILES,
  type Profile,
} from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

/** Each would stop, open or change a Node that it reaches. */
const FOR_THE_APP: Record<string, string> = {
  NODE_OPTIONS: '--require=/nonexistent.js --inspect=0.0.0.0:9229',
  NODE_DEBUG: 'http,https,net,tls',
  NODE_PATH: '/nonexistent',
  NODE_TLS_REJECT_UNAUTHORIZED: '0',
  NODE_V8_COVERAGE: '/data/coverage',
  NODE_REDIRECT_WARNINGS: '/data/warnings',
  SSLKEYLOGFILE: '/data/keys',
  OPENSSL_CONF: '/nonexistent.cnf',
  UV_THREADPOOL_SIZE: '1',
  LD_LIBRARY_PATH: '/nonexistent',
  'spring.datasource.url': 'jdbc:x\ny',
  'spring.datasource.password': '',
  no_colour: '',
  NODE_ENV: 'production',
  LD_BIND_NOW: '1',
  GCONV_PATH: '/nonexistent',
  MALLOC_ARENA_MAX: '2',
  TZDIR: '/nonexistent',
  PYTHONSTARTUP: '/nonexistent.py',
  JAVA_TOOL_OPTIONS: '-Xmx64m',
  BASH_ENV: '/nonexistent.sh',
  ENV: '/nonexistent.sh',
  PS4: '$(touch /data/ps4)',
  // What shells set themselves, or use for their own ends.
  IFS: '/',
  CDPATH: '/data/app',
  PWD: '/somewhere',
  OLDPWD: '/elsewhere',
  OPTIND: '9',
  PPID: '7',
  SHLVL: '5',
  _: 'under',
  name: 'low',
  kept: '3',
  dropped: 'x',
};
/** Those that no command of root's is to have. */
const STEERS =
  /^(?:NODE_(?!ENV)|LD_|GCONV_PATH|MALLOC_|TZDIR|PYTHON|JAVA_TOOL|BASH_ENV|ENV$|PS4|IFS|CDPATH|OPENSSL_|UV_|SSLKEYLOGFILE)/;
/** Set by the shell in which a hook runs. */
const SHELLS_OWN = new Set(['PWD', 'OLDPWD', 'OPTIND', 'PPID', 'SHLVL', '_', 'IFS', 'PS4']);
const environOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));

describe("the app's variables", { concurrency: 2 }, () => {
  for (const profile of Object.keys(PROFILES) as Profile[]) {
    it(`do not stop an update; the app gets exactly them, and hooks and checks those that steer no program of root's (${profile})`, async () => {
      const seen = (name: string): string => `env -0 > /data/${name}`;
      await using container = await Container.run({
        env: {
          ...FOR_THE_APP,
          UPDATE_POST_UPDATE_CMD: seen('hook'),
          UPDATE_HEALTH_CMD: seen('health'),
          UPDATE_NOTIFY_CMD: seen('notice'),
        },
        run: PROFILES[profile],
      });
      await container.fact('versionBecameHealthy');
      await container.publish('0.0.2');
      const { exitCode, stderr } = await container.command('update');
      assert.equal(exitCode, 0, stderr);
      await container.answers('0.0.2');
      assert.equal((await container.status()).version, '0.0.2');
      const { stdout: checked, exitCode: health } = await container.exec(
        ['/usr/lib/self-update/healthcheck'],
        ['--env', 'UPDATE_HEALTH_CMD=env -0'],
      );
      assert.equal(health, 0, checked);

      const app = environOf(await container.processOf(/\/app(?: |$)/)).sort();
      const ours = /^(?:PATH|HOME|HOSTNAME|SELF_UPDATE_APP|GH_USER|GH_REPO|SLEEP|SVWAIT|PORT)=/;
      const given = Object.entries(FOR_THE_APP).map(([name, value]) => `${name}=${value}`);
      assert.deepEqual(
        app.filter((variable) => !ours.test(variable)),
        given.sort(),
      );
      const separates = profile !== 'one unprivileged user';
      const commands = new Map([['the health check of the image', checked]]);
      for (const name of ['hook', 'health', 'notice'])
        commands.set(name, (await container.exec(['cat', `/data/${name}`])).stdout);
      for (const [command, text] of commands) {
        const variables = text.split('\0').filter(Boolean);
        for (const [name, value] of Object.entries(FOR_THE_APP)) {
          // A shell drops names that are none.
          if (name.includes('.') || SHELLS_OWN.has(name) || /^(?:name|kept|dropped)$/.test(name))
            continue;
          const isLeftOut = separates && STEERS.test(name);
          assert.equal(variables.includes(`${name}=${value}`), !isLeftOut, `${name} in ${command}`);
        }
        assert.ok(
          !variables.some((variable) => /^SELF_UPDATE_KEPT_|^UPDATE_GH/.test(variable)),
          command,
        );
      }
      const { stdout } = await container.exec(['ls', '/data']);
      assert.doesNotMatch(stdout, /coverage|warnings|keys$|ps4/m);
      assert.doesNotMatch(await container.logs(), /^(?:HTTP|NET|TLS) \d+:|Debugger listening/m);
    });
  }

  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`are given to it as long as the kernel allows, and by names that we use; updates go on (${profile})`, async () => {
      const long = 'x'.repeat(131_050);
      const named = {
        SELF_UPDATE_KEPT_1: 'PATH=/evil',
        SELF_UPDATE_GIVEN_1: 'PATH=/evil',
        SELF_UPDATE_GIVEN_0: 'HOME=/evil',
        SELF_UPDATE_GIVEN_9: 'x',
      };
      await using container = await Container.run({
        env: { BIG: long, ...named, LD_LIBRARY_PATH: '/nonexistent' },
        run: PROFILES[profile],
      });
      await container.answers('0.0.1');
      await container.publish('0.0.2');
      const { exitCode, stderr } = await container.command('update');
      assert.equal(exitCode, 0, stderr);
      await container.answers('0.0.2');
      assert.match(
        await container.logs(),
        /^self-update: the variable BIG is too long to be handed on to hooks and health commands/m,
      );
      const app = environOf(await container.processOf(/\/app(?: |$)/));
      for (const [name, value] of Object.entries({
        BIG: long,
        ...named,
        LD_LIBRARY_PATH: '/nonexistent',
      }))
        assert.ok(app.includes(`${name}=${value}`), `${name} of the app`);
      assert.deepEqual(
        app.filter((variable) => /^(?:PATH|HOME)=\/evil/.test(variable)),
        [],
      );
    });

  it('are not in the environment of a resident updater', async () => {
    await using container = await Container.run({
      env: { ...FOR_THE_APP, LD_PRELOAD: '/nonexistent.so', UPDATE_HTTP_ADDR: '127.0.0.1:0' },
    });
    await container.fact('versionBecameHealthy');
    const names = environOf(await container.processOf(/^self-update run/)).map(nameOf);
    assert.deepEqual(
      names.filter((name) => name in FOR_THE_APP || name === 'LD_PRELOAD'),
      [],
    );
    assert.ok(names.includes('SELF_UPDATE_KEPT_1') && names.includes('UPDATE_GH_API_URL'));
  });
});

describe('variables by names that a shell sets itself (IFS, OPTIND)', () => {
  it('are given to the app, and crash nothing that looks for its processes', async () => {
    await using container = await Container.run({ env: { IFS: 'd/', OPTIND: '7' } });
    await container.answers('0.0.1');
    assert.match((await container.ask('/environment')) ?? '', /^IFS=d\/$/m);
    assert.equal((await container.stop()).status, 143);
    assert.doesNotMatch(await container.logs(), /Segmentation fault|is killed/);
  });
});

describe('a library that the app can change, named by LD_PRELOAD', { concurrency: 2 }, () => {
  let directory: string;
  before(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'preload-'));
    chmodSync(directory, 0o755);
    const source = `#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
  char program[200] = "";
  if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) return;
  int file = open("/data/app/loaded", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (file >= 0) dprintf(file, "%d %s\\n", (int)getuid(), program), close(file);
}
`;
    writeFileSync(path.join(directory, 'x.cpp'), source);
    await execa('g++', ['-shared', '-fPIC', '-o', 'x.so', 'x.cpp'], { cwd: directory });
  });
  after(() => rmSync(directory, { recursive: true }));

  for (const profile of ['root', 'root with four capabilities'] as const)
    for (const hardening of [[], HARDENED])
      it(`is loaded by the app, and by nothing of root's (${profile}${hardening.length > 0 ? ', read-only' : ''})`, async () => {
        const LD_PRELOAD = '/opt/x.so';
        await using container = await Container.run({
          env: {
            LD_PRELOAD,
            UPDATE_HEALTH_CMD: 'date',
            UPDATE_POST_UPDATE_CMD: 'date',
            UPDATE_PRE_STOP_CMD: '/usr/lib/self-update/bin/env true',
          },
          run: [
            ...PROFILES[profile],
            ...hardening,
            '--volume',
            `${path.join(directory, 'x.so')}:${LD_PRELOAD}:ro`,
          ],
        });
        await container.fact('versionBecameHealthy');
        await container.publish('0.0.2');
        assert.equal((await container.command('update')).exitCode, 0);
        await container.answers('0.0.2');
        assert.equal((await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 0);
        assert.equal((await container.command('restart')).exitCode, 0);
        await container.answers('0.0.2');
        const lines = (await container.exec(['cat', '/data/app/loaded'])).stdout.split('\n');
        assert.deepEqual(
          lines.filter((line) => !line.startsWith('1000 ')),
          [],
        );
        assert.ok(
          lines.some((line) => /^1000 \/data\/self-update\/releases\/.*\/app$/.test(line)),
          lines.join(),
        );
      });
});

describe('a further service of the operator', () => {
  it("is started without the loader's variables where it is root's, and gets them where it asks for them", async () => {
    const service = (name: string, prefix: string): string =>
      `#!/bin/sh\n${prefix} env > /data/${name}\nexec sleep 4000\n`;
    await derive(
      IMAGES.app,
      'self-update-test:asking',
      'COPY . /etc/service/\nRUN rm /etc/service/Dockerfile',
      {
        'plain/run': service('plain', ''),
        'asking/run': service('asking', 'chpst -e /run/self-update/private/app.environment'),
      },
    );
    await using container = await Container.run({
      image: 'self-update-test:asking',
      env: { LD_LIBRARY_PATH: '/opt/lib', NODE_ENV: 'production' },
    });
    const seen = async (name: string) => (await container.exec(['cat', `/data/${name}`])).stdout;
    for (const name of ['plain', 'asking'])
      await container.until(`${name} runs`, async () =>
        /^NODE_ENV=production$/m.test(await seen(name)),
      );
    assert.doesNotMatch(await seen('plain'), /^LD_/m);
    assert.match(await seen('asking'), /^LD_LIBRARY_PATH=\/opt\/lib$/m);
  });
});

describe("a PATH that begins with the app's directory", () => {
  it('does not have root run what the app put there', async () => {
    const tools = ['xz', 'sync', 'timeout', 'sleep', 'cat', 'date', 'env'];
    const env = {
      PATH: '/data/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      UPDATE_ASSET: 'app.tar.xz',
    };
    await using container = await Container.run({ env });
    await container.fact('versionBecameHealthy');
    const plant = `mkdir /data/app/bin && cd /data/app/bin && for tool in ${tools.join(' ')}; do
      printf '#!/bin/sh\\n/bin/id -u >> /data/app/ran\\nexec /bin/%s "$@"\\n' "$tool" > "$tool" && chmod +x "$tool"; done`;
    const planted = await container.exec(
      ['/bin/sh', '-c', plant],
      ['--user', '1000:1000', '--env', 'PATH=/bin'],
    );
    assert.equal(planted.exitCode, 0, planted.stderr);
    const { stdout } = await execa('bash', ['-c', 'gunzip | xz'], {
      input: await nativeArchive('0.0.2'),
      encoding: 'buffer',
    });
    container.github.publish('v0.0.2', { 'app.tar.xz': Buffer.from(stdout) });
    await container.signal('HUP');
    await container.answers('0.0.2');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal((await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 0);
    assert.equal((await container.exec(['/bin/cat', '/data/app/ran'])).stdout, '');
  });
});

describe('TZ that names a FIFO of the app’s', { concurrency: 2 }, () => {
  for (const [profile, TZ] of [
    ['root', '/data/app/zone'],
    ['root with four capabilities', ':../../../data/app/zone'],
  ] as const)
    it(`holds no program of root's: ${TZ} (${profile})`, { timeout: 120_000 }, async () => {
      const env = {
        TZ,
        SLEEP: '3600',
        UPDATE_POST_UPDATE_CMD: 'date > /data/hook',
        UPDATE_HEALTH_CMD: 'date',
        UPDATE_NOTIFY_CMD: 'date > /data/notice',
      };
      await using container = await Container.run({ env, run: PROFILES[profile] });
      await container.fact('versionBecameHealthy');
      assert.equal(
        (await container.exec(['mkfifo', '/data/app/zone'], ['--user', '1000:1000'])).exitCode,
        0,
      );
      assert.notEqual(
        (await container.exec(['timeout', '2', 'date'])).exitCode,
        0,
        'it would hold one that has it (negative control)',
      );
      await container.publish('0.0.2');
      const { exitCode, stderr } = await container.command('update');
      assert.equal(exitCode, 0, stderr);
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await container.until(
        'the hook and the notice had their time',
        async () =>
          (await container.exec(['test', '-s', '/data/hook', '-a', '-s', '/data/notice']))
            .exitCode === 0,
      );
      assert.equal((await container.command('status')).exitCode, 0);
      assert.equal((await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 0);
      // Once more where it is there from the first instruction on.
      await container.stop();
      await container.start();
      await container.answers('0.0.2');
      assert.equal((await container.command('check')).exitCode, 0);
    });
});
