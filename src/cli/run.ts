/** `run`: the updater itself, resident or once. */
import { isLoopElsewhere } from '../effects/supervisor/container.ts';
import { stateDir } from '../effects/trees.ts';
import { acquireLock } from '../journal/lock.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { State } from '../runtime/fold.ts';
import { Fault } from '../support/fault.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { createRuntime, openJournal, type Parts } from './compose.ts';
import { createProgress } from './progress.ts';
import { formatDuration, formatTime } from './words.ts';

export type Observe = (record: JournalRecord, state: State) => void;

export async function run(args: Arguments, parts: Parts, observe: Observe): Promise<number> {
  const { places, log, config } = parts;
  await refuseBesideLoop(parts);
  const lock = acquireLock(stateDir(places));
  const journal = await openJournal(places, log);
  const progress = createProgress(process.stderr, log, config.UPDATE_LOG_FORMAT);
  const stop = new AbortController();
  try {
    const { runtime, supervisor } = await createRuntime(parts, journal, {
      appArgs: args.appArgs,
      appOutput: args.once ? 'file' : 'inherit',
      onRecord: (record, state) => {
        progress.onRecord(record, state);
        observe(record, state);
      },
      onProgress: progress.onProgress,
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
    process.on('SIGHUP', () => runtime.checkNow());
    await runtime.start({ poll: args.now });
    if (args.once) {
      const nextAt = await runtime.settle(stop.signal);
      supervisor.detach();
      sayNextRun(nextAt, args.json);
      return runtime.fault === null ? EXIT.done : EXIT.failed;
    }
    await runtime.runUntil(stop.signal);
    if (!supervisor.endsWithUpdater) return EXIT.done;
    log.info('stopping the app');
    await supervisor.stop({ signalName: config.UPDATE_STOP_SIGNAL, waitMs: config.SVWAIT });
    return EXIT.done;
  } finally {
    progress.end();
    journal.close();
    lock.release();
  }
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
