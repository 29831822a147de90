/**
 * UPDATE_STRATEGY=hand-over, and `kill -9` of every part in the middle of it: one version serves
 * afterwards, and the other is gone. Never are there three copies, and never two at rest.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import type { Container } from '../support/docker/container.ts';
import { handingOver, MostCopies, settles } from '../support/hand-over.ts';

const VICTIMS = {
  'the old copy': /\/baked\/0\.0\.1\/app/,
  'the new copy': /\/releases\/0\.0\.2\S*\/app/,
  "the old copy's runsv": /^runsv app$/,
  "the new copy's runsv": /^runsv app2$/,
  'the updater': /self-update run --once/,
  'the loop around the updater': /dash \.\/run locked/,
  'the notify service of the new one': /socklog -R unix .*app2$/,
} as const;
/** What is being done then. */
const MOMENTS = {
  'the new copy proves itself': 'startedBeside',
  'the old copy is stopped': 'switched',
} as const;

async function kill(container: Container, victim: RegExp): Promise<void> {
  for (const { pid, command } of await container.processes())
    if (victim.test(command)) sendSignal(pid, 'SIGKILL');
}

describe('kill -9 in the middle of a hand-over', { concurrency: 3 }, () => {
  for (const [moment, fact] of Object.entries(MOMENTS))
    for (const [name, victim] of Object.entries(VICTIMS))
      it(`of ${name}, while ${moment}`, async () => {
        await using container = await handingOver();
        await using copies = new MostCopies(container);
        await container.fact(fact);
        await kill(container, victim);
        await settles(container, ['0.0.1', '0.0.2']);
        await container.publish('0.0.3');
        await container.until('the next release is taken', async () => {
          await container.signal('HUP');
          await sleep(300);
          return (await container.ask()) === '0.0.3';
        });
        await settles(container, ['0.0.3']);
        assert.ok((await copies.end()) <= 2, 'three copies');
      });
});
