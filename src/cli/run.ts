/** `run`: the updater itself, resident or once. */
import { stateDir } from '../effects/trees.ts';
import { acquireLock } from '../journal/lock.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { State } from '../runtime/fold.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { createRuntime, openJournal, type Parts } from './compose.ts';
import { createProgress } from './progress.ts';
import { formatDuration, formatTime } from './words.ts';

export type Observe = (record: JournalRecord, state: State) => void;

export async function run(args: Arguments, parts: Parts, observe: Observe): Promise<number> {
  const { places, log, config } = parts;
  const lock = acquireLock(stateDir(places));
  const journal = openJournal(places, log);
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
    await runtime.start();
    if (args.once) {
      const nextAt = await runtime.settle(stop.signal);
      supervisor.detach();
      sayNextRun(nextAt, args.json);
      return runtime.fault === null ? EXIT.done : EXIT.failed;
    }
    await runtime.runUntil(stop.signal);
    log.info('stopping the app');
    await supervisor.stop({ signalName: config.UPDATE_STOP_SIGNAL, waitMs: config.SVWAIT });
    return EXIT.done;
  } finally {
    progress.end();
    journal.close();
    lock.release();
  }
}

/** On standard output, alone on it: whole seconds for a shell loop, or JSON. */
function sayNextRun(nextAt: number, json: boolean): void {
  const seconds = Math.max(1, Math.ceil((nextAt - Date.now()) / 1000));
  process.stdout.write(json ? `${JSON.stringify({ nextRun: formatTime(nextAt), nextRunInSeconds: seconds })}\n` : `${seconds}\n`);
  if (process.stderr.isTTY) process.stderr.write(`update: next run in ${formatDuration(seconds * 1000)}\n`);
}
