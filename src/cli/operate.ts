/**
 * Commands that change something. Beside an updater they go through the inbox (beside.ts); without
 * one, this process is the updater for as long as the command takes. Either way its outcome is what
 * the updater noted of it.
 */

import path from 'node:path';
import { MARKER, readMark } from '../effects/supervisor/process-table.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { exists, inboxDir } from '../effects/trees.ts';
import type { Lock } from '../journal/lock.ts';
import type { OperatorFact } from '../machines/facts.ts';
import { shownName } from '../machines/shown.ts';
import { waitingFor } from '../report/waiting.ts';
import { describeFact } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import { submit } from '../runtime/inbox.ts';
import { isQuick, judge, type Outcome, readTaken } from '../runtime/outcomes.ts';
import { Fault } from '../support/fault.ts';
import { visible } from '../support/visible.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { besideUpdater } from './beside.ts';
import { createRuntime } from './compose.ts';
import { readPollNote } from './notes.ts';
import { createNotifier, TELL_WITHIN_MS } from './notify.ts';
import { openJournal } from './open-journal.ts';
import type { Parts } from './parts.ts';
import { becomeUpdater } from './presence.ts';
import { createProgress } from './progress.ts';
import { readState } from './read.ts';

/** The command as a fact. */
async function factOf({ command, operand, force }: Arguments): Promise<OperatorFact> {
  const value = operand ?? '';
  const forced = force ? { force } : {};
  switch (command) {
    case 'update':
      return { type: 'updateRequested', ...forced };
    case 'install':
      return (await exists(value)) && /[./]/.test(value) && !/^v?\d+(\.\d+)*$/.test(value)
        ? { type: 'installRequested', tag: null, file: path.resolve(value), ...forced }
        : { type: 'installRequested', tag: value, file: null, ...forced };
    case 'release':
      return { type: 'holdReleased' };
    case 'restart':
      return { type: 'restartRequested' };
    case 'pause':
      return { type: 'paused' };
    case 'resume':
      return { type: 'resumed' };
    case 'approve':
      return { type: 'versionApproved', version: value.replace(/^v(?=\d)/, '') };
    case 'deny':
      return { type: 'versionDenied', version: value.replace(/^v(?=\d)/, '') };
    case 'retry':
      return { type: 'versionRetried', version: value.replace(/^v(?=\d)/, '') };
    case 'fleet':
      return { type: 'fleetReleaseRequested' };
    default:
      throw new Error(`invariant: ${command} is no operator's command`);
  }
}

export async function operate(args: Arguments, parts: Parts, signal: AbortSignal): Promise<number> {
  const fact = await factOf(args);
  let lock = await becomeUpdater(parts);
  if (lock === null) {
    const handedOver = await besideUpdater(fact, args, parts, signal);
    if ('outcome' in handedOver) return tell(fact, handedOver.outcome, args, parts);
    lock = handedOver.lock;
  }
  return tell(fact, await asUpdater(fact, args, parts, signal, lock), args, parts);
}

/** Does it here. Gives the lock back, whatever happens. */
async function asUpdater(
  fact: OperatorFact,
  args: Arguments,
  parts: Parts,
  given: AbortSignal,
  lock: Lock,
): Promise<Outcome> {
  using undo = new DisposableStack();
  undo.defer(() => lock.release());
  const signal = interruptionOf(given, parts);
  const { places, log, config } = parts;
  const asked = {
    type: fact.type,
    tag: fact.type === 'installRequested' ? fact.tag : null,
    since: Date.now(),
  };
  const journal = await openJournal(places, log);
  undo.defer(() => journal.close());
  const progress = createProgress(process.stderr, log, config.logFormat);
  undo.defer(() => progress.end());
  const notifier = await createNotifier(parts, journal);
  const { runtime, supervisor } = await createRuntime(parts, journal, {
    once: true,
    appArgs: args.appArgs,
    appOutput: 'file',
    onRecord: (record, state) => {
      progress.onRecord(record, state);
      notifier?.observe(record, state);
    },
    onProgress: progress.onProgress,
    onPolled: () => notifier?.look(),
  });
  notifier?.begin(runtime.state);
  const judged = () =>
    judge(asked, runtime.state.snapshot.context, readPollNote(journal).lastError);
  if (isQuick(fact.type)) {
    runtime.dispatch(fact);
    runtime.stop();
    return judged();
  }
  const id = submit(inboxDir(places), fact);
  await runtime.start();
  await runtime.settle(signal);
  supervisor.detach();
  await notifier?.end(TELL_WITHIN_MS);
  if (runtime.fault) throw runtime.fault;
  const outcome = readTaken(journal, id)?.outcome ?? null;
  if (signal.aborted && !runtime.state.snapshot.hasTag('resting'))
    throw new Fault(
      'COMMAND_INTERRUPTED',
      `interrupted while ${shownName(runtime.state.snapshot)}, and ${await describeApp(supervisor, runtime.state)}: \`self-update update\` resumes`,
    );
  // The check that it asked for was not made to its end.
  if (signal.aborted && outcome === null)
    throw new Fault(
      'COMMAND_INTERRUPTED',
      'interrupted before the check that it asked for was made: give the command again',
    );
  return outcome ?? judged();
}

/** As it is now, and not as it may be. */
async function describeApp(supervisor: Supervisor, { snapshot }: State): Promise<string> {
  const isAlive = await supervisor.isAlive().catch(() => null);
  if (isAlive === null) return 'it could not be seen whether the app runs';
  if (!isAlive) return 'the app is down';
  return snapshot.matches('stopping') || snapshot.matches('rollingBack')
    ? 'the app was told to stop, and still runs'
    : 'the app runs';
}

/**
 * What interrupts an update. An app that asked for its own ends its children, and closes their
 * terminal, when it is stopped for it: that is no word of the operator's, and would leave it
 * stopped.
 */
function interruptionOf(signal: AbortSignal, { environment, places }: Parts): AbortSignal {
  if (readMark(environment[MARKER] ?? '', places.root) === null) return signal;
  const interrupted = new AbortController();
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
  process.once('SIGINT', () => interrupted.abort());
  return interrupted.signal;
}

/** What became of it, in one line; the exit status says the same. */
function tell(
  fact: OperatorFact,
  { ok, comesLater, version, tag, error }: Outcome,
  args: Arguments,
  parts: Parts,
): number {
  const { state, note } = readState(parts);
  if (state === null) throw new Fault('JOURNAL_MISSING', 'nothing was recorded');
  const waiting = waitingFor(state, note, Date.now());
  const text = error
    ? `${error.message} [${error.code}]; version ${version ?? 'none'} runs`
    : `${describeFact(fact)}: ${ok ? 'done' : 'not done'}, version ${version ?? 'none'}${waiting === null ? '' : `; ${waiting.message}`}`;
  if (args.json)
    process.stdout.write(`${JSON.stringify({ ok, version, tag, waitingFor: waiting, error })}\n`);
  else
    (error ? process.stderr : process.stdout).write(`${error ? 'update: ' : ''}${visible(text)}\n`);
  if (ok) return EXIT.done;
  return comesLater ? EXIT.tryAgain : EXIT.failed;
}
