/**
 * Commands that only read: they work beside a running updater and without one, and change nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters, styleText } from 'node:util';
import { readListenCounters, readQueues } from '../effects/accept-queue.ts';
import { partFile, sizeOf } from '../effects/download.ts';
import { readWorld, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import { type PollNote, pollNoteSchema } from '../machines/poll-note.ts';
import { eventLine, replaySummary } from '../report/event.ts';
import { historyOf, type Update } from '../report/history.ts';
import { describeShownSource } from '../report/source.ts';
import { type Status, statusOf } from '../report/status.ts';
import { formatBytes, formatDuration } from '../report/words.ts';
import { replay, type State } from '../runtime/fold.ts';
import { restore, restoreFrom } from '../runtime/restore.ts';
import { Fault } from '../support/fault.ts';
import { redactJson } from '../support/redact.ts';
import { visible, visibleJson } from '../support/visible.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { shownSource } from './followed-source.ts';
import { imageInfo } from './image.ts';
import { readApiLimit, readPollNote } from './notes.ts';
import type { Parts } from './parts.ts';
import { isAtWork, presenceOf } from './presence.ts';
import { folded, table } from './table.ts';
import { standingWarnings } from './warnings.ts';

const FOLLOW_INTERVAL_MS = 200;
const WATCH_INTERVAL_MS = 500;
/** Some terminals (serial lines, `docker exec -t` at first) say that they have none. */
const USUAL_COLUMNS = 80;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** `apiLimitedUntil`: see `readApiLimit`. */
export type Reading = {
  state: State | null;
  note: PollNote;
  seq: number;
  apiLimitedUntil: number;
};

/** The state as journaled, read in one go so that a reader that is suspended holds nothing. */
export function readState(parts: Parts): Reading {
  const journal = Journal.openForReading(stateDir(parts.places));
  if (journal === null)
    return { state: null, note: pollNoteSchema.parse({}), seq: 0, apiLimitedUntil: 0 };
  try {
    return {
      state: restore(journal).state,
      note: readPollNote(journal),
      seq: journal.lastSeq(),
      apiLimitedUntil: readApiLimit(journal),
    };
  } finally {
    journal.close();
  }
}

function readRecords(parts: Parts, after = 0): JournalRecord[] {
  const journal = Journal.openForReading(stateDir(parts.places));
  try {
    return journal?.read(after) ?? [];
  } finally {
    journal?.close();
  }
}

export function currentStatus(parts: Parts): Promise<Status> {
  return statusFrom(parts, readState(parts), isAtWork(parts));
}

/** What `status` says of a journal that was just read, or of one that is open here. */
export async function statusFrom(
  parts: Parts,
  { state, note, seq, apiLimitedUntil }: Reading,
  updaterRunning: boolean,
): Promise<Status> {
  const { places, policy, config } = parts;
  const release = state?.snapshot.matches({ incoming: { fetching: 'downloading' } })
    ? state.snapshot.context.candidate?.release
    : undefined;
  const status = statusOf(state, note, imageInfo(), {
    updaterRunning,
    seq,
    repository: policy.repository,
    source: shownSource(config, apiLimitedUntil),
    verify: config.trust.conditions,
    warnings: standingWarnings(parts),
    now: Date.now(),
    receivedBytes: release === undefined ? null : await sizeOf(partFile(places, release)),
    ...heldSockets(config.held.sockets),
  });
  const shown = redactJson(status, config.secrets());
  if (state !== null) return shown;
  const { current, baked } = await readWorld(places);
  const version = current ?? baked;
  return { ...shown, version: version?.version ?? null, tag: version?.tag ?? null };
}

function heldSockets(
  sockets: Parts['config']['held']['sockets'],
): Pick<Status, 'listening' | 'listenOverflows'> {
  const queues = readQueues(sockets);
  return {
    listening: sockets.map((socket, index) => ({ ...socket, waiting: queues[index] ?? null })),
    listenOverflows: sockets.length === 0 ? null : (readListenCounters()?.overflows ?? null),
  };
}

export async function showStatus(
  args: Arguments,
  parts: Parts,
  signal: AbortSignal,
): Promise<number> {
  const sleeps = ['asleep', 'elsewhere'].includes(await presenceOf(parts));
  if (args.watch) return watchStatus(args, parts, sleeps, signal);
  const status = await currentStatus(parts);
  print(args.json ? JSON.stringify(status, null, 2) : statusText(status, sleeps, Date.now()));
  return EXIT.done;
}

/**
 * A terminal is redrawn, since times pass; a pipe gets another block, or line of JSON, when
 * something has changed.
 */
async function watchStatus(
  args: Arguments,
  parts: Parts,
  sleeps: boolean,
  signal: AbortSignal,
): Promise<number> {
  const { stdout } = process;
  let before = '';
  let lines = 0;
  while (!signal.aborted) {
    const status = await currentStatus(parts);
    const text = JSON.stringify(status);
    if (stdout.isTTY && !args.json) {
      const block = statusText(status, sleeps, Date.now());
      stdout.write(`${lines > 0 ? `\u001b[${lines}A\u001b[J` : ''}${block}\n`);
      lines = linesOnScreen(block, stdout.columns || USUAL_COLUMNS);
    } else if (text !== before)
      print(
        args.json ? text : `${before === '' ? '' : '\n'}${statusText(status, sleeps, Date.now())}`,
      );
    before = text;
    await sleep(WATCH_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
  return EXIT.done;
}

function linesOnScreen(block: string, columns: number): number {
  return block
    .split('\n')
    .reduce(
      (count, line) =>
        count + Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns)),
      0,
    );
}

/** `sleeps`: between two checks a container's updater is not in memory, and that is no trouble. */
function statusText(given: Status, sleeps: boolean, now: number): string {
  const status = visibleJson(given);
  const ago = (time: string | null) =>
    time === null ? 'never' : `${formatDuration(Math.max(0, now - Date.parse(time)))} ago`;
  const ahead = (time: string | null) =>
    time === null ? 'unknown' : `in ${formatDuration(Math.max(0, Date.parse(time) - now))}`;
  const rows: [string, string | null][] = [
    [
      'following',
      `${status.repository ?? 'nothing yet'}${status.strategy ? ` (${status.strategy})` : ''}`,
    ],
    ['source', describeShownSource(status.source)],
    [
      'state',
      `${styleText(status.state === 'running' ? 'green' : 'yellow', status.state)}${status.phase === null || status.phase === 'settled' ? '' : ` (${status.phase})`}${status.updaterRunning ? '' : sleeps ? '; the updater sleeps' : '; no updater is at work now'}`,
    ],
    ['version', status.version === null ? 'none' : `${status.version} (${status.tag})`],
    ['last good', status.lastGood],
    ['previous', status.previous],
    ['latest', status.latest],
    ['coming', status.target],
    ['beside it', status.beside && BESIDE[status.beside.role](status.beside.version)],
    ['download', status.download && downloadText(status.download)],
    ['held', status.hold && `${status.hold.version}, until \`self-update release\``],
    ['fleet', status.fleet && fleetLine(status.fleet, ago)],
    ['why not now', status.waitingFor && whyNotNow(status.waitingFor, ago, ahead)],
    ...status.denied.map((denial): [string, string] => [
      'denied',
      `${denial.version}: ${denial.reason}`,
    ]),
    ['listening', listeningText(status)],
    ['last check', `${ago(status.lastCheck)}, next ${ahead(status.nextCheck)}`],
    [
      'last error',
      status.lastError &&
        styleText(
          'red',
          `${status.lastError.message} [${status.lastError.code}], ${ago(status.lastError.at)}`,
        ),
    ],
    [
      'image',
      status.imageVersion &&
        `${status.imageVersion}, made ${ago(status.imageCreated)}${isOld(status.imageCreated, now) ? OLD_IMAGE : ''}`,
    ],
    [
      'verifying',
      status.verify.length === 0
        ? styleText('red', 'NOTHING (UPDATE_VERIFY=none): whatever is downloaded is installed')
        : status.verify.join(', '),
    ],
    ...status.warnings.map((warning): [string, string] => [
      'warning',
      styleText('yellow', warning),
    ]),
  ];
  return rows
    .flatMap(([name, text]) =>
      text === null
        ? []
        : [folded(`${name.padEnd(NAME_WIDTH)}${text}`, NAME_WIDTH, columnsOfTerminal())],
    )
    .join('\n');
}

/** Null without held sockets. */
function listeningText({ listening, listenOverflows }: Status): string | null {
  if (listening.length === 0) return null;
  const sockets = listening.map(({ name, address, port, waiting }) => {
    const place = `${address.includes(':') ? `[${address}]` : address}:${port}`;
    const queue = waiting === null || waiting === 0 ? '' : ` (${waiting} waiting)`;
    return `${name === String(port) ? '' : `${name} `}${place}${queue}`;
  });
  const overflows = listenOverflows
    ? [`; ${listenOverflows} connections found a queue full on this network since it was made`]
    : [];
  return [sockets.join(', '), ...overflows].join('');
}

/** Undefined for a pipe, which is not to be broken into lines. */
function columnsOfTerminal(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns || USUAL_COLUMNS : undefined;
}

const NAME_WIDTH = 13;
const BAR_WIDTH = 20;

function downloadText({ receivedBytes, totalBytes }: NonNullable<Status['download']>): string {
  const done = Math.min(
    BAR_WIDTH,
    Math.round((receivedBytes / Math.max(totalBytes, 1)) * BAR_WIDTH),
  );
  return `${styleText('cyan', `${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)}`)} ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`;
}

/** The app is kept up to date; Node, runit and the rest of the image are not. */
const OLD_IMAGE_MS = 90 * 86_400_000;
const OLD_IMAGE = '; old: pull a newer one and recreate the container; its volume keeps everything';

function isOld(created: string | null, now: number): boolean {
  return created !== null && now - Date.parse(created) > OLD_IMAGE_MS;
}

function whyNotNow(
  { message, since, until }: NonNullable<Status['waitingFor']>,
  ago: (time: string) => string,
  ahead: (time: string) => string,
): string {
  return [message, since && `began ${ago(since)}`, until && `next chance ${ahead(until)}`]
    .filter(Boolean)
    .join('; ');
}

export function showHistory(args: Arguments, parts: Parts): number {
  const updates = historyOf(readRecords(parts));
  if (args.json) {
    print(JSON.stringify(updates, null, 2));
    return EXIT.done;
  }
  print(
    updates.length === 0
      ? 'no updates yet'
      : table(
          ['when', 'from', 'to', 'outcome', 'app down', 'took', 'reason'],
          visibleJson(updates).map(historyRow),
          columnsOfTerminal(),
        ),
  );
  return EXIT.done;
}

function historyRow({
  startedAt,
  from,
  to,
  outcome,
  durationMs,
  downtimeMs,
  overlapMs,
  reason,
}: Update): string[] {
  const ms = (value: number | null, otherwise: string) =>
    value === null ? otherwise : formatDuration(value);
  return [
    startedAt ?? '-',
    from ?? '-',
    to,
    styleText(OUTCOME_COLOURS[outcome], outcome),
    ms(downtimeMs, overlapMs === null ? 'no' : `no, two for ${formatDuration(overlapMs)}`),
    ms(durationMs, '-'),
    reason ?? '',
  ];
}

const BESIDE = {
  candidate: (version: string) => `${version}, which has to prove itself`,
  retiring: (version: string) => `${version}, which is told to stop`,
} as const;

const OUTCOME_COLOURS = {
  updated: 'green',
  rolledBack: 'red',
  failed: 'yellow',
  inProgress: 'cyan',
} as const;

export async function showEvents(
  args: Arguments,
  parts: Parts,
  signal: AbortSignal,
): Promise<number> {
  let seq = 0;
  for (;;) {
    for (const record of readRecords(parts, seq)) {
      seq = record.seq;
      print(eventLine(record, args.json));
    }
    if (!args.follow || signal.aborted) return EXIT.done;
    await sleep(FOLLOW_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
}

/**
 * Folds from the first fact, checking the chain, and compares with what the checkpoint leads to.
 */
export function showReplay(args: Arguments, parts: Parts): number {
  const journal = Journal.openForReading(stateDir(parts.places));
  if (journal === null)
    throw new Fault(
      'JOURNAL_MISSING',
      `there is no journal in ${stateDir(parts.places)} yet: no updater has run there`,
    );
  try {
    // The checkpoint first: facts that a running updater appends meanwhile are in `all`, and in
    // both ways of folding them.
    const checkpoint = journal.checkpoint();
    const all = journal.read();
    const records = args.at === null ? all : all.filter(({ seq }) => seq <= (args.at ?? 0));
    if (args.at !== null && !all.some(({ seq }) => seq === args.at))
      throw new Fault(
        'FACT_MISSING',
        `the journal has facts 1 to ${all.length}, and no ${args.at}`,
      );
    const state = replay(records);
    if (state === null) throw new Fault('JOURNAL_MISSING', 'the journal is empty');
    if (
      args.at === null &&
      JSON.stringify(
        restoreFrom(checkpoint, (after) => all.filter(({ seq }) => seq > after)).state?.snapshot
          .context,
      ) !== JSON.stringify(state.snapshot.context)
    ) {
      throw new Fault(
        'CHECKPOINT_WRONG',
        'the checkpoint differs from the state that the facts lead to: it was written by another version; report this',
      );
    }
    const summary = replaySummary(records.length, state);
    print(
      args.json
        ? JSON.stringify(summary, null, 2)
        : `${records.length} facts lead to ${summary.state}${summary.outstanding.length > 0 ? `, outstanding: ${summary.outstanding.join(', ')}` : ''}, version ${visible(state.snapshot.context.current?.version ?? 'none')}; the chain holds`,
    );
    return EXIT.done;
  } finally {
    journal.close();
  }
}

function fleetLine(
  { id, lock, version, since, failure, lastError }: NonNullable<Status['fleet']>,
  ago: (time: string | null) => string | null,
): string {
  const words = {
    off: '',
    none: 'holds no lock',
    unknown: 'may hold the lock',
    held: `holds the lock for ${version ?? 'an update'}`,
    kept: `holds the fleet, since ${version} failed (${failure?.code}): \`self-update fleet release\` lets others take it`,
  }[lock];
  const when = lock === 'held' ? `, asked for ${ago(since)}` : '';
  const trouble = lastError === null ? '' : `; ${lastError.message}`;
  return `${id}${words === '' ? '' : `, ${words}`}${when}${trouble}`;
}
