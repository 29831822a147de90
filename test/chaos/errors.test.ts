/**
 * Errors of the disk at every operation on it: nothing is lost, the app runs, the message is clear,
 * and the update goes on when the fault ends.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { cases } from '../support/chaos/cases.ts';
import { type Kind, Scenario } from '../support/chaos/scenario.ts';
import { injecting, MUTATING, type Point, pointsOf } from '../support/chaos/strace.ts';
import { ask } from '../support/prober.ts';

/** A full, read-only or used up disk stays so; the others come once. */
const ERRORS = { ENOSPC: '+', EIO: '', EROFS: '+', EDQUOT: '+', EACCES: '', EMFILE: '' } as const;
type Errno = keyof typeof ERRORS;

type Fault = Point & { kind: Kind; errno: Errno; title: string };

const safe: Kind = { strategy: 'download-then-kill', story: 'update', mode: 'once' };
const stopFirst: Kind = { ...safe, strategy: 'kill-then-download' };

/** open(2) fails for want of descriptors; the rest for what the disk says. */
function errnosFor(point: Point & { kind: Kind }): Errno[] {
  if (point.call === 'openat') return ['EMFILE', 'EACCES'];
  if (point.kind.strategy === 'kill-then-download') return ['EIO', 'ENOSPC'];
  return ['ENOSPC', 'EIO', 'EROFS', 'EDQUOT', 'EACCES'];
}

/** The app is traced, too. */
const OPENED_BY_APP = /(?:^|\/)(?:package\.json|app)$/;
const points = [
  ...(await pointsOf([safe, stopFirst], MUTATING)),
  ...(await pointsOf([safe], ['openat'])).filter(({ on }) => !OPENED_BY_APP.test(on)),
];
const faults: Fault[] = points.flatMap((point) =>
  errnosFor(point).map((errno) => ({
    ...point,
    errno,
    title: `${errno} at ${point.call} ${point.at} on ${point.on} (${point.kind.strategy})`,
  })),
);

cases(
  'errors',
  faults,
  { sample: 40, group: ({ call, on, errno }) => `${errno} at ${call} on ${on}` },
  async (fault) => {
    await using scenario = await Scenario.prepare(fault.kind);
    const startedAt = performance.now();
    const { signal } = await scenario.update(
      injecting(scenario.product, fault, `error=${fault.errno}`, ERRORS[fault.errno]),
    );
    assert.equal(signal, undefined, 'the updater died of it');
    // Without any restart: whatever failed, the app runs.
    // A journal that could not be written catches up at the next start.
    const version = await scenario.check(startedAt, { journalAgrees: false });
    const told = scenario.isDone()
      ? 'the update was made all the same'
      : `${version} went on: ${codeIn(await scenario.log())}`;
    await scenario.recover();
    return told;
  },
);

const firstPoints = await pointsOf([{ ...safe, story: 'first' } as const]);
const firstFaults: Fault[] = firstPoints.flatMap((point) =>
  (['ENOSPC', 'EIO', 'EROFS', 'EACCES'] as const).map((errno) => ({
    ...point,
    errno,
    title: `${errno} at ${point.call} ${point.at} on ${point.on}, at the first start`,
  })),
);

/** There is nothing yet but what the image brings; and something runs all the same. */
cases(
  'errors-at-first-start',
  firstFaults,
  { sample: 16, group: ({ call, on, errno }) => `${errno} at ${call} on ${on}` },
  async (fault) => {
    await using scenario = await Scenario.prepare(fault.kind);
    const { product } = scenario;
    const { signal } = await scenario.update(
      injecting(product, fault, `error=${fault.errno}`, ERRORS[fault.errno]),
    );
    assert.equal(signal, undefined, 'the updater died of it');
    const deadline = performance.now() + 10_000;
    const answer = () => ask(product.port);
    while (!['0.0.0', '0.0.1'].includes((await answer()) ?? '')) {
      assert.ok(performance.now() < deadline, `nothing runs:\n${await scenario.log()}`);
      await sleep(25);
    }
    const version = await answer();
    assert.equal(product.apps().length, 1);
    const told = scenario.isDone()
      ? '0.0.1 was installed all the same'
      : `${version} runs: ${codeIn(await scenario.log())}`;
    // The fault ends.
    await product.command(['run', '--once']);
    await product.command(['update']);
    assert.equal(await scenario.check(performance.now()), '0.0.1');
    return told;
  },
);

/** The code that the user was told, with its message. */
function codeIn(log: string): string {
  const codes = [...log.matchAll(/\[([A-Z_]+)\]/g)].map(([, code = '']) => code);
  assert.ok(codes.length > 0, `nothing was said:\n${log}`);
  assert.ok(!codes.includes('UNEXPECTED'), log);
  return codes[0] ?? '';
}
