/**
 * `self-update lint`: the publisher's question, on which platforms a release can be consumed, with
 * which settings, and what would be refused.
 */
import path from 'node:path';
import { styleText } from 'node:util';
import type { Environment } from '../config/environment.ts';
import { INDEX_NAME } from '../effects/sources/releases-index.ts';
import type { Source } from '../effects/sources/source.ts';
import { isNetworkCode } from '../lint/codes.ts';
import { Inspection } from '../lint/inspect.ts';
import { PLATFORMS, platformOf } from '../lint/platforms.ts';
import {
  annotationOf,
  HEAD,
  linesOf,
  narrowRowsOf,
  rowsOf,
  summaryOf,
  titleOf,
} from '../lint/present.ts';
import { sourceOfFiles } from '../lint/release-files.ts';
import { findingsOf, type Inspected, type LintReport } from '../lint/report.ts';
import { SeenSource } from '../lint/seen-source.ts';
import { signSums } from '../lint/sign.ts';
import { writeSums } from '../lint/write-sums.ts';
import { Fault, toFault } from '../support/fault.ts';
import { guardStream, redact, redactJson } from '../support/redact.ts';
import { visible, visibleJson } from '../support/visible.ts';
import { type Arguments, EXIT, UsageError } from './arguments.ts';
import {
  ANY_TAG,
  partsUnder,
  rulesUnder,
  type Subject,
  settingsGiven,
  subjectOf,
} from './lint-subject.ts';
import type { Parts } from './parts.ts';
import { createProgress } from './progress.ts';
import { inScratch } from './scratch.ts';
import { createSource } from './sources.ts';
import { folded, table } from './table.ts';

export async function showLint(
  args: Arguments,
  given: Environment,
  signal: AbortSignal,
): Promise<number> {
  const subject = await subjectOf(args, given);
  const parts = partsUnder(subject.environment);
  if (Array.isArray(parts)) {
    for (const problem of parts)
      process.stderr.write(`update: ${visible(redact(problem, []))} [CONFIGURATION]\n`);
    return EXIT.configuration;
  }
  const { config, log } = parts;
  for (const stream of [process.stdout, process.stderr]) guardStream(stream, config.secrets);
  try {
    await writeWhatIsMissing(args, subject, signal, log.info);
    const report = await lint(args, subject, parts, signal);
    show(args, redactJson(report, config.secrets()));
    return report.ok ? EXIT.done : EXIT.failed;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // Whoever ended it knows.
    if (signal.aborted) return EXIT.failed;
    const { code, message: text } = toFault(error, 'UNEXPECTED');
    const message = redact(text, config.secrets());
    if (args.json)
      process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
    log.warn(`${message} [${code}]`);
    if (code === 'UNEXPECTED') log.debug((error as Error).stack ?? '');
    return isNetworkCode(code) ? EXIT.tryAgain : EXIT.failed;
  }
}

async function writeWhatIsMissing(
  { sums, sign, as }: Arguments,
  { directory, tag, isListed }: Subject,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<void> {
  if (directory === null && (sums || sign !== null))
    throw new UsageError('--sums and --sign belong to a directory');
  if (directory === null) return;
  if (sums) {
    const { file, files, isNew } = await writeSums(directory, signal);
    const [all, many] =
      files === 1 ? ['its only file', '1 file'] : [`all ${files} files`, `${files} files`];
    say(isNew ? `${file}: sums of ${many}` : `${file} lists ${all} already`);
  }
  if (sign !== null) {
    if (isListed)
      throw new Fault(
        'SIGN_FAILED',
        `${directory} has a ${INDEX_NAME}, which is signed as a whole: minisign -S -m ${path.join(directory, INDEX_NAME)}`,
      );
    if (tag === null || (tag === ANY_TAG && as?.endsWith(`@${ANY_TAG}`) !== true))
      throw new Fault(
        'SIGN_FAILED',
        'no name of a file tells which tag the signature is for: add --as OWNER/REPO@TAG',
      );
    const { signature } = await signSums(directory, path.resolve(sign), tag, signal);
    say(`${signature}: signed for ${tag}`);
  }
}

/** For who has valid settings. Throws as `lint` does. */
export async function lintReport(
  args: Pick<Arguments, 'operand' | 'as' | 'platforms'>,
  given: Environment,
  signal: AbortSignal,
): Promise<LintReport> {
  const subject = await subjectOf(args, given);
  const parts = partsUnder(subject.environment);
  if (Array.isArray(parts)) throw new Fault('CONFIGURATION', parts.join('; '));
  return lint(args, subject, parts, signal);
}

/** Throws `Fault` for what says nothing about the release: the network, this machine. */
async function lint(
  { platforms }: Pick<Arguments, 'platforms'>,
  subject: Subject,
  parts: Parts,
  signal: AbortSignal,
): Promise<LintReport> {
  const source = new SeenSource(await sourceFor(subject, parts, signal));
  return inScratch('lint', (root) => inspect({ platforms, subject, parts, source, root }, signal));
}

/** `root`: for whatever is downloaded and unpacked. */
async function inspect(
  {
    platforms,
    subject,
    parts: { config, places, log },
    source,
    root,
  }: {
    platforms: readonly string[];
    subject: Subject;
    parts: Parts;
    source: SeenSource;
    root: string;
  },
  signal: AbortSignal,
): Promise<LintReport> {
  const meter = () => createProgress(process.stderr, log, config.logFormat);
  let progress = meter();
  try {
    const inspection = new Inspection({
      root,
      places: { ...places, root: path.join(root, 'place') },
      source,
      tag: subject.tag,
      rulesUnder: (settings) => rulesUnder(subject.environment, settings),
      onProgress: (received, total) => progress.onProgress(received, total),
      warn: log.warn,
    });
    const inspected: Inspected[] = [];
    for (const platform of chosen(platforms)) {
      inspected.push(await inspection.platform(platform, signal));
      progress.end();
      // Each file has a speed of its own.
      progress = meter();
    }
    const findings = findingsOf(inspected, platforms);
    return {
      ok: findings.every(({ level }) => level !== 'error'),
      repository: config.repository,
      tag: inspected.find(({ report }) => report.tag !== null)?.report.tag ?? subject.tag,
      source: subject.directory === null || subject.isListed ? config.source.name : 'files',
      settings: settingsGiven(subject.environment),
      platforms: inspected.map(({ report }) => report),
      findings,
    };
  } finally {
    progress.end();
  }
}

const chosen = (names: readonly string[]) =>
  names.length === 0 ? PLATFORMS : names.flatMap((name) => platformOf(name) ?? []);

/** Forges tell no digests, so files that are meant for one have to bring their own sums. */
const TELLS_NO_DIGESTS: readonly string[] = ['forgejo', 'gitlab'];

function sourceFor(
  { directory, isListed, tag }: Subject,
  parts: Parts,
  signal: AbortSignal,
): Promise<Source> | Source {
  if (directory === null || isListed)
    return createSource(parts, { read: () => null, write: () => {} });
  return sourceOfFiles(directory, {
    tag: tag ?? ANY_TAG,
    tellsDigests: !TELLS_NO_DIGESTS.includes(parts.config.source.name),
    signal,
  });
}

/** Of a finding's further lines. */
const INDENT = 4;
const COLOURS = { error: 'red', warning: 'yellow', notice: 'cyan' } as const;

function platformsTable(rows: readonly string[][], columns: number | undefined): string {
  const wide = table(HEAD, rows);
  if (columns === undefined || wide.split('\n').every((line) => line.length <= columns))
    return wide;
  return table(HEAD.slice(0, 3), narrowRowsOf(rows), columns);
}

function show(args: Arguments, report: LintReport): void {
  const annotations = args.annotations ? report.findings.map(annotationOf) : [];
  if (args.json) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    // The runner reads both streams, and the document stays one.
    for (const line of annotations) process.stderr.write(`${line}\n`);
    return;
  }
  // A pipe gets whole lines.
  const columns = process.stdout.isTTY ? process.stdout.columns : undefined;
  const rows = rowsOf(visibleJson(report));
  const lines = [
    titleOf(report),
    ...(rows.length === 0 ? [] : [platformsTable(rows, columns)]),
    ...linesOf(report).map((line) =>
      folded(
        line.replace(/^(error|warning|notice)(?= )/, (level) =>
          styleText(COLOURS[level as keyof typeof COLOURS], level),
        ),
        INDENT,
        columns,
      ),
    ),
    summaryOf(report),
    ...annotations,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
