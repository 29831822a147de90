/**
 * Requests and bytes: what a container, and ten behind one address, ask of GitHub; what a killed
 * download fetches again; what each source is asked.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Product } from '../../test/support/product.ts';
import { simulate, WINDOWS, windowOf } from '../../test/support/quota.ts';
import { figuresOf, type Row } from './rows.ts';
import { bySource } from './sources.ts';

const RUNS = 5;
const BYTES = 30_000_000;

/**
 * Bytes that are sent for an asset, as a part of its size, when the updater is killed in the middle
 * of it.
 */
async function fetchedTimes(): Promise<number> {
  await using product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill' } });
  product.start();
  await product.fact('versionBecameHealthy');
  product.github.misbehave = { throttle: 20_000_000, stallAfterBytes: BYTES / 2 };
  product.github.publish('v1.0.0', { 'app.tar.gz': randomBytes(BYTES) });
  const stalled = once(product.github.events, 'limit');
  const asked = product.command(['update']);
  await stalled;
  await product.killUpdater();
  product.github.misbehave = {};
  product.start();
  // Random bytes are no archive: what is refused then was downloaded.
  await product.fact('downloaded');
  await asked;
  const ranges = product.github.requests
    .filter(({ path }) => path.startsWith('/storage/'))
    .map(({ headers }) => Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0));
  return (BYTES / 2 + BYTES - (ranges.at(-1) ?? 0)) / BYTES;
}

export async function requests(): Promise<Row[]> {
  const hourly = async (containers: number) => {
    const asked = await simulate(containers);
    return Array.from({ length: WINDOWS }, (_, window) =>
      asked.filter((request) => windowOf(request) === window),
    );
  };
  const alone = (await hourly(1)).map((requests) => requests.length);
  const ten = await hourly(10);
  const refusals = ten.flatMap((requests) =>
    Array.from(
      { length: 10 },
      (_, container) =>
        requests.filter((request) => request.container === container && request.refused).length,
    ),
  );
  const fetched: number[] = [];
  for (let run = 0; run < RUNS; run++) fetched.push(await fetchedTimes());
  return [
    {
      what: 'requests an hour at the default `SLEEP`',
      unit: 'requests',
      measured: figuresOf([Math.max(...alone)]),
      reference: null,
      compare: 'value',
      goal: 12,
    },
    {
      what: 'ten behind one address: 403 for one, in an hour',
      unit: 'requests',
      measured: figuresOf([Math.max(...refusals)]),
      reference: null,
      compare: 'value',
      goal: 1,
      remark: `${ten.map((requests) => requests.filter(({ refused }) => !refused).length).join(', ')} answers in the hours, of 60 each`,
    },
    {
      what: 'bytes fetched, killed in mid download',
      unit: 'times',
      measured: figuresOf(fetched),
      reference: null,
      compare: 'value',
      goal: 1.05,
      remark: 'of 30 MB; what was on its way to the disk is fetched again',
    },
    ...(await bySource()),
  ];
}
