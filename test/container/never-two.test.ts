/**
 * What a version leaves behind never runs beside the next one, whatever it did to the signs by
 * which it is found.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { archive } from '../support/app.ts';
import { Container, PROFILES } from '../support/docker/container.ts';

/**
 * A leader, and a daemon in a session of its own; both overwrite their environment, as programs do
 * that set a long title.
 */
const TITLED = `#include <cstring>
#include <unistd.h>
extern char **environ;
int main() {
  for (char **one = environ; *one; one++) memset(*one, 0, strlen(*one));
  if (fork() == 0) setsid();
  for (;;) pause();
}
`;

async function titledArchive(version: string): Promise<Buffer> {
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'titled-')), 'app');
  await execa('g++', ['-x', 'c++', '-o', file, '-'], { input: TITLED });
  return archive({
    VERSION: { content: `${version}\n` },
    app: { content: readFileSync(file), mode: 0o755 },
  });
}

describe('an app that overwrites its environment, with a daemon that leaves its group', {
  concurrency: 2,
}, () => {
  for (const profile of ['root', 'one unprivileged user'] as const) {
    it(`is gone when the next version starts, under an UPDATE_DIR with // and letters of another alphabet (${profile})`, async () => {
      await using container = await Container.run({
        env: { UPDATE_DIR: '/data//größe/' },
        run: PROFILES[profile],
      });
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.1');
      container.github.publish('v0.0.2', {
        'app_0.0.2_linux_amd64.tar.gz': await titledArchive('0.0.2'),
      });
      assert.equal((await container.command('update')).exitCode, 0);
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      const titled = async () =>
        (await container.processes()).filter(({ command }) => command.includes('/releases/0.0.2'));
      assert.equal((await titled()).length, 2);
      await container.publish('0.0.3');
      assert.equal((await container.command('update')).exitCode, 0);
      await container.answers('0.0.3');
      assert.deepEqual(await titled(), []);
    });
  }
});

describe("a volume that can't lock files (ENOLCK injected at flock(2) of the container's tools, by /etc/ld.so.preload)", () => {
  it('is told as that, and not as a second updater; the app runs', async () => {
    const library = path.join(mkdtempSync(path.join(os.tmpdir(), 'nolock-')), 'nolock.so');
    const source = `#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <unistd.h>
extern "C" int flock(int fd, int) {
  char link[64], target[PATH_MAX] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, "loop.lock")) return errno = ENOLCK, -1;
  return 0;
}
`;
    await execa('g++', ['-x', 'c++', '-shared', '-fPIC', '-o', library, '-'], { input: source });
    // LD_PRELOAD does not reach programs of root's.
    const preload = path.join(path.dirname(library), 'ld.so.preload');
    writeFileSync(preload, '/nolock.so\n');
    await using container = await Container.run({
      run: ['--volume', `${library}:/nolock.so:ro`, '--volume', `${preload}:/etc/ld.so.preload:ro`],
    });
    await container.answers('0.0.1');
    await container.until('it is told', async () =>
      /can't lock files \(no locks available\).*\[NO_LOCKS\]/.test(await container.logs()),
    );
    assert.doesNotMatch(await container.logs(), /another updater/);
  });
});

describe("two containers that see each other's processes", () => {
  it('leave the app of the other one alone, when they restart and stop their own', async () => {
    await using first = await Container.run();
    await first.fact('versionBecameHealthy');
    await using second = await Container.run({ run: ['--pid', `container:${first.name}`] });
    await second.fact('versionBecameHealthy');
    const own = async () =>
      (await first.exec(['cat', '/run/self-update/private/app.started'])).stdout;
    const before = await own();
    assert.equal((await second.command('restart')).exitCode, 0);
    await second.stop();
    assert.equal(await own(), before);
    await first.answers('0.0.1');
  });
});
