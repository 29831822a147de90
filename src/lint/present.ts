/** The report for people, and for GitHub's runner. Pure. */
import { visible } from '../support/visible.ts';
import type { Finding, LintReport, PlatformReport } from './report.ts';

export const HEAD = ['platform', 'result', 'file', 'verified by', 'starts', 'needs'] as const;

/** Platforms that are listed where their finding was told before. */
const MAX_NAMED = 4;

/**
 * The platforms that were looked at and have something to tell. None where no release was found: the
 * findings say why, once for all.
 */
export function rowsOf({ platforms, findings }: LintReport): string[][] {
  if (platforms.every(({ tag }) => tag === null)) return [];
  const isTold = ({ platform, result }: PlatformReport) =>
    result !== 'absent' || findings.some(({ platforms: named }) => named.includes(platform));
  return platforms
    .filter(isTold)
    .map((one) => [
      one.platform,
      one.result,
      visible(one.asset?.name ?? '-'),
      one.verifiedBy.join(', ') || '-',
      visible(one.start ?? '-'),
      needsOf(one),
    ]);
}

/** Two rows for each platform, where a terminal is too narrow for all columns. */
export function narrowRowsOf(rows: readonly (readonly string[])[]): string[][] {
  return rows.flatMap(([platform = '', result = '', file = '', ...rest]) => {
    const told = rest.flatMap((cell, i) => (cell === '-' ? [] : [`${HEAD[i + 3]} ${cell}`]));
    return [[platform, result, file], ...(told.length === 0 ? [] : [['', '', told.join('; ')]])];
  });
}

function needsOf({ needs }: PlatformReport): string {
  if (needs === null) return '-';
  const { linkage, glibc, programs } = needs;
  const all = [
    linkage === 'static' || linkage === 'musl' ? linkage : null,
    glibc === null ? null : `glibc ≥ ${glibc}`,
    ...programs,
  ].filter((text) => text !== null);
  return visible(all.join(', ') || '-');
}

export function titleOf({ repository, tag, source }: LintReport): string {
  return visible(`${repository} ${tag ?? '(no release)'}, by ${source}`);
}

/** `error  ASSET_AMBIGUOUS  linux/amd64: …`, for each finding, and what settings would help. */
export function linesOf({ findings, platforms }: LintReport): string[] {
  const present = platforms.filter(({ result }) => result !== 'absent');
  // What holds everywhere needs no list.
  const where = (named: readonly string[]) =>
    named.length === Math.max(present.length, 1) && present.length !== 1
      ? ''
      : `${named.join(', ')}: `;
  const isTold = ({ code, message }: Finding, i: number) =>
    findings.findIndex((one) => one.code === code && one.message === message) < i;
  const told = findings.map((finding, i) => {
    const { level, code, platforms: named, message } = finding;
    const isKnown = isTold(finding, i);
    if (isKnown && named.length > MAX_NAMED)
      return `${level}  ${code}  ${named.length} other platforms: the same`;
    return `${level}  ${code}  ${visible(`${where(named)}${isKnown ? 'the same' : message}`)}`;
  });
  return [...told, ...helping(platforms)];
}

function helping(platforms: readonly PlatformReport[]): string[] {
  const bySettings = new Map<string, string[]>();
  for (const { platform, settings } of platforms)
    if (settings.length > 0) {
      const key = settings.join(' ');
      bySettings.set(key, [...(bySettings.get(key) ?? []), platform]);
    }
  return [...bySettings].map(
    ([settings, names]) => `with ${visible(settings)} it is taken on ${names.join(', ')}`,
  );
}

export function summaryOf({ platforms, findings }: LintReport): string {
  const served = platforms.filter(({ result }) => result === 'served').length;
  const count = (level: string) => findings.filter((finding) => finding.level === level).length;
  const number = (many: number, word: string) => `${many} ${word}${many === 1 ? '' : 's'}`;
  return `taken on ${number(served, 'platform')}: ${number(count('error'), 'error')}, ${number(count('warning'), 'warning')}, ${number(count('notice'), 'notice')}`;
}

/**
 * A workflow command (GitHub, "Workflow commands for GitHub Actions"). Injection: what a release
 * brought into a message begins no line and no property of its own; escaped as
 * actions/toolkit's command.ts does it.
 */
export function annotationOf({ level, code, message, platforms }: Finding): string {
  const data = (text: string) =>
    text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const property = (text: string) => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
  const where = platforms.length === 0 ? '' : ` (${platforms.join(', ')})`;
  return `::${level} title=${property(visible(`${code}${where}`))}::${data(visible(message))}`;
}
