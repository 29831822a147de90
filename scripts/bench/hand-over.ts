/**
 * Updates under load: an app that borrows a held socket beside the same app that binds its port
 * itself. Half of the requests on new connections, half on kept ones, a third of each to a handler
 * of 0, of 50 and of 500 ms.
 */
import { globalSetup, globalTeardown } from '../../test/support/docker/setup.ts';
import {
  LOADED_APPS,
  type LoadedApp,
  loadThroughUpdates,
  type Manner,
  type StreamOfUpdates,
} from '../../test/support/load/updates.ts';
import { figuresOf, type Row } from './rows.ts';

const UPDATES = 10;
const IN_A_ROW = 100;
/** Requests a second, of all together. */
const RATE = 500;
const HANDLERS_MS = [0, 50, 500];
const CONNECTIONS = ['new', 'kept'] as const;
/** runsv pauses before it starts a service again that ran for less than a second. */
const REST_MS = 500;
const MANNERS: readonly Manner[] = ['download-then-kill', 'hand-over'];
const REFERENCE = 'it binds itself';

/** What was waited beyond the handler's own time, by handler: the median, the least and the most. */
function waits(
  streams: readonly StreamOfUpdates[],
  which: 'p99Ms' | 'longestMs',
): ReturnType<typeof figuresOf> {
  return figuresOf(streams.map((stream) => Math.max(stream[which] - stream.handlerMs, 0)));
}

const sum = (streams: readonly StreamOfUpdates[], which: 'asked' | 'failed' | 'retried') =>
  streams.reduce((total, stream) => total + stream[which], 0);

function failedRow(
  what: string,
  streams: readonly StreamOfUpdates[],
  reference: readonly StreamOfUpdates[] | null,
): Row {
  const reasons = streams.flatMap((stream) =>
    Object.entries(stream.reasons).map(([reason, count]) => `${count} ${reason}`),
  );
  const asked = `of ${sum(streams, 'asked')}`;
  const among =
    reference === null ? asked : `${asked}; ${REFERENCE}: of ${sum(reference, 'asked')}`;
  const retried = sum(streams, 'retried');
  return {
    what: `failed, ${what}`,
    unit: 'requests',
    measured: figuresOf([sum(streams, 'failed')]),
    reference:
      reference === null
        ? null
        : { name: REFERENCE, figures: figuresOf([sum(reference, 'failed')]) },
    compare: 'value',
    goal: 0,
    remark: [among, retried === 0 ? '' : `${retried} sent twice`, ...reasons]
      .filter(Boolean)
      .join('; '),
  };
}

function rowsOf(
  what: string,
  streams: readonly StreamOfUpdates[],
  reference: readonly StreamOfUpdates[],
): Row[] {
  const wait = (name: string, which: 'p99Ms' | 'longestMs'): Row => ({
    what: `${name}, ${what}`,
    unit: 'ms',
    measured: waits(streams, which),
    reference: { name: REFERENCE, figures: waits(reference, which) },
    compare: 'ratio',
    goal: null,
  });
  return [
    failedRow(what, streams, reference),
    wait('99 % waited less', 'p99Ms'),
    wait('longest wait', 'longestMs'),
  ];
}

async function updatesOf(app: LoadedApp): Promise<Row[]> {
  const load = (manner: Manner) =>
    loadThroughUpdates({
      app,
      manner,
      updates: UPDATES,
      rate: RATE,
      connections: CONNECTIONS,
      handlerMs: HANDLERS_MS,
      restMs: REST_MS,
    });
  const itself = await load('binds itself');
  const rows: Row[] = [];
  for (const manner of MANNERS) {
    const held = await load(manner);
    for (const connections of CONNECTIONS) {
      const of = (streams: readonly StreamOfUpdates[]) =>
        streams.filter((stream) => stream.connections === connections);
      const what = `${manner}, ${LOADED_APPS[app]}, ${connections} connections`;
      rows.push(...rowsOf(what, of(held), of(itself)));
    }
  }
  return rows;
}

async function inARow(manner: Manner): Promise<Row> {
  const streams = await loadThroughUpdates({
    app: 'nodeChanged',
    manner,
    updates: IN_A_ROW,
    rate: RATE,
    connections: CONNECTIONS,
    handlerMs: [0, 50],
    env: { UPDATE_PROBATION: '0.1' },
  });
  const longestMs = Math.max(...streams.map((stream) => stream.longestMs - stream.handlerMs));
  const row = failedRow(`${IN_A_ROW} updates in a row, ${manner}, Node`, streams, null);
  return { ...row, remark: `${row.remark}; longest wait ${Math.round(longestMs)} ms` };
}

export async function handOver(): Promise<Row[]> {
  await globalSetup();
  try {
    const rows: Row[] = [];
    for (const app of ['go', 'nodeChanged', 'nodeUnchanged'] as const)
      rows.push(...(await updatesOf(app)));
    for (const manner of MANNERS) rows.push(await inARow(manner));
    return rows;
  } finally {
    await globalTeardown();
  }
}
