/**
 * What each source is asked, by kind: a day of polls on a simulated clock with real HTTP requests,
 * with one release in the middle of it.
 */
import { mock } from 'node:test';
import { Follower } from '../../test/support/sources/follower.ts';
import { SOURCES } from '../../test/support/sources/rows.ts';
import {
  type Counts,
  countOf,
  type SourceUnderTest,
  withSums,
} from '../../test/support/sources/source-under-test.ts';
import { figuresOf, type Row } from './rows.ts';

const BEGAN_AT = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const SLEEP_MS = 300_000;
const HOURS = 24;
/** The first hour learns what there is. */
const PUBLISHED_IN_HOUR = 12;
const NOTHING_NEW = 'nothing new';
const NAME = 'app_linux_amd64.tar.gz';

/** The requests of each hour. */
async function day({ start }: SourceUnderTest): Promise<Counts[]> {
  await using harness = await start();
  using follower = new Follower(harness.env);
  const publish = (version: string) =>
    harness.publish(`v${version}`, withSums({ [NAME]: Buffer.from(version) }));
  // Older than an hour, so that what is known of it is known for good.
  mock.timers.setTime(BEGAN_AT - 2 * HOUR_MS);
  await publish('1.0.0');
  let running = '1.0.0';
  const hours: Counts[] = [];
  for (let hour = 0; hour < HOURS; hour++) {
    const before = harness.proxy?.requests.length ?? 0;
    for (let pollMs = 0; pollMs < HOUR_MS; pollMs += SLEEP_MS) {
      mock.timers.setTime(BEGAN_AT + hour * HOUR_MS + pollMs);
      if (hour === PUBLISHED_IN_HOUR && pollMs === SLEEP_MS) await publish('1.1.0');
      const fact = await follower.check({ running });
      if (fact.type !== 'releaseFound') throw new Error(JSON.stringify(fact));
      if (fact.release.version === running) continue;
      await follower.verify(await follower.download(fact.release));
      running = fact.release.version;
    }
    hours.push(countOf(harness.proxy?.requests.slice(before) ?? []));
  }
  if (running !== '1.1.0') throw new Error(`${running} is what was found`);
  return hours;
}

export async function bySource(): Promise<Row[]> {
  const rows: Row[] = [];
  mock.timers.enable({ apis: ['Date'], now: BEGAN_AT });
  try {
    for (const source of SOURCES) {
      const hours = await day(source);
      const quiet = hours.filter((_, hour) => hour > 0 && hour < PUBLISHED_IN_HOUR);
      const busy = hours.filter((_, hour) => hour === PUBLISHED_IN_HOUR);
      rows.push(rowOf(source, NOTHING_NEW, quiet), rowOf(source, 'one release', busy));
    }
  } finally {
    mock.timers.reset();
  }
  return rows;
}

function rowOf(
  { name, apiRequestsAPoll = 1 }: SourceUnderTest,
  when: string,
  hours: readonly Counts[],
): Row {
  const ofKind = (kind: keyof Counts) => figuresOf(hours.map((counts) => counts[kind]));
  return {
    what: `API requests an hour by \`${name}\`, ${when}`,
    unit: 'requests',
    measured: ofKind('api'),
    reference: null,
    compare: 'value',
    goal: when === NOTHING_NEW ? (apiRequestsAPoll * HOUR_MS) / SLEEP_MS : null,
    remark: `beside them ${ofKind('web').median} of a web site, ${ofKind('file').median} of files`,
  };
}
