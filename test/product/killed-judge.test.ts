/**
 * A version under which the updater is killed, each time it looks: it is not judged for ever, and
 * does not stay.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

/**
 * Starts the updater again whenever it was killed, as its service does. Resolves with the number of
 * kills once one lives on.
 */
async function keepStarted(product: Product, isOver: Promise<unknown>): Promise<number> {
  for (let kills = 0; ; kills++) {
    const { nodeChildProcess } = product.start();
    const ended = once(nodeChildProcess, 'exit').then(([, signal]) => signal as string);
    const how = await Promise.race([ended, isOver.then(() => null)]);
    if (how === null) return kills;
    assert.equal(how, 'SIGKILL', product.log.join('\n'));
    assert.ok(kills < 20, product.log.join('\n'));
  }
}

describe('a version on whose probation the updater is killed again and again', () => {
  it('is rolled back and denied after three kills; the app is up meanwhile', async () => {
    await using product = await Product.create({
      env: { UPDATE_PROBATION: '1', UPDATE_STRATEGY: 'download-then-kill' },
    });
    // The health check is what kills: only where the new version is current.
    const current = path.join(product.dir, 'current');
    product.env['UPDATE_HEALTH_CMD'] =
      `case "$(readlink '${current}')" in *1.0.0-*) kill -9 $PPID ;; esac`;
    product.github.publish('v1.0.0', {
      'app_linux_amd64.tar.gz': await appArchive({ version: '1.0.0', port: product.port }),
    });
    const back = product
      .fact('probationFailed')
      .then(({ seq: failed }) => product.fact('appStarted', ({ seq }) => seq > failed));
    const kills = await keepStarted(product, back);
    assert.equal(kills, 3);
    const { version, denied } = await product.status();
    assert.deepEqual(
      [version, denied.map((one) => [one.version, one.code])],
      ['0.0.1', [['1.0.0', 'UPDATER_KILLED']]],
    );
    const events = await product.events();
    const interruptions = events.filter(({ type }) => type === 'workInterrupted');
    assert.deepEqual(
      interruptions.map((fact) => 'appUp' in fact && fact.appUp),
      [true, true, true],
    );
    assert.equal(
      events.filter(({ type }) => type === 'appStarted').length,
      2,
      'the app was started once for each version',
    );
    const [last] = (
      JSON.parse((await product.command(['history', '--json'])).stdout) as { outcome: string }[]
    ).slice(-1);
    assert.equal(last?.outcome, 'rolledBack');
  });
});
