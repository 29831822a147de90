/** Two updaters on one directory, and operators who come in between. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { cases } from '../support/chaos/cases.ts';
import { type Kind, Scenario } from '../support/chaos/scenario.ts';

const RACES = 100;
/** About as long as an update takes. */
const UPDATE_MS = 900;
const KIND: Kind = { strategy: 'download-then-kill', story: 'update', mode: 'once' };

const races = Array.from({ length: RACES }, (_, index) => ({
  title: `two updaters at once, ${index + 1}`,
}));

cases(
  'two-updaters',
  races,
  { sample: 12, group: () => 'two updaters at once' },
  async (_, random) => {
    await using scenario = await Scenario.prepare(KIND);
    const { product } = scenario;
    // Half of them at the very same moment.
    const lead = random() < 0.5 ? 0 : random() * UPDATE_MS;
    const first = product.command(['run', '--once', '--now']);
    await sleep(lead);
    const second = product.command([...(random() < 0.5 ? ['run', '--once', '--now'] : ['update'])]);
    const [one, other] = await Promise.all([first, second]);
    for (const { exitCode, stderr } of [one, other])
      assert.ok(exitCode === 0 || exitCode === 75, stderr);
    assert.ok(one.exitCode === 0 || other.exitCode === 0, 'nobody won');
    assert.equal(await scenario.check(performance.now()), '0.0.2');
    const switches = scenario
      .records()
      .filter(({ fact }) => fact.type === 'switchStarted' && fact.to === '0.0.2');
    assert.equal(switches.length, 1, 'both of them did it');
    return one.exitCode === 75 || other.exitCode === 75
      ? 'one updated, the other was told to try again'
      : 'one updated, the other found it done';
  },
);

const COMMANDS: readonly { title: string; args: string[]; ends: readonly string[] }[] = [
  { title: 'restart', args: ['restart'], ends: ['0.0.2'] },
  { title: 'update', args: ['update'], ends: ['0.0.2'] },
  { title: 'check', args: ['check'], ends: ['0.0.2'] },
  { title: 'pause', args: ['pause'], ends: ['0.0.1', '0.0.2'] },
  { title: 'deny 0.0.2', args: ['deny', '0.0.2'], ends: ['0.0.1', '0.0.2'] },
  { title: 'install v0.0.1', args: ['install', 'v0.0.1'], ends: ['0.0.1'] },
  { title: 'release', args: ['release'], ends: ['0.0.2'] },
];
const interruptions = COMMANDS.flatMap((command) =>
  (['kill-then-download', 'download-then-kill'] as const).flatMap((strategy) =>
    [1, 2, 3, 4].map((round) => ({
      ...command,
      strategy,
      round,
      title: `${command.title} during an update (${strategy}), ${round}`,
    })),
  ),
);

cases(
  'operators',
  interruptions,
  { sample: 14, group: ({ args, strategy }) => `${args.join(' ')} during an update (${strategy})` },
  async ({ args, strategy, ends }, random) => {
    await using scenario = await Scenario.prepare({ ...KIND, strategy });
    const { product } = scenario;
    const update = product.command(['run', '--once', '--now']);
    await sleep(random() * UPDATE_MS);
    const command = await product.command(args);
    assert.ok(
      [0, 75, 100].includes(command.exitCode ?? -1),
      `${command.exitCode}: ${command.stderr}`,
    );
    const { exitCode, stderr } = await update;
    assert.ok(exitCode === 0 || exitCode === 75, stderr);
    // What the command left to be done is done by the next run.
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    const version = await scenario.check(performance.now());
    assert.ok(ends.includes(version), version);
    return `${version} runs`;
  },
);
