/** UPDATE_METRICS_FILE in the image, where the updater is woken from a snapshot without it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';

describe('the file of metrics', { concurrency: 2 }, () => {
  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`tells what runs while the updater sleeps (${profile})`, async () => {
      await using container = await Container.run({
        env: { UPDATE_METRICS_FILE: '/metrics/app.prom', SLEEP: '3600' },
        run: [...PROFILES[profile], ...HARDENED, '--tmpfs', '/metrics:mode=1777'],
      });
      // Before, it may be told to try again (75).
      await container.fact('versionBecameHealthy');
      await container.publish('0.0.2');
      assert.equal((await container.command('update')).exitCode, 0);
      const told = async () => (await container.exec(['cat', '/metrics/app.prom'])).stdout;
      await container.until('it is told', async () =>
        /^self_update_app_info\{version="0\.0\.2".*\} 1$/m.test(await told()),
      );
      assert.doesNotMatch(await container.logs(), /UPDATE_METRICS_FILE/);
    });
});
