/**
 * A journal that was damaged: it replays to the very same state, or it is set aside with a loud
 * message and the app runs on.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after } from 'node:test';
import { openJournal } from '../../src/cli/open-journal.ts';
import { Journal } from '../../src/journal/journal.ts';
import { serializeState } from '../../src/runtime/fold.ts';
import { restore } from '../../src/runtime/restore.ts';
import { cases, type Random } from '../support/chaos/cases.ts';
import { Scenario } from '../support/chaos/scenario.ts';

const FLIPS = 2000;
const STARTED_FLIPS = 20;

const scenario = await Scenario.prepare({
  strategy: 'download-then-kill',
  story: 'update',
  mode: 'once',
});
await scenario.update();
assert.ok(scenario.isDone(), await scenario.log());
const root = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'damage-'));
const intact = path.join(root, 'journal.db');
copyFileSync(Journal.path(path.join(scenario.product.dir, 'state')), intact);
checkpointed(intact);
const bytes = readFileSync(intact);
const expected = stateIn(intact);
after(async () => {
  await scenario[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

/** With a checkpoint, as an old journal has one. */
function checkpointed(file: string): void {
  const directory = path.join(root, 'checkpointed');
  mkdirSync(directory);
  copyFileSync(file, Journal.path(directory));
  const journal = Journal.open(directory);
  const { state } = restore(journal);
  if (state) journal.saveCheckpoint({ seq: journal.lastSeq(), state: serializeState(state) });
  journal.close();
  copyFileSync(Journal.path(directory), file);
}

function stateIn(file: string): string {
  const directory = mkdtempSync(path.join(root, 'state-'));
  copyFileSync(file, Journal.path(directory));
  const journal = Journal.open(directory);
  const { state } = restore(journal);
  journal.close();
  return state === null ? '' : serializeState(state);
}

/**
 * What the product makes of it, in-process: the state that it goes on from, or how it was refused.
 */
async function opened(content: Buffer): Promise<string> {
  const directory = mkdtempSync(path.join(root, 'case-'));
  const state = path.join(directory, 'state');
  mkdirSync(state);
  writeFileSync(Journal.path(state), content);
  const warnings: string[] = [];
  const log = {
    info: () => {},
    debug: () => {},
    warn: (message: string) => void warnings.push(message),
  };
  try {
    const journal = await openJournal({ ...scenario.places, root: directory }, log);
    const { state: found } = restore(journal);
    journal.close();
    const aside = readdirSync(state).some((name) => name.includes('.damaged-'));
    if (aside) assert.match(warnings.join('\n'), /JOURNAL_CORRUPT/);
    // A new journal begins with what is on the disk: that is the runtime's first fact.
    if (aside || found === null) return aside ? 'set aside, said so' : 'empty: a new one begins';
    assert.equal(serializeState(found), expected, 'it replays to another state');
    return 'replays to the same state';
  } catch (error) {
    if ((error as { code?: string }).code === 'JOURNAL_NEWER')
      return 'refused as a newer one: the app runs, nothing is touched';
    throw error;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The same for real: the damaged file in place, and a start. */
async function started(damage: (file: string) => void): Promise<string> {
  const directory = path.join(scenario.product.dir, 'state');
  for (const suffix of ['-wal', '-shm'])
    rmSync(`${Journal.path(directory)}${suffix}`, { force: true });
  damage(Journal.path(directory));
  const { exitCode, stderr } = await scenario.product.command(['run', '--once']);
  const isRefused = exitCode !== 0;
  if (isRefused) {
    assert.match(stderr, /JOURNAL_NEWER/);
    assert.equal((await scenario.product.command(['status'])).exitCode, 1);
    restoreIntact();
  }
  const version = await scenario.check(performance.now());
  assert.equal(version, '0.0.2');
  if (isRefused) return `${version} runs, the journal is refused as a newer one`;
  return /JOURNAL_(?:CORRUPT|MISSING)/.test(stderr)
    ? `${version} runs, and it is said`
    : `${version} runs as if nothing had been`;
}

function restoreIntact(): void {
  copyFileSync(intact, Journal.path(path.join(scenario.product.dir, 'state')));
}

function flipped(random: Random): Buffer {
  const content = Buffer.from(bytes);
  const bit = Math.floor(random() * content.length * 8);
  content[bit >> 3] = (content[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return content;
}

const { page_size: pageSize } = new DatabaseSync(intact, { readOnly: true })
  .prepare('PRAGMA page_size')
  .get() as { page_size: number };
const lengths = [
  ...new Set([
    0,
    1,
    16,
    100,
    ...Array.from(
      { length: Math.ceil(bytes.length / pageSize) + 1 },
      (_, page) => page * pageSize,
    ).flatMap((at) => [at, at + 1, at - 1]),
  ]),
];
const truncations = lengths
  .filter((length) => length >= 0 && length < bytes.length)
  .map((length) => ({ length, title: `cut to ${length} of ${bytes.length} bytes` }));

cases(
  'journal-truncated',
  truncations,
  { sample: truncations.length, group: () => 'cut at and beside every page boundary' },
  ({ length }) => opened(bytes.subarray(0, length)),
);

const flips = Array.from({ length: FLIPS }, (_, index) => ({
  title: `one bit flipped, ${index + 1}`,
}));
cases('journal-bit-flips', flips, { sample: 300, group: () => 'one bit flipped' }, (_, random) =>
  opened(flipped(random)),
);

const DAMAGES: { title: string; damage: (file: string, random: Random) => void }[] = [
  { title: 'deleted', damage: (file) => rmSync(file) },
  { title: 'cut to nothing', damage: (file) => truncateSync(file, 0) },
  { title: 'cut in half', damage: (file) => truncateSync(file, Math.floor(bytes.length / 2)) },
  { title: 'overwritten with text', damage: (file) => writeFileSync(file, 'hello\n'.repeat(1000)) },
  {
    title: 'a fact edited',
    damage: (file) =>
      edit(
        file,
        "UPDATE facts SET body = replace(body, '0.0.2', '0.0.9') WHERE type = 'releaseFound'",
      ),
  },
  { title: 'a fact removed', damage: (file) => edit(file, 'DELETE FROM facts WHERE seq = 3') },
  {
    title: 'the last facts removed',
    damage: (file) => edit(file, 'DELETE FROM facts WHERE seq > 3'),
  },
  { title: 'of a newer schema', damage: (file) => edit(file, 'PRAGMA user_version = 99') },
  ...Array.from({ length: STARTED_FLIPS }, (_, index) => ({
    title: `one bit flipped, started for real, ${index + 1}`,
    damage: (file: string, random: Random) => writeFileSync(file, flipped(random)),
  })),
];

function edit(file: string, sql: string): void {
  const db = new DatabaseSync(file);
  db.exec(sql);
  db.close();
}

cases(
  'journal-damaged',
  DAMAGES,
  { sample: DAMAGES.length, concurrency: 1, group: ({ title }) => title.replace(/, \d+$/, '') },
  ({ damage }, random) => {
    restoreIntact();
    return started((file) => damage(file, random));
  },
);
