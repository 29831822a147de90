/**
 * A version gives what it inherited to a process that is allowed to stay, to keep the next version
 * down.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, PROFILES } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const IMAGE = 'self-update-test:given-away';
/** Sends every descriptor of its that is the app's lock to a socket (SCM_RIGHTS). */
const GIVE = `#include <cstdio>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int, char **argv) {
  int to = socket(AF_UNIX, SOCK_STREAM, 0), given = 0;
  sockaddr_un address = {AF_UNIX, ""};
  strcpy(address.sun_path, argv[1]);
  while (connect(to, (sockaddr *)&address, sizeof address) != 0) usleep(50000);
  for (int fd = 3; fd < 64; fd++) {
    char link[64], target[256] = {}, byte = 1, buffer[CMSG_SPACE(sizeof(int))] = {};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, target, sizeof target - 1) < 0 || !strstr(target, "app.lock")) continue;
    iovec part = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &part, message.msg_iovlen = 1, message.msg_control = buffer, message.msg_controllen = sizeof buffer;
    cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    if (sendmsg(to, &message, 0) == 1) given++;
  }
  printf("gave the lock %d times\\n", given);
}
`;
/** Listens, and never reads. */
const SERVICE = `#!/bin/sh
[ "$(id -u)" != 0 ] || as='chpst -u :65534:65534'
rm -f /tmp/given.sock
exec \${as-} node -e "const fs = require('node:fs'); require('node:net').createServer({ pauseOnConnect: true }, (socket) => { globalThis.kept = socket; }).listen('/tmp/given.sock', () => fs.chmodSync('/tmp/given.sock', 0o777))"
`;
const GIVING = `sh -c 'case $PWD in *0.0.1*) /opt/give /tmp/given.sock & ;; esac; exec "$0/app"' "$PWD"`;

describe('an app that gives its lock to a service that is busy, and reads it never', {
  concurrency: 2,
}, () => {
  before(async () => {
    const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'give-')), 'give');
    await execa('g++', ['-O2', '-x', 'c++', '-o', file, '-'], { input: GIVE });
    await derive(IMAGES.app, IMAGE, 'COPY opt /opt\nCOPY service /etc/service/', {
      'opt/give': readFileSync(file),
      'service/keeper/run': SERVICE,
    });
  });
  after(async () => {
    await docker(['rmi', '--force', IMAGE], { reject: false });
  });

  for (const profile of ['root', 'root with four capabilities', 'one unprivileged user'] as const)
    it(`keeps no newer version down by it (${profile})`, async () => {
      await using container = await Container.run({
        image: IMAGE,
        run: PROFILES[profile],
        env: { UPDATE_APP_COMMAND: GIVING, SVWAIT: '3' },
      });
      await container.answers('0.0.1');
      // Where the app has a user of its own, there is nothing to give.
      const times = profile === 'one unprivileged user' ? 1 : 0;
      await container.until('it is given away', async () =>
        (await container.logs()).includes(`gave the lock ${times} times`),
      );
      await container.publish('0.0.2');
      assert.equal((await container.command('update')).exitCode, 0);
      await container.answers('0.0.2');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      assert.deepEqual((await container.status()).denied, []);
    });
});
