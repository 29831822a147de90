/**
 * Power cuts at any moment of an update: the system calls of a real run are played on a disk that
 * forgets what was not synced, and what it is left with is read by the product's own code. Every
 * thirtieth is also started for real.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { execa } from 'execa';
import { removeTree } from '../../src/effects/durable.ts';
import { problemsOf } from '../../src/effects/integrity.ts';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { type Places, readWorld } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { restore } from '../../src/runtime/restore.ts';
import { cases, isFull, type Random } from '../support/chaos/cases.ts';
import { type Cut, Disk, type Operation } from '../support/chaos/disk.ts';
import { operationsIn, RECORDED, RECORDING_OPTIONS } from '../support/chaos/recorder.ts';
import { KINDS, type Kind, nameOf, Scenario } from '../support/chaos/scenario.ts';
import { traced } from '../support/chaos/strace.ts';

const CUTS: readonly (Cut & { name: string })[] = [
  { name: 'the newest entries lost', entries: 'ordered', lostWrites: 0.5 },
  { name: 'entries and writes lost in any order', entries: 'any', lostWrites: 0.5 },
  { name: 'all that was not synced lost', entries: 'any', lostWrites: 1 },
];
/** Each moment is cut so often, with other dice. */
const ROUNDS = 4;
const START_EVERY = 30;

type Recording = { kind: Kind; scenario: Scenario; before: string; operations: Operation[] };
type PowerCut = {
  recording: Recording;
  moment: number;
  cut: (typeof CUTS)[number];
  started: boolean;
  title: string;
};

const root = mkdtempSync(
  path.join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'power-cut-'),
);

/** An update, from a disk where all is durable. */
async function record(kind: Kind): Promise<Recording> {
  const scenario = await Scenario.prepare(kind);
  // The app's data is begun with what the release brings.
  if (kind.story === 'first') scenario.link('README.md');
  const { dir } = scenario.product;
  mkdirSync(dir, { recursive: true });
  await execa('sync');
  const before = path.join(root, nameOf(kind).replaceAll(/\W+/g, '-'));
  cpSync(dir, before, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (file) => !file.endsWith('.log'),
  });
  const { output, ...wrapping } = traced(scenario.product, [
    '-e',
    `trace=${RECORDED.join()}`,
    ...RECORDING_OPTIONS,
  ]);
  await scenario.update(wrapping);
  assert.ok(scenario.isDone(), await scenario.log());
  return { kind, scenario, before, operations: operationsIn(output, dir) };
}

const recordings: Recording[] = [];
const FIRST: Kind = { strategy: 'download-then-kill', story: 'first', mode: 'once' };
for (const kind of [...KINDS.filter(({ mode }) => mode === 'once'), FIRST])
  recordings.push(await record(kind));
after(async () => {
  for (const { scenario } of recordings) await scenario[Symbol.asyncDispose]();
  await removeTree(root);
});

const cuts: PowerCut[] = recordings.flatMap((recording) =>
  recording.operations.flatMap((operation, moment) =>
    CUTS.flatMap((cut) =>
      Array.from({ length: ROUNDS }, (_, round) => ({
        recording,
        moment,
        cut,
        started: false,
        title: `after operation ${moment} (${operation.type}), ${cut.name}, round ${round + 1} (${nameOf(recording.kind)})`,
      })),
    ),
  ),
);
for (let index = 0; index < cuts.length; index += START_EVERY)
  Object.assign(cuts[index] as PowerCut, { started: true });

/** Plays the run up to the moment, and cuts the power. */
function play({ recording, moment, cut }: PowerCut, into: string, random: Random): Operation[] {
  const disk = new Disk(recording.before);
  const played = recording.operations.slice(0, moment + 1);
  for (const operation of played) disk.play(operation);
  disk.cut(into, cut, random);
  return played;
}

/** Whatever is left replays, and agrees with itself. Returns the version that would run. */
async function consistent(
  directory: string,
  scenario: Scenario,
  played: readonly Operation[],
): Promise<string> {
  const journal = Journal.open(path.join(directory, 'state'));
  try {
    const { state } = restore(journal);
    const facts = journal.read().map(({ fact }) => fact);
    const places: Places = { ...scenario.places, root: directory };
    const { current, lastGood } = await readWorld(places);
    // Before the first start nothing is; then nothing that was may be gone.
    if (scenario.kind.story !== 'first') {
      assert.ok(state, 'the journal is empty');
      assert.ok(current, 'nothing is linked as current');
      assert.ok(lastGood, 'nothing is linked as last-good');
    }
    for (const tree of [current, lastGood])
      if (tree !== null && tree.digest !== null)
        assert.deepEqual(
          await problemsOf(tree.path, scenario.linked),
          [],
          `${tree.version} is not complete`,
        );
    // What has a manifest counts, and could be gone back to.
    for (const tree of treesIn(path.join(directory, 'releases')))
      if (existsSync(path.join(tree, MANIFEST_NAME)))
        assert.deepEqual(await problemsOf(tree, scenario.linked), [], `${tree} is half there`);
    for (const name of scenario.linked) {
      const data = path.join(directory, 'linked', name);
      if (existsSync(data))
        assert.equal(readFileSync(data, 'utf8'), '# app 0.0.1\n', 'half of the data looks whole');
    }
    const has = (type: Fact['type'], fits: (fact: Fact) => boolean = () => true) =>
      facts.some((fact) => fact.type === type && fits(fact));
    // Append before act.
    if (played.some(({ type }) => type === 'kill'))
      assert.ok(
        has('switchStarted', (fact) => 'to' in fact && fact.to === '0.0.2'),
        'the app was stopped before that was durable',
      );
    if (current?.version === '0.0.2')
      assert.ok(
        has('switchStarted', (fact) => 'to' in fact && fact.to === '0.0.2'),
        'switched before that was durable',
      );
    // A fact says what the disk holds.
    if (has('versionBecameHealthy', (fact) => 'version' in fact && fact.version === '0.0.2'))
      assert.equal(lastGood?.version, '0.0.2');
    const last = facts.at(-1);
    if (last?.type === 'downloaded')
      assert.equal(
        sha256Of(path.join(directory, 'tmp', path.basename(last.path))),
        last.sha256,
        'what was downloaded is not on the disk',
      );
    if (last?.type === 'installed') {
      assert.deepEqual(
        await problemsOf(
          path.join(directory, 'releases', path.basename(last.version.path)),
          scenario.linked,
        ),
        [],
      );
      assert.deepEqual(
        readdirSync(path.join(directory, 'tmp')).filter((name) => name.startsWith('tree-')),
        [],
        'the tree is in two places',
      );
    }
    return current?.version ?? 'the baked version';
  } finally {
    journal.close();
  }
}

function treesIn(releases: string): string[] {
  return existsSync(releases) ? readdirSync(releases).map((name) => path.join(releases, name)) : [];
}

function sha256Of(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** The same in the place where it was recorded, by a real start. One at a time in each. */
const turns = new Map<Recording, Promise<unknown>>();
async function start(powerCut: PowerCut, random: Random): Promise<string> {
  const { recording } = powerCut;
  const turn = (turns.get(recording) ?? Promise.resolve()).then(async () => {
    const { scenario } = recording;
    await scenario.endApps();
    await removeTree(scenario.product.dir);
    play(powerCut, scenario.product.dir, random);
    return scenario.recover();
  });
  turns.set(
    recording,
    turn.catch(() => {}),
  );
  return turn;
}

cases(
  'power-cut',
  cuts,
  {
    sample: 300,
    concurrency: isFull ? 4 : 2,
    group: ({ cut, started }) => `${cut.name}${started ? ', then a real start' : ''}`,
  },
  async (powerCut, random) => {
    if (powerCut.started) return `${await start(powerCut, random)} ran`;
    const directory = mkdtempSync(path.join(root, 'state-'));
    rmSync(directory, { recursive: true });
    try {
      const played = play(powerCut, directory, random);
      return `${await consistent(directory, powerCut.recording.scenario, played)} would run`;
    } finally {
      await removeTree(directory);
    }
  },
);
