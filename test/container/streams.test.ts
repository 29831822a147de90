/**
 * The app's standard streams: it may open /dev/stdout and /dev/stderr, and has the container's
 * standard input as its console.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const IMAGE = 'self-update-test:streams';
const OPENS = `#!/bin/sh
echo 'out: opened' > /dev/stdout || echo 'out: refused'
echo 'err: opened' >> /dev/stderr || echo 'err: refused'
echo 'fd: opened' > /proc/self/fd/1 || echo 'fd: refused'
[ -t 1 ] && echo 'it is a terminal'
exec sleep 1000
`;
/** A console as a game server has it: a line is a command. */
const CONSOLE = `#!/bin/sh
echo "console: up"
while read -r line; do
  case $line in
    die) exit 3 ;;
    open) read -r line < /dev/stdin ;;
  esac
  echo "console: $line"
done
echo 'console: end of input'
exec sleep 1000
`;
/** Docker's log keeps text only. */
const BYTES = Buffer.from(Array.from({ length: 128 }, (_, byte) => byte));
const BESIDE = '#!/bin/sh\necho "service: $(readlink /proc/self/fd/0)"\ncat\nexec sleep 1000\n';

const without = { UPDATE_APP_COMMAND: '/opt/console', UPDATE_ROLLBACK: 'manual' };
const has = (container: Container, text: string | RegExp) =>
  container.until(`the log has ${text}`, async () =>
    typeof text === 'string'
      ? (await container.logs()).includes(text)
      : text.test(await container.logs()),
  );

describe("the app's standard streams", { concurrency: 2 }, () => {
  before(async () => {
    const files = {
      'opt/opens': OPENS,
      'opt/bytes': BYTES,
      'opt/console': CONSOLE,
      'etc/service/beside/run': BESIDE,
    };
    await derive(IMAGES.app, IMAGE, 'COPY opt /opt\nCOPY etc /etc', files);
  });
  after(async () => {
    await docker(['rmi', '--force', IMAGE], { reject: false });
  });

  for (const profile of Object.keys(PROFILES) as Profile[])
    for (const hardening of [[], HARDENED])
      for (const terminal of [[], ['--tty']]) {
        const title = [
          profile,
          ...(hardening.length > 0 ? ['read-only, no new privileges'] : []),
          ...terminal,
        ].join(', ');
        it(`can be opened anew by it, and read by nobody else: ${title}`, async () => {
          const run = [...PROFILES[profile], ...hardening, ...terminal];
          await using container = await Container.run({
            image: IMAGE,
            run,
            env: { UPDATE_APP_COMMAND: '/opt/opens' },
          });
          for (const line of ['out: opened', 'err: opened', 'fd: opened'])
            await has(container, line);
          assert.doesNotMatch(await container.logs(), /refused/);
          if (terminal.length > 0) await has(container, 'it is a terminal');
          if (terminal.length > 0 || profile === 'one unprivileged user') return;
          // What others wrote, such as the updater, is not the app's to take.
          const modes = await container.exec([
            'stat',
            '-L',
            '-c',
            '%A',
            '/proc/1/fd/1',
            '/proc/1/fd/2',
            '/dev/null',
          ]);
          assert.deepEqual(modes.stdout.split('\n'), ['prw-----w-', 'prw-----w-', 'crw-rw-rw-']);
        });
      }

  it('pass through byte for byte, as ever', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: {
        UPDATE_APP_COMMAND: 'sh -c "cat /opt/bytes > /dev/stdout; echo end; exec sleep 1000"',
      },
    });
    await has(container, 'end');
    const { stdout } = await execa('docker', ['logs', container.name], { encoding: 'buffer' });
    assert.ok(Buffer.from(stdout).includes(BYTES));
  });

  it('are /dev/null for input where the container has none', async () => {
    await using container = await Container.run({ image: IMAGE, env: without });
    await has(container, 'console: end of input');
    await has(container, 'service: /dev/null');
  });

  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`get what is typed to docker attach, also the next copy, and no other service does: ${profile}`, async () => {
      await using container = await Container.run({
        image: IMAGE,
        run: ['--interactive', ...PROFILES[profile], ...HARDENED],
        env: without,
      });
      await has(container, 'console: up');
      await has(container, 'service: /dev/null');
      const attached = spawn('docker', ['attach', '--sig-proxy=false', container.name], {
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      attached.stdin.write('hello\nopen\nanew\n');
      await has(container, 'console: hello');
      await has(container, 'console: anew');
      attached.stdin.write('die\n');
      await has(container, /console: up[\s\S]+console: up/);
      attached.stdin.write('again\n');
      await has(container, 'console: again');
      attached.kill('SIGKILL');
      assert.equal((await container.stop()).status, 143);
    });

  it('get what is piped into docker run -i, and its end; the next copy begins with the end', async () => {
    await using container = await Container.prepare({ image: IMAGE });
    const settings = [
      'GH_USER=acme',
      'GH_REPO=app',
      `UPDATE_GH_API_URL=${container.github.url}`,
      'UPDATE_APP_COMMAND=/opt/console',
      'UPDATE_ROLLBACK=manual',
    ];
    const run = [
      'run',
      '-i',
      '--network',
      'host',
      '--name',
      container.name,
      ...settings.flatMap((setting) => ['-e', setting]),
      IMAGE,
    ];
    const running = execa('docker', run, { input: 'one\ndie\n', reject: false });
    await container.until(
      'the app is there',
      async () => (await container.inspect<string>('.State.Status').catch(() => '')) === 'running',
    );
    await has(container, /console: one[\s\S]+console: up[\s\S]+console: end of input/);
    assert.equal((await container.stop()).status, 143);
    await running;
  });

  it('are a terminal with -it: lines, Ctrl-Z, another size and Ctrl-C do what they should', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'terminal-'));
    const typescript = path.join(directory, 'typescript');
    await using container = await Container.prepare({ image: IMAGE });
    const settings = [
      'GH_USER=acme',
      'GH_REPO=app',
      `UPDATE_GH_API_URL=${container.github.url}`,
      'UPDATE_APP_COMMAND=/opt/console',
      'UPDATE_ROLLBACK=manual',
    ];
    const run = [
      'docker',
      'run',
      '-it',
      '--network',
      'host',
      '--name',
      container.name,
      ...settings.flatMap((setting) => ['-e', setting]),
      IMAGE,
    ];
    const terminal = spawn('script', ['-qf', '-c', run.join(' '), typescript], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const shows = (text: string | RegExp) =>
      container.until(
        `the terminal shows ${text}`,
        async () =>
          existsSync(typescript) && new RegExp(text).test(readFileSync(typescript, 'utf8')),
      );
    try {
      await shows('console: up');
      terminal.stdin.write('hello\r');
      await shows('console: hello');
      terminal.stdin.write('\u001a');
      terminal.stdin.write('open\ranew\r');
      await shows('console: anew');
      await container.signal('WINCH');
      terminal.stdin.write('die\r');
      await shows(/console: up[\s\S]+console: up/);
      terminal.stdin.write('again\r');
      await shows('console: again');
      terminal.stdin.write('\u0003');
      assert.equal(await container.ended(), 130);
    } finally {
      terminal.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
