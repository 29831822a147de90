/**
 * What is found out before the app is touched, and how a version proves itself, in the container.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

describe('before the app is stopped', () => {
  it('a noexec volume is noticed; the app runs on, and the same release is not tried in a loop', async () => {
    await using container = await Container.run({ run: ['--tmpfs', '/data:rw,noexec,mode=1777'] });
    await container.answers('0.0.1');
    const [pid] = await container.apps();
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.until(
      'it is told',
      async () => (await container.status()).lastError?.code === 'NOT_EXECUTABLE',
    );
    const { waitingFor, denied } = await container.status();
    assert.equal(waitingFor?.reason, 'retry');
    assert.deepEqual(denied, []);
    assert.deepEqual(await container.apps(), [pid], 'the app was touched');
    assert.ok((await container.events()).every(({ type }) => type !== 'switchStarted'));
  });

  it('a volume without room is noticed before it is filled', async () => {
    await using container = await Container.run({
      run: ['--tmpfs', '/data:rw,exec,mode=1777,size=20m'],
    });
    await container.answers('0.0.1');
    const [pid] = await container.apps();
    await container.publish('0.0.2', { padBytes: 15_000_000 });
    await container.signal('HUP');
    await container.until(
      'it is told',
      async () => (await container.status()).lastError?.code === 'NO_SPACE',
    );
    assert.deepEqual(await container.apps(), [pid], 'the app was touched');
    assert.ok((await container.events()).every(({ type }) => type !== 'downloaded'));
    assert.equal((await container.exec(['ls', '/data/self-update/tmp'])).stdout, '');
  });
});

describe("runit's own ./check of the app's service", () => {
  it('is how a version proves itself, where nothing else is set', async () => {
    const image = 'self-update-test:check';
    const check =
      '#!/bin/sh\necho checked >> /data/checks\n[ "$(cat /data/self-update/current/VERSION)" != 0.0.2 ]\n';
    await derive(IMAGES.app, image, 'COPY check /etc/service/app/check', { check });
    const env = { UPDATE_HEALTH_START_PERIOD: '0', UPDATE_HEALTH_INTERVAL: '0.2' };
    await using container = await Container.run({ image, env });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('probationFailed');
    await container.answers('0.0.1');
    await container.until(
      'it is denied',
      async () => (await container.status()).denied[0]?.code === 'UNHEALTHY',
    );
    await container.publish('0.0.3');
    await container.signal('HUP');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
    assert.notEqual((await container.exec(['cat', '/data/checks'])).stdout, '');
  });
});
