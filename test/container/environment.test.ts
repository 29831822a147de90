/** Variables that are meant for the app act on the app in the container, and on nothing of the updater's: not on a command, a loop, or a resident one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Container, PROFILES } from '../support/docker/container.ts';

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
};
const environOf = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));

describe("the app's variables", { concurrency: 2 }, () => {
  for (const profile of ['root', 'one unprivileged user'] as const) {
    it(`do not stop an update, and reach app and hooks (${profile})`, async () => {
      await using container = await Container.run({
        env: { ...FOR_THE_APP, UPDATE_POST_UPDATE_CMD: 'env -0 > /data/seen' },
        run: PROFILES[profile],
      });
      await container.fact('versionBecameHealthy');
      await container.publish('0.0.2');
      const { exitCode, stderr } = await container.command('update');
      assert.equal(exitCode, 0, stderr);
      await container.answers('0.0.2');
      assert.equal((await container.status()).version, '0.0.2');
      const app = environOf(await container.processOf(/\/app(?: |$)/));
      const hook = (await container.exec(['cat', '/data/seen'])).stdout.split('\0');
      for (const [name, value] of Object.entries(FOR_THE_APP)) {
        assert.ok(app.includes(`${name}=${value}`), `the app lacks ${name}`);
        // The hook's shell drops names that are none.
        if (!name.includes('.')) assert.ok(hook.includes(`${name}=${value}`), `the hook lacks ${name}`);
      }
      for (const variables of [app, hook]) assert.ok(!variables.some((variable) => /^SELF_UPDATE_KEPT_|^UPDATE_GH/.test(variable)));
      const { stdout } = await container.exec(['ls', '/data']);
      assert.doesNotMatch(stdout, /coverage|warnings|keys/);
      assert.doesNotMatch(await container.logs(), /^(?:HTTP|NET|TLS) \d+:|Debugger listening/m);
    });
  }

  it('are not in the environment of a resident updater', async () => {
    await using container = await Container.run({ env: { ...FOR_THE_APP, LD_PRELOAD: '/nonexistent.so', UPDATE_HTTP_ADDR: '127.0.0.1:0' } });
    await container.fact('versionBecameHealthy');
    const names = environOf(await container.processOf(/bin\/node /)).map(nameOf);
    assert.deepEqual(
      names.filter((name) => name in FOR_THE_APP || name === 'LD_PRELOAD'),
      [],
    );
    assert.ok(names.includes('SELF_UPDATE_KEPT_1') && names.includes('UPDATE_GH_API_URL'));
  });
});
