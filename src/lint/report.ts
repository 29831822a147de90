/**
 * What `lint` found, as data: docs/lint.schema.json is made from this. Pure.
 */
import * as z from 'zod';
import type { LintPlatform } from './platforms.ts';

export const levelSchema = z.enum(['error', 'warning', 'notice']);
export type Level = z.infer<typeof levelSchema>;

export const findingSchema = z.object({
  level: levelSchema,
  code: z.string().describe("a refusal's code (docs/troubleshooting.md), or an advice's"),
  message: z.string(),
  platforms: z.array(z.string()).describe('as in `platforms`; empty: all of them'),
});
export type Finding = z.infer<typeof findingSchema>;

export const needsSchema = z.object({
  linkage: z
    .enum(['static', 'glibc', 'musl', 'other'])
    .nullable()
    .describe('what the program is linked against; null where it is no ELF file'),
  glibc: z.string().nullable().describe('the oldest glibc that has all it is bound to'),
  libraries: z
    .array(z.string())
    .describe('shared libraries that the program loads and does not bring along'),
  programs: z.array(z.string()).describe('programs that the image has to have'),
});
export type Needs = z.infer<typeof needsSchema>;

export const evidenceSchema = z.enum(['digest', 'checksums', 'minisign', 'attestation', 'index']);
export type EvidenceKind = z.infer<typeof evidenceSchema>;

export const platformSchema = z.object({
  platform: z.string().describe('linux/amd64, linux/arm64/musl'),
  result: z
    .enum(['served', 'refused', 'absent'])
    .describe('whether an updater there would run it; absent: nothing was published for it'),
  tag: z.string().nullable(),
  version: z.string().nullable(),
  asset: z.object({ name: z.string(), sizeBytes: z.number() }).nullable(),
  sha256: z.string().nullable().describe('of what was downloaded'),
  verifiedBy: z.array(z.string()).describe('the rules that held'),
  evidence: z.array(evidenceSchema).describe('what vouches for the file, checked or not'),
  start: z.string().nullable().describe('the program, or the command'),
  needs: needsSchema.nullable(),
  settings: z
    .array(z.string())
    .describe('NAME=value, tried: with these it would be run, and not without'),
});
export type PlatformReport = z.infer<typeof platformSchema>;

export const lintSchema = z.object({
  ok: z.boolean().describe('no finding is an error'),
  repository: z.string(),
  tag: z.string().nullable(),
  source: z.string().describe('UPDATE_SOURCE, or `files` for a directory without a list'),
  settings: z.array(z.string()).describe('NAME=value, as given: what was judged under'),
  platforms: z.array(platformSchema),
  findings: z.array(findingSchema),
});
export type LintReport = z.infer<typeof lintSchema>;

/** What was refused on one platform, and advice about it, before they are put together. */
export type Remark = { code: string; message: string; kind: 'refusal' | Level };
export type Inspected = { platform: LintPlatform; report: PlatformReport; remarks: Remark[] };

/**
 * One finding for what is said of several platforms. `required`: platforms that were named by
 * hand. Elsewhere a missing file is no error as long as the release serves anybody, and a refusal
 * is one only on the image's platforms.
 */
export function findingsOf(
  inspected: readonly Inspected[],
  required: readonly string[],
): Finding[] {
  const isForAnybody = inspected.some(({ report }) => report.result !== 'absent');
  const findings = new Map<string, Finding>();
  for (const one of inspected)
    for (const { code, level, message } of levelled(one, required, isForAnybody)) {
      const key = JSON.stringify([level, code, message]);
      const finding = findings.get(key) ?? { level, code, message, platforms: [] };
      if (!finding.platforms.includes(one.report.platform))
        finding.platforms.push(one.report.platform);
      findings.set(key, finding);
    }
  return [...findings.values()].sort(
    (a, b) => levelSchema.options.indexOf(a.level) - levelSchema.options.indexOf(b.level),
  );
}

function levelled(
  { platform, report, remarks }: Inspected,
  required: readonly string[],
  isForAnybody: boolean,
): Finding[] {
  const isRequired = required.includes(report.platform);
  const counts = isRequired || (required.length === 0 && platform.isOfImage);
  return remarks.flatMap(({ kind, code, message }): Finding[] => {
    const at = (level: Level): Finding[] => [{ level, code, message, platforms: [] }];
    if (kind !== 'refusal') return at(kind);
    if (report.result !== 'absent' || isRequired)
      // Whoever publishes a prerelease means it: only who asks for those follows it.
      return at(counts && code !== 'PRERELEASE_ONLY' ? 'error' : 'warning');
    if (!counts) return [];
    if (!isForAnybody) return at('error');
    return [
      {
        level: 'notice',
        code: 'NOT_SERVED',
        message: `nothing is published for ${report.platform}, which the image is built for as well`,
        platforms: [],
      },
    ];
  });
}
