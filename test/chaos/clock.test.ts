/**
 * Clocks that are wrong by years, and jump while the updater runs: by libfaketime, which lies to
 * the whole process about the time of day.
 */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cases } from '../support/chaos/cases.ts';
import { type Kind, Scenario } from '../support/chaos/scenario.ts';
import { ask } from '../support/prober.ts';

const LIBRARY = ['x86_64', 'aarch64']
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`)
  .find((file) => existsSync(file));
if (LIBRARY === undefined) throw new Error("Debian's package faketime is missing");

const JUMPS = ['-30y', '-10y', '-1y', '-2d', '+2d', '+1y', '+10y', '+30y'] as const;
/** Far more than a poll's pause, and far less than any jump. */
const PATIENCE_MS = 30_000;

type Jump = { title: string; by: (typeof JUMPS)[number]; mode: Kind['mode'] };

const jumps: Jump[] = JUMPS.flatMap((by) => [
  {
    title: `an update while the clock is ${by} off, then the right time again`,
    by,
    mode: 'once' as const,
  },
  {
    title: `a clock that jumps by ${by} and back while the updater waits`,
    by,
    mode: 'resident' as const,
  },
]);

function faked(by: string): Record<string, string> {
  // Only the time of day lies: CLOCK_MONOTONIC never jumps.
  return { LD_PRELOAD: LIBRARY ?? '', FAKETIME: by, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
}

async function wrongAllTheTime(by: string): Promise<void> {
  await using scenario = await Scenario.prepare({
    strategy: 'download-then-kill',
    story: 'update',
    mode: 'once',
  });
  await scenario.update({ prefix: [], env: faked(by), ended: async () => {} });
  assert.equal(await scenario.check(performance.now()), '0.0.2', await scenario.log());
  // The right time again: what was written in the wrong one silences nothing.
  await scenario.publish('0.0.3');
  await scenario.product.command(['run', '--once']);
  const { nextCheck } = await scenario.product.status();
  const due = Date.parse(nextCheck ?? '') - Date.now();
  if ((await ask(scenario.product.port)) !== '0.0.3')
    assert.ok(due < 3 * 60 * 60 * 1000, `the next check is at ${nextCheck}`);
  await scenario.product.command(['update']);
  assert.equal(await ask(scenario.product.port), '0.0.3');
}

async function jumping(by: string): Promise<void> {
  await using scenario = await Scenario.prepare({
    strategy: 'download-then-kill',
    story: 'update',
    mode: 'resident',
  });
  const { product } = scenario;
  const file = path.join(product.root, 'faketime');
  writeFileSync(file, '+0');
  const { FAKETIME: _, ...lying } = faked(by);
  product.start([], {
    extraEnv: { ...lying, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' },
  });
  const runs = async (version: string) => {
    const deadline = performance.now() + PATIENCE_MS;
    while ((await ask(product.port)) !== version) {
      assert.ok(
        performance.now() < deadline,
        `${version} does not come: ${product.log.slice(-5).join('\n')}`,
      );
      await sleep(50);
    }
  };
  await runs('0.0.2');
  for (const [offset, version] of [
    [by, '0.0.3'],
    ['+0', '0.0.4'],
  ] as const) {
    writeFileSync(file, offset);
    await scenario.publish(version);
    await runs(version);
  }
}

cases('clock-jumps', jumps, { sample: 8, concurrency: 3 }, async ({ by, mode }) => {
  if (mode === 'once') await wrongAllTheTime(by);
  else await jumping(by);
  return 'updated all the same, and afterwards';
});
