/**
 * A version hides a process that is to outlive it and kill each newer one. What is not the app's
 * own is left alone.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, HARDENED, nativeArchive, PROFILES } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

/**
 * Starts `server`, the suite's app, and hides a process by HIDE: its parent ends, it has a session
 * and group of its own, no environment, no descriptor. It kills whatever runs from the tree of
 * 0.0.3.
 */
const HIDER = `#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void kill_newer() {
  DIR *proc = opendir("/proc");
  while (dirent *entry = readdir(proc)) {
    int pid = atoi(entry->d_name);
    char line[512] = {}, file[64];
    if (pid < 2) continue;
    snprintf(file, sizeof file, "/proc/%d/cmdline", pid);
    int fd = open(file, O_RDONLY);
    if (fd < 0) continue;
    if (read(fd, line, sizeof line - 1) > 0 && strstr(line, "/releases/0.0.3")) kill(pid, SIGKILL);
    close(fd);
  }
  closedir(proc);
}
static void *lurk(void *) { for (;;) { kill_newer(); usleep(500); } }
int main(int argc, char **argv) {
  if (strcmp(argv[0], "hidden") == 0) {
    std::string how = argv[1];
    prctl(PR_SET_NAME, "hidden");
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    if (how == "without its first thread") { pthread_t other; pthread_create(&other, nullptr, lurk, nullptr); pthread_exit(nullptr); }
    if (how == "many at once, each always in another pid") for (int i = 0; i < 3; i++) fork();
    if (how.find("always in another pid") != std::string::npos) for (int hop = 1;; hop++) { if (fork() > 0) _exit(0); if (hop % 300 == 0) kill_newer(); }
    if (how == "in twos that replace each other")
      for (;;) if (fork() == 0) { pid_t parent = getppid(); setsid(); while (getppid() == parent) { kill_newer(); usleep(200); } } else { int status; signal(SIGCHLD, SIG_DFL); wait(&status); }
    lurk(nullptr);
  }
  std::string tree(argv[0], strrchr(argv[0], '/') - argv[0]), self = tree + "/app", server = tree + "/server";
  const char *how = getenv("HIDE");
  bool sister = how && strcmp(how, "as a sister of the app") == 0;
  if (how) {
    pid_t child = sister ? syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr) : fork();
    if (child == 0) {
      setsid();
      if (!sister && fork() > 0) _exit(0);
      setsid();
      for (int fd = 0; fd < 1024; fd++) close(fd);
      const char *arguments[] = {"hidden", how, nullptr}, *none[] = {nullptr};
      execve(self.c_str(), (char **)arguments, (char **)none);
      _exit(1);
    }
    if (!sister) waitpid(child, nullptr, 0);
  }
  argv[0] = (char *)server.c_str();
  execv(server.c_str(), argv);
  return 1;
}
`;
const WAYS = [
  'behind a parent that ended',
  'as a sister of the app',
  'without its first thread',
  'in twos that replace each other',
  'always in another pid',
  'many at once, each always in another pid',
];
const IMAGE = 'self-update-test:same-user';
/** A service that runs as the app's user, and leaves a process to PID 1. */
const SERVICE = `#!/bin/sh\nchpst -u :1000:1000 sh -c 'sleep 7001 & :'\nexec chpst -u :1000:1000 sleep 7002\n`;
let hider: Buffer;

async function publish(container: Container, version: string): Promise<void> {
  const files = {
    app: { content: hider, mode: 0o755 },
    server: { content: readFileSync(process.env['TEST_APP'] ?? ''), mode: 0o755 },
  };
  container.github.publish(`v${version}`, {
    [`app_${version}_linux_amd64.tar.gz`]: await nativeArchive(version, { files }),
  });
}

/**
 * Pids inside. One whose first thread has ended is shown nowhere but there; one that forks and ends
 * at once is told by the pids that it uses up.
 */
async function hidden(container: Container): Promise<string[]> {
  const script = `cd /proc
for pid in [0-9]*; do
  grep -q '^Name:.hidden$' $pid/status && ! { grep -q '^State:.Z' $pid/status && grep -q '^Threads:.1$' $pid/status; } && echo $pid
done 2> /dev/null
read _ _ _ _ before < loadavg
i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done
read _ _ _ _ now < loadavg
[ $((now - before)) -lt 50 ] || echo "pids $before to $now"`;
  return (await container.exec(['sh', '-c', script])).stdout.split('\n').filter(Boolean);
}

describe('a version that hides a process, which kills each newer version at its start', {
  concurrency: 2,
}, () => {
  before(async () => {
    const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'hider-')), 'app');
    await execa('g++', ['-O2', '-pthread', '-x', 'c++', '-o', file, '-'], { input: HIDER });
    hider = readFileSync(file);
  });

  for (const [i, how] of WAYS.entries()) {
    const profile = i % 2 === 0 ? 'root with four capabilities' : 'root';
    it(`${how}: it ends with its version, and the newer one is installed (${profile})`, async () => {
      await using container = await Container.run({
        env: { HIDE: how, SVWAIT: '2' },
        run: [...PROFILES[profile], ...HARDENED],
      });
      await container.fact('versionBecameHealthy');
      await publish(container, '0.0.2');
      assert.equal((await container.command('update')).exitCode, 0);
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await container.until('it hides', async () => (await hidden(container)).length > 0);
      await container.publish('0.0.3');
      const update = await container.command('update');
      assert.equal(update.exitCode, 0, update.stderr);
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
      assert.deepEqual(await hidden(container), []);
      assert.deepEqual((await container.status()).denied, []);
    });
  }

  it('and ends the version that hid it: it is gone before that one starts again', async () => {
    await using container = await Container.run({ env: { HIDE: WAYS[0] ?? '', SVWAIT: '1' } });
    await container.fact('versionBecameHealthy');
    await publish(container, '0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const first = await hidden(container);
    await container.ask('/exit/3');
    await container.until('another one hides, alone', async () => {
      const now = await hidden(container);
      return now.length === 1 && now[0] !== first[0];
    });
  });
});

describe('where app and updater are one user, and nothing tells whose a process is', () => {
  it('each start of the newer version is killed: it is not denied for that, the one before comes back, and the next try succeeds', async () => {
    await using container = await Container.run({
      env: { HIDE: WAYS[0] ?? '', SVWAIT: '1' },
      run: PROFILES['one unprivileged user'],
    });
    await container.fact('versionBecameHealthy');
    await publish(container, '0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await container.publish('0.0.3');
    await container.signal('HUP');
    await container.fact('probationFailed', ({ code }) => code === 'APP_KILLED');
    await container.answers('0.0.2');
    const { denied, lastError } = await container.status();
    assert.deepEqual([denied, lastError?.code], [[], 'APP_KILLED']);
    // What killed it is gone.
    for (const pid of await hidden(container)) await container.exec(['kill', '-KILL', pid]);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
    await container.answers('0.0.3');
  });
});

describe("processes of the app's user that are not the app's", () => {
  before(async () => {
    await derive(IMAGES.app, IMAGE, 'COPY service /etc/service/', { 'service/mine/run': SERVICE });
  });
  after(async () => {
    await docker(['rmi', '--force', IMAGE], { reject: false });
  });

  it('outlive updates, restarts and ends of the app: of another service, of docker exec, and of another container', async () => {
    await using container = await Container.run({ image: IMAGE });
    await container.fact('versionBecameHealthy');
    await docker([
      'exec',
      '--detach',
      '--user',
      '1000:1000',
      container.name,
      'sh',
      '-c',
      'sleep 7003 & sleep 7004; :',
    ]);
    // PID 1 of the first container is the parent of the other one's orphans.
    const sidecar = `${container.name}-sidecar`;
    const joined = [
      '--pid',
      `container:${container.name}`,
      '--user',
      '1000:1000',
      '--entrypoint',
      '/bin/sh',
      IMAGES.product,
    ];
    await docker([
      'run',
      '--detach',
      '--rm',
      '--name',
      sidecar,
      ...joined,
      '-c',
      '(sleep 7005 &); sleep 7006; :',
    ]);
    const script =
      "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file && echo; done 2> /dev/null";
    const others = async () =>
      [...(await container.exec(['sh', '-c', script])).stdout.matchAll(/^sleep 700\d/gm)]
        .map(([line]) => line)
        .sort();
    const all = [
      'sleep 7001',
      'sleep 7002',
      'sleep 7003',
      'sleep 7004',
      'sleep 7005',
      'sleep 7006',
    ];
    await container.until('all are there', async () => (await others()).length === all.length);
    await container.publish('0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.answers('0.0.2');
    assert.equal((await container.command('restart')).exitCode, 0);
    await container.ask('/exit/3');
    await container.answers('0.0.2');
    assert.deepEqual(await others(), all);
    await docker(['rm', '--force', sidecar], { reject: false });
  });
});
