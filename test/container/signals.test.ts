/** Signals to PID 1: which end the container in order, and which must not end it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

/**
 * The app needs a while to stop, so that an end in disorder shows: it is then dead before it said
 * so.
 */
const SLOW = `trap 'sleep 0.5; echo saved; exit' TERM WINCH; while :; do sleep 0.1; done`;
const slowApp = { UPDATE_APP_COMMAND: `sh -c "${SLOW}"` };

async function started(options: Parameters<typeof Container.run>[0] = {}): Promise<Container> {
  const container = await Container.run(options);
  await container.fact('versionBecameHealthy');
  return container;
}

describe('a signal to PID 1', { concurrency: 2 }, () => {
  for (const [signal, status] of [
    ['TERM', 143],
    ['INT', 130],
    ['QUIT', 131],
    ['PWR', 158],
    ['RTMIN+3', 165],
  ] as const)
    it(`${signal} ends the container in order, with status ${status}`, async () => {
      await using container = await started({ env: slowApp });
      await container.signal(signal);
      assert.equal(await container.ended(), status);
      assert.match(await container.logs(), /^saved$/m);
    });

  for (const [signal, status] of [
    ['QUIT', 131],
    ['INT', 130],
    ['SIGRTMIN+3', 165],
  ] as const)
    it(`is a derived image's STOPSIGNAL ${signal}`, async () => {
      await derive(IMAGES.app, `self-update-test:stop-${status}`, `STOPSIGNAL ${signal}`);
      await using container = await started({
        image: `self-update-test:stop-${status}`,
        env: slowApp,
      });
      assert.equal((await container.stop()).status, status);
      assert.match(await container.logs(), /^saved$/m);
    });

  it('is WINCH, as for Apache, where the app is stopped by it; a resized terminal ends no other', async () => {
    await using container = await started({
      run: ['--stop-signal', 'WINCH'],
      env: { ...slowApp, UPDATE_STOP_SIGNAL: 'winch' },
    });
    assert.equal((await container.stop()).status, 156);
    assert.match(await container.logs(), /^saved$/m);
  });

  it('is USR1, as for HAProxy, where the app is stopped by it', async () => {
    const app = SLOW.replace('WINCH', 'USR1');
    const env = { UPDATE_APP_COMMAND: `sh -c "${app}"`, UPDATE_STOP_SIGNAL: 'SIGUSR1' };
    await using container = await started({ run: ['--stop-signal', 'USR1'], env });
    assert.equal((await container.stop()).status, 138);
    assert.match(await container.logs(), /^saved$/m);
  });

  it('of any other kind leaves the container and the app alone', async () => {
    await using container = await started();
    const [app] = await container.apps();
    // KILL and STOP nobody can take; those of a fault in the program itself the kernel keeps from
    // PID 1.
    const signals = [
      'ALRM',
      'PIPE',
      'WINCH',
      'TSTP',
      'TTIN',
      'TTOU',
      'VTALRM',
      'PROF',
      'XCPU',
      'XFSZ',
      'IO',
      'STKFLT',
      'URG',
      'CONT',
      'CHLD',
      'HUP',
      'USR1',
    ];
    for (const signal of [
      ...signals,
      'USR2',
      'ABRT',
      'SEGV',
      'BUS',
      'FPE',
      'ILL',
      'TRAP',
      'SYS',
      'RTMIN',
      'RTMIN+1',
      'RTMIN+4',
      'RTMAX',
    ])
      await container.signal(signal);
    await container.until('the last one that the app gets has come', async () =>
      / usr1=1 usr2=1 /.test((await container.ask('/process')) ?? ''),
    );
    assert.deepEqual(await container.apps(), [app]);
    assert.equal((await container.stop()).status, 143);
  });

  it('ALRM does not stand for the end of the app, which UPDATE_ON_APP_EXIT=exit waits for', async () => {
    await using container = await started({ env: { UPDATE_ON_APP_EXIT: 'exit' } });
    await container.signal('ALRM');
    assert.equal(await container.ask(), '0.0.1');
    await container.ask('/exit/7');
    assert.equal(await container.ended(), 7);
  });
});
