/**
 * Files of secrets in the image: what the app's user can read is warned of at every start and in
 * `status`, in each profile.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { TOKEN } from '../support/product.ts';

describe("a secret's file", { concurrency: 3 }, () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'secrets-'));
    for (const [name, mode] of [
      ['shell', 0o644],
      ['safe', 0o600],
    ] as const) {
      writeFileSync(path.join(directory, name), `${TOKEN}\n`);
      chmodSync(path.join(directory, name), mode);
    }
  });
  after(() => rmSync(directory, { recursive: true }));

  const run = (name: string, options: readonly string[]) =>
    Container.run({
      run: ['--volume', `${path.join(directory, name)}:/run/secrets/token:ro`, ...options],
      env: { UPDATE_GH_TOKEN: '', UPDATE_GH_TOKEN_FILE: '/run/secrets/token', SLEEP: '3600' },
    });

  for (const profile of Object.keys(PROFILES) as Profile[])
    for (const hardening of [[], HARDENED]) {
      const title = `${profile}${hardening.length > 0 ? ', read-only' : ''}`;
      const separates = profile !== 'one unprivileged user';

      it(`as a shell makes it (0644) is warned of at every start and in status (${title})`, async () => {
        await using container = await run('shell', [...PROFILES[profile], ...hardening]);
        await container.fact('versionBecameHealthy');
        const expected = separates
          ? /UPDATE_GH_TOKEN_FILE: the app's user \(1000:1000\) can read \/run\/secrets\/token/
          : /runs as the updater's user/;
        assert.match((await container.status()).warnings.join(), expected);
        assert.match(
          (await container.command('status')).stdout,
          /\nwarning +UPDATE_GH_TOKEN_FILE: /,
        );
        const warned = async () =>
          (await container.logs()).split('\n').filter((line) => expected.test(line)).length;
        const times = await warned();
        assert.ok(times >= 1);
        await container.signal('HUP');
        await container.until('it is said again', async () => (await warned()) > times);
      });

      if (separates)
        it(`made as the documents say is not, and the app can't read it (${title})`, async () => {
          await using container = await run('safe', [...PROFILES[profile], ...hardening]);
          await container.fact('versionBecameHealthy');
          assert.deepEqual((await container.status()).warnings, []);
          assert.notEqual(
            (await container.exec(['cat', '/run/secrets/token'], ['--user', '1000:1000'])).exitCode,
            0,
          );
        });
    }
});
