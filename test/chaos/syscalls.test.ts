/**
 * SIGKILL at system calls that change the disk: strace(1) kills the updater as it enters the n-th
 * one on a path.
 */
import { cases } from '../support/chaos/cases.ts';
import { HANDING_OVER, KINDS, type Kind, nameOf, Scenario } from '../support/chaos/scenario.ts';
import { injecting, type Point, pointsOf } from '../support/chaos/strace.ts';

type Kill = Point & { kind: Kind; title: string };

const points = await pointsOf(KINDS.filter(({ mode }) => mode === 'once'));
const beside = await pointsOf(HANDING_OVER);
// From the download on; the names of its bytes are other ones at each run.
const handingOver = HANDING_OVER.flatMap((kind) => {
  const own = beside.filter((point) => point.kind === kind);
  return own
    .slice(own.findIndex(({ on }) => on.includes('%')))
    .filter(({ on }) => !on.includes('%'));
});
const kills: Kill[] = [...points, ...handingOver].map((point) => ({
  ...point,
  title: `${point.call} ${point.at} on ${point.on} (${nameOf(point.kind)})`,
}));

cases(
  'kill-at-syscalls',
  kills,
  { sample: 60, group: ({ call, on }) => `killed at ${call} on ${on}` },
  async (kill) => {
    await using scenario = await Scenario.prepare(kill.kind);
    const { signal } = await scenario.update(injecting(scenario.product, kill, 'signal=SIGKILL'));
    const version = await scenario.recover();
    // Threads take turns: a call that does not come this time kills nobody.
    return signal === 'SIGKILL' ? `${version} ran after the restart` : 'the call did not come';
  },
);
