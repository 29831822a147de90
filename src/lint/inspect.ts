/**
 * One platform, looked at as an updater there would: the same checks, in the same order, by the
 * same functions. Where a setting would help it is tried, until the release is taken or nothing
 * more is known.
 */
import path from 'node:path';
import { xzDemandOf } from '../effects/archive/tool.ts';
import { EntryPointMissing } from '../effects/entry-advice.ts';
import { appCommand, checkEntryPoint } from '../effects/entry-point.ts';
import { assertDescribable } from '../effects/manifest.ts';
import { elfMachineOf } from '../effects/program.ts';
import type { Release } from '../machines/model.ts';
import { Fault, toFault } from '../support/fault.ts';
import { type Evidence, explain } from '../trust/judge.ts';
import { sumsFor } from '../trust/sums.ts';
import { adviceOn } from './advice.ts';
import { isReleaseCode } from './codes.ts';
import { machineOf } from './machine.ts';
import { type LintPlatform, nameOf, policyFor } from './platforms.ts';
import { remedyOf, type Settings } from './remedy.ts';
import type { EvidenceKind, Inspected, PlatformReport, Remark } from './report.ts';
import { needsOfTree } from './tree-needs.ts';
import { type Downloaded, type LintRules, OfRelease, Work, type Workshop } from './work.ts';

type Refusal = { fault: Fault; tag: string | null };
type Attempt = {
  refusals: Refusal[];
  report: Partial<PlatformReport>;
  advice: Remark[];
};

/** More than one setting may be needed, and one may bring the next refusal to light. */
const MAX_TRIES = 6;
export class Inspection {
  readonly #workshop: Workshop;
  readonly #work: Work;

  constructor(workshop: Workshop) {
    this.#workshop = workshop;
    this.#work = new Work(workshop);
  }

  /** Throws `Fault` for what says nothing about the release: the network, this machine. */
  async platform(platform: LintPlatform, signal: AbortSignal): Promise<Inspected> {
    const remarks: Remark[] = [];
    let settings: Settings = {};
    let last: Attempt | null = null;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const rules = this.#workshop.rulesUnder(settings);
      if (rules === null) break;
      last = await this.#attempt(platform, rules, signal);
      for (const { fault } of last.refusals) {
        const { code, message } = fault;
        remarks.push({ kind: 'refusal', code, message });
      }
      const more = this.#remedies(last.refusals, rules, platform, settings);
      if (more === null) break;
      settings = { ...settings, ...more };
    }
    if (last === null) throw new Error('invariant: the given settings are valid');
    const { report, refusals, advice } = last;
    const isTaken = refusals.length === 0;
    const isAbsent =
      !isTaken && refusals.every(({ fault }) => isOfAnotherPlatform(fault.code, this.#workshop));
    return {
      platform,
      remarks: [...remarks, ...(isTaken ? advice : [])],
      report: {
        platform: nameOf(platform),
        result: isAbsent ? 'absent' : remarks.length === 0 ? 'served' : 'refused',
        tag: report.tag ?? null,
        version: report.version ?? null,
        asset: isAbsent ? null : (report.asset ?? null),
        sha256: report.sha256 ?? null,
        verifiedBy: report.verifiedBy ?? [],
        evidence: report.evidence ?? [],
        start: report.start ?? null,
        needs: report.needs ?? null,
        settings: isTaken
          ? Object.entries(settings).map(([name, value]) => `${name}=${value}`)
          : [],
      },
    };
  }

  /** Further settings that may help; null where none is known, or they were tried already. */
  #remedies(
    refusals: readonly Refusal[],
    { policy, pattern }: LintRules,
    platform: LintPlatform,
    tried: Settings,
  ): Settings | null {
    let more: Settings = {};
    for (const { fault, tag } of refusals) {
      const found = remedyOf(fault.code, {
        policy: policyFor(policy, platform),
        pattern,
        published: tag === null ? null : this.#workshop.source.published(tag),
        command: fault instanceof EntryPointMissing ? fault.command : null,
      });
      // All of them must be gone.
      if (found === null || Object.keys(found).some((name) => name in tried)) return null;
      more = { ...more, ...found };
    }
    return refusals.length === 0 ? null : more;
  }

  async #attempt(platform: LintPlatform, rules: LintRules, signal: AbortSignal): Promise<Attempt> {
    const attempt: Attempt = { refusals: [], report: {}, advice: [] };
    let tag = this.#workshop.tag;
    try {
      const release = await this.#work.choose(platform, rules, signal);
      tag = release.tag;
      const { name, sizeBytes } = release.asset;
      Object.assign(attempt.report, { tag, version: release.version, asset: { name, sizeBytes } });
      const got = await this.#work.download(release, rules, signal);
      attempt.report.sha256 = got.sha256;
      attempt.refusals.push(...(await this.#judge(release, got, rules, attempt, signal)));
      // Whoever does not know whose bytes these are does not unpack them either.
      if (attempt.refusals.length === 0)
        await this.#unpack(release, got, { platform, rules, attempt }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const fault = toFault(error, 'UNEXPECTED');
      if (!isReleaseCode(fault.code)) throw error;
      attempt.refusals.push({ fault, tag: fault instanceof OfRelease ? fault.tag : tag });
    }
    return attempt;
  }

  /** All rules that do not hold. */
  async #judge(
    release: Release,
    got: Downloaded,
    { trust }: LintRules,
    { report }: Attempt,
    signal: AbortSignal,
  ): Promise<Refusal[]> {
    const { evidence, rules } = await this.#work.evidenceOn(release, got, trust, signal);
    report.evidence = await this.#evidenceOf(release, evidence, signal);
    const findings = explain(release, evidence, rules);
    report.verifiedBy = findings.flatMap(({ rule, ok }) =>
      ok && /^(?:digest|checksums|minisign|attestation)$/.test(rule) ? [rule] : [],
    );
    return findings.flatMap(({ ok, code, text }) =>
      ok || code === null ? [] : [{ fault: new Fault(code, text), tag: release.tag }],
    );
  }

  async #evidenceOf(
    { asset, signatures, indexKey }: Release,
    { sums, sha256 }: Evidence,
    signal: AbortSignal,
  ): Promise<EvidenceKind[]> {
    const has = (kind: string) => signatures.some((signature) => signature.kind === kind);
    const isAttested = async () =>
      has('attestation') ||
      // It is asked for the advice alone, which nothing depends on.
      (await this.#workshop.source.attestations(sha256, signal).catch(() => [])).length > 0;
    const isListed = sums !== null && sumsFor(sums.text, asset.name, sums.name).includes(sha256);
    const all: (EvidenceKind | false)[] = [
      asset.digest !== null && 'digest',
      isListed && 'checksums',
      has('minisign') && 'minisign',
      (await isAttested()) && 'attestation',
      indexKey !== undefined && 'index',
    ];
    return all.filter((kind) => kind !== false);
  }

  async #unpack(
    release: Release,
    got: Downloaded,
    { platform, rules, attempt }: { platform: LintPlatform; rules: LintRules; attempt: Attempt },
    signal: AbortSignal,
  ): Promise<void> {
    assertDescribable(release, '');
    const programs = new Set<string>();
    const app = { ...rules.app, machine: machineOf(platform, programs) };
    const unpacked = await this.#work.treeOf(release, got, { ...rules, app }, signal);
    await checkEntryPoint(unpacked.tree, app);
    const { file } = await appCommand(unpacked.tree, app);
    const [word = ''] = /^\s*[\w./+-]+(?=\s|$)/.exec(app.command ?? '') ?? [];
    if (word !== '' && !word.includes('/')) programs.add(word.trim());
    const { needs, foreign } = needsOfTree(
      unpacked,
      app.command === null ? file : null,
      [...programs].sort(),
      elfMachineOf(platform.node),
    );
    attempt.report.needs = needs;
    attempt.report.start = app.command ?? path.relative(unpacked.tree, file);
    attempt.advice = adviceOn({
      platform,
      asset: release.asset.name,
      source: rules.source,
      conditions: rules.trust.conditions,
      evidence: attempt.report.evidence ?? [],
      sums: release.checksums?.name ?? null,
      needs,
      foreign,
      demand: await xzDemandOf(got.path),
    });
  }
}

/** Not published for this platform, or by the operator's pattern another one's file was named. */
function isOfAnotherPlatform(code: string, { rulesUnder }: Workshop): boolean {
  return (
    code === 'ASSET_MISSING' ||
    (code === 'WRONG_PLATFORM' && (rulesUnder({})?.pattern ?? null) !== null)
  );
}
