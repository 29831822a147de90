/**
 * Commands that change something. Beside a running updater they go through the inbox, and its journal tells their fate;
 * without one, this process is the updater for as long as the command takes.
 */

import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { check } from '../effects/check.ts';
import { identityOf } from '../effects/github/client.ts';
import { wakeLoop } from '../effects/supervisor/container.ts';
import { MARKER, readMark } from '../effects/supervisor/process-table.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { exists, highestKept, inboxDir, readWorld, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import { acquireLock, isLocked, type Lock } from '../journal/lock.ts';
import { adoptPolicy } from '../machines/candidate.ts';
import { type Context, initialContext } from '../machines/context.ts';
import type { OperatorFact } from '../machines/facts.ts';
import type { Release } from '../machines/model.ts';
import { isLimitInForce } from '../machines/pacing.ts';
import { isLimitOf } from '../machines/poll-note.ts';
import { shownName } from '../machines/shown.ts';
import { replacementOf } from '../machines/unwanted.ts';
import { type Choice, checkInput, choiceOn, isNews } from '../machines/wanted.ts';
import { eventLine } from '../report/event.ts';
import { waitingFor } from '../report/waiting.ts';
import { describeFact } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import { commandFile, isPending, remove, submit } from '../runtime/inbox.ts';
import { Fault } from '../support/fault.ts';
import { redact, redactJson } from '../support/redact.ts';
import { visible } from '../support/visible.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { assetPatternOf, createGitHub, createRuntime, type Parts, usesRunit } from './compose.ts';
import { noteStore } from './notes.ts';
import { createNotifier, TELL_WITHIN_MS } from './notify.ts';
import { openJournal } from './open-journal.ts';
import { createProgress } from './progress.ts';
import { readState } from './read.ts';
import { refuseBesideLoop } from './run.ts';

/** An updater that is awake takes a command within milliseconds. */
const TAKEN_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 100;
/** These change what is remembered, and need nothing done. */
const QUICK = new Set<OperatorFact['type']>(['paused', 'resumed', 'versionDenied', 'versionRetried', 'holdReleased']);

/** `check`: asks GitHub without changing anything, and wakes a running updater. */
export async function checkOnly(args: Arguments, parts: Parts, signal: AbortSignal): Promise<number> {
  const { places, policy, config } = parts;
  const journal = Journal.openForReading(stateDir(places));
  const empty = { note: { read: () => readState(parts).note, write: () => {} }, cache: { read: () => null, write: () => {} } };
  const { note, cache } = journal === null ? empty : noteStore(journal, false, config.secrets);
  try {
    const { github } = createGitHub(parts, cache);
    const known = readState(parts).state?.snapshot.context ?? initialContext({ policy, world: await readWorld(places), floor: await highestKept(places) });
    const context = { ...known, ...adoptPolicy(known, policy) };
    const fact = await check({ ...checkInput(context), request: null }, signal, {
      github,
      places,
      note,
      pollIntervalMs: config.pollIntervalMs,
      now: Date.now,
      random: Math.random,
      assetPattern: assetPatternOf(config),
    });
    const current = (context.current ?? context.baked)?.version ?? null;
    if ('code' in fact && (!('tag' in fact) || fact.version === undefined || isNews(context, fact.version, fact.tag))) throw new Fault(fact.code, fact.message);
    const release = fact.type === 'releaseFound' ? fact.release : null;
    const choice = release === null ? null : choiceOn(context, release);
    const available = choice === 'follow';
    if (available) wake(parts);
    const text = release === null || choice === null ? `up to date: ${current ?? 'nothing is installed'}` : describeChoice(choice, release, current, context);
    const answer = { updateAvailable: available, version: current, latest: release?.version ?? null, latestTag: release?.tag ?? null };
    process.stdout.write(args.json ? `${JSON.stringify(redactJson(answer, config.secrets()))}\n` : `${visible(redact(text, config.secrets()))}\n`);
    return available ? EXIT.updateAvailable : EXIT.done;
  } finally {
    journal?.close();
  }
}

/** "Up to date" is said only where it is true: a newer release may be denied, or wait for the operator's word. */
function describeChoice(choice: Choice, release: Release, running: string | null, context: Context): string {
  const { version, tag, asset } = release;
  const { hold, highestHealthy } = context;
  const current = running ?? 'nothing is installed';
  const passedOver = (reason: string) => `not up to date: ${current}. ${version} is there, and ${reason}`;
  switch (choice) {
    case 'follow':
      return `${running ?? 'nothing'} → ${version} (${tag}): ${asset.name}`;
    case 'notNewer':
      return `up to date: ${current}, latest ${version}`;
    case 'replaced':
      return `up to date: ${current}. ${replacementOf(context.current, release).message}`;
    case 'denied':
      return passedOver(`is denied (\`self-update retry ${version}\` allows it)`);
    case 'held':
      return passedOver(`${hold?.version} is held (\`self-update release\` ends that)`);
    case 'paused':
      return passedOver('updates are paused (`self-update resume` ends that)');
    case 'belowFloor':
      return passedOver(
        `is below ${highestHealthy}, which was healthy here (\`self-update deny ${highestHealthy}\` gives that up, \`self-update install ${tag}\` installs it)`,
      );
    default:
      return choice satisfies never;
  }
}

/** Tells a running updater to look now; where none runs, nobody needs to know. */
function wake(parts: Parts): void {
  const { places, config } = parts;
  const lock = tryLock(parts);
  lock?.release();
  if (lock !== null && !sleeps(config)) return;
  submit(inboxDir(places), { type: 'checkNow' });
  if (usesRunit(config)) wakeLoop();
}

/** Whether the updater of this container sleeps, or works, between two runs of its loop: waking it changes nothing. */
function sleeps(config: Config): boolean {
  return usesRunit(config) && wakeLoop();
}

function tryLock({ places, log }: Parts): Lock | null {
  try {
    return acquireLock(stateDir(places), log.warn);
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}

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
    default:
      throw new Error(`invariant: ${command} is no operator's command`);
  }
}

export async function operate(args: Arguments, parts: Parts, signal: AbortSignal): Promise<number> {
  const fact = await factOf(args);
  if (sleeps(parts.config)) return besideUpdater(fact, args, parts, signal);
  await refuseBesideLoop(parts);
  const lock = tryLock(parts);
  return lock === null ? besideUpdater(fact, args, parts, signal) : asUpdater(fact, args, parts, signal, lock);
}

async function asUpdater(fact: OperatorFact, args: Arguments, parts: Parts, given: AbortSignal, lock: Lock): Promise<number> {
  const signal = interruptionOf(given, parts);
  const { places, log, config } = parts;
  const startedAt = Date.now();
  const journal = await openJournal(places, log);
  const progress = createProgress(process.stderr, log, config.logFormat);
  try {
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
    if (QUICK.has(fact.type)) {
      runtime.dispatch(fact);
      runtime.stop();
      return outcome(fact, args, parts, startedAt);
    }
    submit(inboxDir(places), fact);
    await runtime.start();
    await runtime.settle(signal);
    supervisor.detach();
    await notifier?.end(TELL_WITHIN_MS);
    if (runtime.fault) throw runtime.fault;
    if (signal.aborted && !runtime.state.snapshot.hasTag('resting'))
      throw new Fault(
        'COMMAND_INTERRUPTED',
        `interrupted while ${shownName(runtime.state.snapshot)}, and ${await describeApp(supervisor, runtime.state)}: \`self-update update\` goes on from there`,
      );
  } finally {
    progress.end();
    journal.close();
    lock.release();
  }
  return outcome(fact, args, parts, startedAt);
}

/** As it is now, and not as it may be. */
async function describeApp(supervisor: Supervisor, { snapshot }: State): Promise<string> {
  const isAlive = await supervisor.isAlive().catch(() => null);
  if (isAlive === null) return 'it could not be seen whether the app runs';
  if (!isAlive) return 'the app is down';
  return snapshot.matches('stopping') || snapshot.matches('rollingBack') ? 'the app was told to stop, and still runs' : 'the app runs';
}

/**
 * What interrupts an update. An app that asked for its own ends its children, and closes their terminal, when it is stopped for it: that is no
 * word of the operator's, and would leave it stopped.
 */
function interruptionOf(signal: AbortSignal, { environment, places }: Parts): AbortSignal {
  if (readMark(environment[MARKER] ?? '', places.root) === null) return signal;
  const interrupted = new AbortController();
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
  process.once('SIGINT', () => interrupted.abort());
  return interrupted.signal;
}

/** Hands the command over, then follows the journal until the updater rests again. */
async function besideUpdater(fact: OperatorFact, args: Arguments, parts: Parts, signal: AbortSignal): Promise<number> {
  const directory = inboxDir(parts.places);
  const startedAt = Date.now();
  const before = readState(parts).seq;
  const checkedBefore = readState(parts).note.lastCheckAt;
  const id = submit(directory, fact);
  if (usesRunit(parts.config)) wakeLoop();
  const deadline = performance.now() + TAKEN_WITHIN_MS;
  while (isPending(directory, id)) {
    if (signal.aborted) remove(commandFile(directory, id));
    const lock = isAlone(parts) ? tryLock(parts) : null;
    if (lock !== null) {
      // It ended before it saw the command.
      remove(commandFile(directory, id));
      return asUpdater(fact, args, parts, signal, lock);
    }
    if (performance.now() > deadline && readState(parts).state?.snapshot.hasTag('resting'))
      throw new Fault('NOT_TAKEN', 'the updater does not take commands: is it suspended? The command stays in the inbox');
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
  if (QUICK.has(fact.type)) return outcome(fact, args, parts, startedAt);
  await followUntilResting(parts, before, fact.type === 'updateRequested' ? checkedBefore : undefined, args, signal);
  return outcome(fact, args, parts, startedAt);
}

/** Whether nobody is at work, and nobody will be. */
function isAlone({ places, config }: Parts): boolean {
  return !usesRunit(config) && !isLocked(stateDir(places));
}

async function followUntilResting(parts: Parts, from: number, checkedBefore: number | null | undefined, args: Arguments, signal: AbortSignal): Promise<void> {
  const journalOf = () => Journal.openForReading(stateDir(parts.places));
  let seq = from;
  let restingLooks = 0;
  for (;;) {
    const journal = journalOf();
    const records = journal?.read(seq) ?? [];
    journal?.close();
    for (const record of records) {
      seq = record.seq;
      process.stderr.write(`${args.json ? eventLine(record, true) : `update: ${visible(describeFact(record.fact))}`}\n`);
    }
    const { state, note } = readState(parts);
    // While a limit is in force nobody is asked.
    const isLimited = isLimitInForce(note.limitedUntilAt, Date.now()) && isLimitOf(note, identityOf(parts.config.token()));
    const checked = checkedBefore === undefined || note.lastCheckAt !== checkedBefore || isLimited || isAlone(parts);
    // What polling learnt is noted a moment before what it found is a fact. The container's updater ends when it has nothing left to do,
    // unless it serves HTTP; a resident one is looked at twice.
    const rests = checked && state?.snapshot.hasTag('resting') && readState(parts).seq === seq;
    const endsSoon = usesRunit(parts.config) && parts.config.http.address === null && isLocked(stateDir(parts.places));
    restingLooks = rests && !endsSoon ? restingLooks + 1 : 0;
    if (restingLooks >= 2) return;
    if (isAlone(parts) && !state?.snapshot.hasTag('resting') && readState(parts).seq === seq)
      throw new Fault('UPDATER_GONE', 'the updater ended in the middle of it: start it again, and it goes on from there');
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** What became of it, in one line; the exit status says the same. Trouble from before `sinceMs` is not this command's. */
function outcome(fact: OperatorFact, args: Arguments, parts: Parts, sinceMs: number): number {
  const { state, note } = readState(parts);
  if (state === null) throw new Fault('JOURNAL_MISSING', 'nothing was recorded');
  const { current, hold, lastError } = state.snapshot.context;
  const version = current?.version ?? null;
  const troubles = QUICK.has(fact.type) ? [] : [lastError, note.lastError].filter((trouble) => trouble !== null).filter(({ at }) => at >= sinceMs);
  const waiting = waitingFor(state, note, Date.now());
  const problem = troubles.sort((a, b) => b.at - a.at)[0] ?? null;
  const done = problem === null && !(fact.type === 'installRequested' && missed(fact.tag, hold));
  const text = problem
    ? `${problem.message} [${problem.code}]; version ${version ?? 'none'} runs`
    : `${describeFact(fact)}: ${done ? 'done' : 'not done'}, version ${version ?? 'none'}${waiting === null ? '' : `; ${waiting.message}`}`;
  if (args.json)
    process.stdout.write(
      `${JSON.stringify({ ok: done, version, tag: current?.tag ?? null, waitingFor: waiting, error: problem && { code: problem.code, message: problem.message } })}\n`,
    );
  else (problem ? process.stderr : process.stdout).write(`${problem ? 'update: ' : ''}${visible(text)}\n`);
  if (done) return EXIT.done;
  // What was asked for is there, and runs as soon as it may.
  return problem === null && state.snapshot.context.candidate?.byOperator ? EXIT.tryAgain : EXIT.failed;
}

/** Whether something else is held than what was asked for. */
function missed(wanted: string | null, hold: { version: string; tag: string } | null): boolean {
  return hold === null || (wanted !== null && hold.tag !== wanted && hold.version !== wanted.replace(/^v(?=\d)/, ''));
}
