/** A long life's journal: 50,000 facts, and ten years of polling. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Journal } from '../../src/journal/journal.ts';
import type { JournalRecord } from '../../src/journal/record.ts';
import { pollNoteSchema } from '../../src/machines/poll-note.ts';
import { begin, evolve, type State, serializeState } from '../../src/runtime/fold.ts';
import { restore } from '../../src/runtime/restore.ts';
import { appArchive } from '../../test/support/app.ts';
import { Product } from '../../test/support/product.ts';
import { figuresOf, type Row } from './rows.ts';
import { cpuMs, snapshotIn } from './start.ts';

const RUNS = 11;
const FACTS = 50_000;
const CHECKPOINT_EVERY = 200;
const YEARS = 10;
const POLLS_A_WEEK = (7 * 86_400) / 300;

/** The facts of one update, lived again and again. */
class Life {
  readonly #journal: Journal;
  readonly #life: readonly JournalRecord[];
  #state: State;
  #seq: number;

  constructor(journal: Journal) {
    this.#journal = journal;
    const [first, ...life] = journal.read();
    if (first === undefined || life.length === 0) throw new Error('there is no life to repeat');
    this.#life = life;
    this.#state = life.reduce(evolve, begin(first));
    this.#seq = journal.lastSeq();
  }

  get length(): number {
    return this.#seq;
  }

  next(): void {
    const { fact, at } = this.#life[this.#seq % this.#life.length] as JournalRecord;
    this.#state = evolve(
      this.#state,
      this.#journal.append(fact, { at, effect: null, command: null, durable: false }),
    );
    this.#seq += 1;
    if (this.#seq % CHECKPOINT_EVERY === 0)
      this.#journal.saveCheckpoint({ seq: this.#seq, state: serializeState(this.#state) });
  }

  again(): void {
    for (let count = 0; count < this.#life.length; count++) this.next();
  }
}

const bytesIn = (directory: string) =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(path.join(directory, name)).size, 0);

/** What the updater's boot does with it: open, look at the pages, restore from the checkpoint. */
function bootMs(directory: string): number {
  const startedAt = performance.now();
  const journal = Journal.open(directory);
  if (restore(journal).state === null) throw new Error('it is empty');
  const tookMs = performance.now() - startedAt;
  journal.close();
  return tookMs;
}

export async function journal(): Promise<Row[]> {
  await using product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill' } });
  product.github.publish('v0.0.2', {
    'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
  });
  await product.command(['run', '--once']);
  const state = path.join(product.dir, 'state');
  const woken = snapshotIn(product.root);
  const few: number[] = [];
  const fewBoot: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    few.push(await cpuMs(woken('status'), product.env));
    fewBoot.push(bootMs(state));
  }
  const years = mkdtempSync(path.join(os.tmpdir(), 'bench-years-'));
  const megabytes = tenYears(product, years);
  const long = Journal.open(state);
  const life = new Life(long);
  while (life.length < FACTS) life.next();
  long.close();
  const many: number[] = [];
  const manyBoot: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    many.push(await cpuMs(woken('status'), product.env));
    manyBoot.push(bootMs(state));
  }
  rmSync(years, { recursive: true });
  const reference = (values: number[]) => ({
    name: 'with a dozen facts',
    figures: figuresOf(values),
  });
  return [
    {
      what: 'boot from 50,000 facts',
      unit: 'ms',
      measured: figuresOf(manyBoot),
      reference: reference(fewBoot),
      compare: 'value',
      goal: 100,
    },
    {
      what: 'CPU of `status`, 50,000 facts',
      unit: 'ms',
      measured: figuresOf(many),
      reference: reference(few),
      compare: 'value',
      goal: 100,
    },
    {
      what: `journal after ${YEARS} years, polled every 300 s`,
      unit: 'MB',
      measured: figuresOf([megabytes]),
      reference: null,
      compare: 'value',
      goal: 10,
      remark: 'with an update every week',
    },
  ];
}

function tenYears(product: Product, directory: string): number {
  const source = Journal.openForReading(path.join(product.dir, 'state'));
  const journal = Journal.open(directory);
  for (const { fact, at } of source?.read() ?? [])
    journal.append(fact, { at, effect: null, command: null, durable: false });
  source?.close();
  const life = new Life(journal);
  const note = pollNoteSchema.parse({
    latest: { version: '0.0.2', tag: 'v0.0.2', publishedAt: null },
  });
  for (let week = 0; week < YEARS * 52; week++) {
    for (let poll = 0; poll < POLLS_A_WEEK; poll++)
      journal.writeNote('poll', JSON.stringify({ ...note, lastCheckAt: week * 1e9 + poll }));
    life.again();
  }
  journal.close();
  return bytesIn(directory) / 1e6;
}
