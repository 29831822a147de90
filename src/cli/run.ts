/** `run`: the updater itself, resident or once. */
import { awaitFree } from '../effects/supervisor/container.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { stateDir } from '../effects/trees.ts';
import { acquireLock } from '../journal/lock.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { Notifier } from '../notify/notifier.ts';
import { formatDuration, formatTime } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { LineReader } from '../support/bounded.ts';
import type { Web } from '../web/server.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { createRuntime, usesRunit } from './compose.ts';
import { type MetricsFile, metricsFileIfAsked } from './metrics-file.ts';
import { createNotifier, TELL_WITHIN_MS } from './notify.ts';
import { openJournal } from './open-journal.ts';
import type { Parts } from './parts.ts';
import { refuseBesideLoop } from './presence.ts';
import { createProgress } from './progress.ts';
import { titleOf } from './title.ts';
import { beginOrServe } from './unrecorded.ts';
import { startWebIfAsked, viewFor } from './web.ts';

export type Observe = (record: JournalRecord, state: State) => void;

/** Who is told of what the updater does. */
type Watchers = {
  onRecord: Observe;
  onProgress: (received: number, total: number) => void;
  web: Web | null;
  metrics: MetricsFile | null;
};

type Updater = {
  runtime: Runtime;
  supervisor: Supervisor;
  notifier: Notifier | null;
  end: () => void;
};

export async function run(args: Arguments, parts: Parts, observe: Observe): Promise<number> {
  const { log, config } = parts;
  await refuseBesideLoop(parts);
  const stop = new AbortController();
  // Each time: by default a second one would end the updater at once, and leave its app behind.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const progress = createProgress(process.stderr, log, config.logFormat);
  const web = args.once ? null : await startWebIfAsked(parts);
  const metrics = metricsFileIfAsked(parts);
  const watchers: Watchers = {
    web,
    metrics,
    onRecord: (record, state) => {
      process.title = titleOf(state, args.once);
      progress.onRecord(record, state);
      observe(record, state);
      web?.changed();
      metrics?.changed();
    },
    onProgress: (received, total) => {
      progress.onProgress(received, total);
      web?.progressed(received, total);
    },
  };
  let updater: Updater | null = null;
  process.on('SIGHUP', () => updater?.runtime.checkNow());
  try {
    updater = await beginOrServe(args, parts, stop.signal, () => begin(args, parts, watchers));
    if (updater === null) return EXIT.done;
    return args.once
      ? await runOnce(updater, args, parts, stop.signal)
      : await stayResident(updater, parts, stop.signal);
  } finally {
    web?.close();
    await updater?.runtime.ended();
    await metrics?.end();
    progress.end();
    updater?.end();
  }
}

async function runOnce(
  { runtime, supervisor, notifier }: Updater,
  args: Arguments,
  { config }: Parts,
  stop: AbortSignal,
): Promise<number> {
  const dueAt = await runtime.settle(stop);
  supervisor.detach();
  await notifier?.end(TELL_WITHIN_MS);
  if (usesRunit(config)) awaitFree(runtime.waitsForBusyApp ? config.busy.file : null);
  sayNextRun(Math.min(dueAt, notifier?.nextAt() ?? dueAt), args.json);
  return runtime.fault === null ? EXIT.done : EXIT.failed;
}

async function stayResident(
  { runtime, supervisor, notifier }: Updater,
  parts: Parts,
  stop: AbortSignal,
): Promise<number> {
  const { log, config } = parts;
  if (usesRunit(config)) readWakeCommands(runtime);
  await runtime.runUntil(stop);
  // Whoever ends us has little patience; what is not told now is told by the next one.
  await notifier?.end(0);
  if (!supervisor.endsWithUpdater) return EXIT.done;
  log.info('stopping the app');
  await supervisor.stop(config.stop);
  // What was just being started when the word came is there now.
  await runtime.ended();
  await supervisor.stop(config.stop);
  return EXIT.done;
}

/**
 * The words by which the container wakes its loop come to a resident updater on standard input
 * (docker/service/update/run).
 */
function readWakeCommands(runtime: Runtime): void {
  const words = new LineReader(
    (word) => (word === 'check' ? runtime.checkNow() : runtime.wake()),
    Number.POSITIVE_INFINITY,
  );
  process.stdin.on('data', (piece: Buffer) => words.push(piece));
}

/** Lock, journal, first facts. When any of it fails nothing of it stays. */
async function begin(
  args: Arguments,
  parts: Parts,
  { onRecord, onProgress, web, metrics }: Watchers,
): Promise<Updater> {
  using undo = new DisposableStack();
  const lock = acquireLock(stateDir(parts.places), parts.log.warn);
  undo.defer(() => lock.release());
  const journal = await openJournal(parts.places, parts.log);
  undo.defer(() => journal.close());
  const notifier = await createNotifier(parts, journal);
  const { runtime, supervisor } = await createRuntime(parts, journal, {
    once: args.once,
    appArgs: args.appArgs,
    appOutput: args.once ? 'file' : 'inherit',
    onProgress,
    onRecord: (record, state) => {
      onRecord(record, state);
      notifier?.observe(record, state);
    },
    onPolled: () => {
      notifier?.look();
      web?.changed();
      metrics?.changed();
    },
  });
  undo.defer(() => runtime.stop());
  notifier?.begin(runtime.state);
  if (web !== null || metrics !== null) {
    const view = viewFor(parts, journal, runtime, supervisor);
    web?.attach(view);
    metrics?.attach(view);
  }
  process.title = titleOf(runtime.state, args.once);
  await runtime.start({ poll: args.now });
  const kept = undo.move();
  return { runtime, supervisor, notifier, end: () => kept.dispose() };
}

/** On standard output, alone on it: whole seconds for a shell loop, or JSON. */
function sayNextRun(nextAt: number, json: boolean): void {
  const seconds = Math.max(1, Math.ceil((nextAt - Date.now()) / 1000));
  process.stdout.write(
    json
      ? `${JSON.stringify({ nextRun: formatTime(nextAt), nextRunInSeconds: seconds })}\n`
      : `${seconds}\n`,
  );
  if (process.stderr.isTTY)
    process.stderr.write(`update: next run in ${formatDuration(seconds * 1000)}\n`);
}
