/** kill -9 around the facts of a rollback that a crash loop brought about, in a real container. */
import assert from 'node:assert/strict';
import { cases } from '../support/chaos/cases.ts';
import { Container } from '../support/docker/container.ts';

const FACTS = ['appCrashLooped', 'appStopped', 'switched', 'appStarted'] as const;
/** Processes by their command lines. */
const VICTIMS = {
  updater: /self-update run/,
  'loop around the updater': /run locked/,
  app: /\/(?:releases|baked)\/\S+\/app\b/,
} as const;

const kills = FACTS.flatMap((fact) =>
  (Object.keys(VICTIMS) as (keyof typeof VICTIMS)[]).map((victim) => ({
    fact,
    victim,
    title: `the ${victim} is killed right after ${fact}`,
  })),
);

cases('crash-loop', kills, { sample: 2 }, async ({ fact, victim }) => {
  await using container = await Container.run({ env: { UPDATE_PROBATION: '0.1', SVWAIT: '3' } });
  await container.fact('versionBecameHealthy');
  // Trusted first, and then it ends again and again.
  await container.publish('0.0.2', {
    files: { app: { content: '#!/bin/sh\nsleep 0.4\nexit 1\n', mode: 0o755 } },
  });
  await container.signal('HUP');
  const looped = await container.fact('appCrashLooped');
  if (fact !== 'appCrashLooped') await container.fact(fact, ({ seq }) => seq > looped.seq);
  // Whoever is gone by now needs no killing.
  const pid = await container.processOf(VICTIMS[victim]).catch(() => null);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await container.answers('0.0.1');
  await container.until('it is denied', async () =>
    (await container.status()).denied.some(
      ({ version, code }) => version === '0.0.2' && code === 'CRASH_LOOP',
    ),
  );
  await container.publish('0.0.3');
  await container.until('the next release is taken', async () => {
    await container.command('update');
    return (await container.ask()) === '0.0.3';
  });
  await container.until('one copy', async () => (await container.apps()).length === 1);
  assert.equal((await container.command('replay')).exitCode, 0);
  return `0.0.1 came back, 0.0.2 is denied, then 0.0.3${pid === null ? ' (nobody was there to be killed)' : ''}`;
});
