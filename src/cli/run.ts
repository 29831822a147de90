/** `run`: the updater itself, resident or once. */
import { awaitFree, isLoopElsewhere } from '../effects/supervisor/container.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { stateDir } from '../effects/trees.ts';
import { acquireLock } from '../journal/lock.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { State } from '../runtime/fold.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Fault } from '../support/fault.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { createRuntime, type Parts, usesRunit } from './compose.ts';
import { openJournal } from './open-journal.ts';
import { createProgress } from './progress.ts';
import { beginOrServe } from './unrecorded.ts';
import { formatDuration, formatTime } from './words.ts';

export type Observe = (record: JournalRecord, state: State) => void;

export async function run(args: Arguments, parts: Parts, observe: Observe): Promise<number> {
  const { log, config } = parts;
  await refuseBesideLoop(parts);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const progress = createProgress(process.stderr, log, config.UPDATE_LOG_FORMAT);
  const onRecord: Observe = (record, state) => {
    progress.onRecord(record, state);
    observe(record, state);
  };
  let updater: Updater | null = null;
  process.on('SIGHUP', () => updater?.runtime.checkNow());
  updater = await beginOrServe(args, parts, stop.signal, () => begin(args, parts, onRecord, progress.onProgress));
  if (updater === null) return EXIT.done;
  const { runtime, supervisor, end } = updater;
  try {
    if (args.once) {
      const nextAt = await runtime.settle(stop.signal);
      supervisor.detach();
      if (usesRunit(config)) awaitFree(runtime.waitsForBusyApp ? config.UPDATE_BUSY_FILE : null);
      sayNextRun(nextAt, args.json);
      return runtime.fault === null ? EXIT.done : EXIT.failed;
    }
    await runtime.runUntil(stop.signal);
    if (!supervisor.endsWithUpdater) return EXIT.done;
    log.info('stopping the app');
    await supervisor.stop({ signalName: config.UPDATE_STOP_SIGNAL, waitMs: config.SVWAIT });
    return EXIT.done;
  } finally {
    await runtime.ended();
    progress.end();
    end();
  }
}

type Updater = { runtime: Runtime; supervisor: Supervisor; end: () => void };

/** Lock, journal, first facts. When any of it fails nothing of it stays. */
async function begin(args: Arguments, parts: Parts, onRecord: Observe, onProgress: (received: number, total: number) => void): Promise<Updater> {
  using undo = new DisposableStack();
  const lock = acquireLock(stateDir(parts.places));
  undo.defer(() => lock.release());
  const journal = await openJournal(parts.places, parts.log);
  undo.defer(() => journal.close());
  const options = { once: args.once, appArgs: args.appArgs, appOutput: args.once ? 'file' : 'inherit', onRecord, onProgress } as const;
  const { runtime, supervisor } = await createRuntime(parts, journal, options);
  undo.defer(() => runtime.stop());
  await runtime.start({ poll: args.now });
  const kept = undo.move();
  return { runtime, supervisor, end: () => kept.dispose() };
}

/** A loop that sleeps between two runs holds the directory all the same. */
export async function refuseBesideLoop({ places }: Parts): Promise<void> {
  if (!(await isLoopElsewhere(stateDir(places)))) return;
  throw new Fault(
    'LOCKED',
    `another updater follows ${places.root}, asleep or at work, and only one may. Stop it, or give this one an UPDATE_DIR of its own; \`self-update update\` in its container wakes it`,
  );
}

/** On standard output, alone on it: whole seconds for a shell loop, or JSON. */
function sayNextRun(nextAt: number, json: boolean): void {
  const seconds = Math.max(1, Math.ceil((nextAt - Date.now()) / 1000));
  process.stdout.write(json ? `${JSON.stringify({ nextRun: formatTime(nextAt), nextRunInSeconds: seconds })}\n` : `${seconds}\n`);
  if (process.stderr.isTTY) process.stderr.write(`update: next run in ${formatDuration(seconds * 1000)}\n`);
}
