/**
 * One platform, looked at as an updater there would: the same checks, in the same order, by the
 * same functions. Where a setting would help it is tried, until the release is taken or nothing
 * more is known.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { xzDemandOf } from '../effects/archive/tool.ts';
import { check } from '../effects/check.ts';
import { download, STALL_WINDOW_MS } from '../effects/download.ts';
import { removeTree } from '../effects/durable.ts';
import { EntryPointMissing } from '../effects/entry-advice.ts';
import { type AppOptions, appCommand, checkEntryPoint } from '../effects/entry-point.ts';
import { unpackTree } from '../effects/extract.ts';
import { assertDescribable } from '../effects/manifest.ts';
import { elfMachineOf, type Machine } from '../effects/program.ts';
import type { Places } from '../effects/trees.ts';
import { gather, type TrustOptions } from '../effects/verify.ts';
import type { AssetPattern } from '../machines/asset.ts';
import { fingerprint, type Policy, type Release } from '../machines/model.ts';
import { pollNoteSchema } from '../machines/poll-note.ts';
import { chooseRelease } from '../machines/release.ts';
import { Fault, toFault } from '../support/fault.ts';
import { type Evidence, explain } from '../trust/judge.ts';
import { sumsFor } from '../trust/sums.ts';
import { adviceOn } from './advice.ts';
import { isReleaseCode } from './codes.ts';
import { type LintPlatform, nameOf, policyFor } from './platforms.ts';
import { remedyOf, type Settings } from './remedy.ts';
import type { EvidenceKind, Inspected, PlatformReport, Remark } from './report.ts';
import type { SeenSource } from './seen-source.ts';
import { needsOfTree } from './tree-needs.ts';

/** What an updater goes by, from its settings. */
export type LintRules = {
  policy: Policy;
  pattern: AssetPattern | null;
  trust: TrustOptions;
  app: AppOptions;
  maxAssetBytes: number;
  maxUnpackedBytes: number;
  maxEntries: number;
  pollIntervalMs: number;
  /** UPDATE_SOURCE. */
  source: string;
};

export type Workshop = {
  /** A directory of our own, which is removed afterwards. */
  root: string;
  places: Places;
  source: SeenSource;
  /** The exact tag to look at; null for the one that an updater would choose. */
  tag: string | null;
  /** Null where these settings contradict the given ones. */
  rulesUnder: (settings: Settings) => LintRules | null;
  onProgress: (received: number, total: number) => void;
  warn: (message: string) => void;
};

type Refusal = { fault: Fault; tag: string | null };
type Attempt = {
  refusals: Refusal[];
  report: Partial<PlatformReport>;
  advice: Remark[];
};
type Downloaded = { path: string; sha256: string };
type Unpacked = Awaited<ReturnType<typeof unpackTree>>;

/** More than one setting may be needed, and one may bring the next refusal to light. */
const MAX_TRIES = 6;
/** Where a container's programs are, as far as a script's first line is concerned. */
const PATH_OF_IMAGE = '/usr/bin';
/** What has to be there is there: sh(1), and env(1), which looks for another one. */
const EVERYWHERE = new Set(['sh', 'env']);

export class Inspection {
  readonly #workshop: Workshop;
  readonly #downloads = new Map<string, Promise<Downloaded>>();
  readonly #sealed = new Map<string, string>();
  readonly #gathered = new Map<string, ReturnType<typeof gather>>();
  #trees = 0;
  #tree: { key: string; work: string; unpacked: Promise<Unpacked> } | null = null;

  constructor(workshop: Workshop) {
    this.#workshop = workshop;
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
      const release = await this.#choose(platform, rules, signal);
      tag = release.tag;
      const { name, sizeBytes } = release.asset;
      Object.assign(attempt.report, { tag, version: release.version, asset: { name, sizeBytes } });
      const got = await this.#download(release, rules, signal);
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

  /** What an updater on this platform would choose. Throws `Fault`. */
  async #choose(
    platform: LintPlatform,
    { pattern, pollIntervalMs, ...rules }: LintRules,
    signal: AbortSignal,
  ): Promise<Release> {
    const { source, tag, places } = this.#workshop;
    const policy = policyFor(rules.policy, platform);
    // An operator may install whatever he names; followed is only what the rules allow.
    const named = tag === null || policy.tag !== null ? null : await source.tagged(tag, 0, signal);
    if (named !== null) {
      const choice = chooseRelease([named], { policy, pattern, nowMs: Date.now(), running: null });
      if (choice.kind === 'none') throw new OfRelease(choice.code, choice.message, named.tag);
    }
    const fact = await check(
      {
        policy,
        request: tag === null ? null : { tag, file: null },
        running: null,
        fresh: true,
      },
      signal,
      {
        source,
        places,
        note: { read: () => pollNoteSchema.parse({}), write: () => {} },
        pollIntervalMs,
        now: Date.now,
        random: Math.random,
        assetPattern: pattern,
      },
    );
    if (fact.type === 'releaseFound') return fact.release;
    if (!('code' in fact)) throw source.notFound();
    throw new OfRelease(fact.code, fact.message, 'tag' in fact ? fact.tag : null);
  }

  /** Each file once, however many platforms take it, also where that failed. */
  #download(release: Release, rules: LintRules, signal: AbortSignal): Promise<Downloaded> {
    const key = `${release.tag} ${fingerprint(release)} ${rules.maxAssetBytes}`;
    const known = this.#downloads.get(key);
    const downloading = known ?? this.#fetch(release, rules, signal);
    this.#downloads.set(key, downloading);
    return downloading;
  }

  async #fetch(
    release: Release,
    { maxAssetBytes }: LintRules,
    signal: AbortSignal,
  ): Promise<Downloaded> {
    const { places, source, onProgress, warn } = this.#workshop;
    const fact = await download({ release }, signal, {
      source,
      places: { ...places, root: path.join(this.#workshop.root, `file-${this.#downloads.size}`) },
      maxAssetBytes,
      stallWindowMs: STALL_WINDOW_MS,
      sealed: this.#sealed,
      onProgress,
      warn,
    });
    if (fact.type !== 'downloaded') throw new Error('invariant: nothing is kept in a new place');
    return fact;
  }

  /** All rules that do not hold. */
  async #judge(
    release: Release,
    got: Downloaded,
    { trust }: LintRules,
    { report }: Attempt,
    signal: AbortSignal,
  ): Promise<Refusal[]> {
    const { source } = this.#workshop;
    // Sums and signatures are fetched once as well.
    const key = JSON.stringify([got.path, release, trust.conditions]);
    const gathered =
      this.#gathered.get(key) ?? gather(release, got, null, signal, { source, trust });
    this.#gathered.set(key, gathered);
    const { evidence, rules } = await gathered;
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
    const unpacked = await this.#treeOf(release, got, { ...rules, app }, signal);
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

  /**
   * The tree of a file, or its refusal, which does not depend on the platform. The last one stays:
   * platforms that take one file follow one another as a rule, and one tree at a time is on the
   * disk.
   */
  async #treeOf(
    { asset }: Release,
    got: Downloaded,
    { app, maxEntries, maxUnpackedBytes }: LintRules,
    signal: AbortSignal,
  ): Promise<Unpacked> {
    const key = JSON.stringify([got.path, got.sha256, app.command]);
    if (this.#tree?.key === key) return this.#tree.unpacked;
    if (this.#tree !== null) await removeTree(this.#tree.work);
    const work = path.join(this.#workshop.root, `tree-${this.#trees++}`);
    await mkdir(work, { mode: 0o700 });
    const linked = { names: [], directory: '', owner: null };
    const options = { app, linked, maxEntries, maxUnpackedBytes };
    const unpacked = unpackTree(got.path, work, asset.name, signal, options);
    this.#tree = { key, work, unpacked };
    return unpacked;
  }
}

/** A refusal that names its release. */
class OfRelease extends Fault {
  readonly tag: string | null;

  constructor(code: string, message: string, tag: string | null) {
    super(code, message);
    this.tag = tag;
  }
}

/** Not published for this platform, or by the operator's pattern another one's file was named. */
function isOfAnotherPlatform(code: string, { rulesUnder }: Workshop): boolean {
  return (
    code === 'ASSET_MISSING' ||
    (code === 'WRONG_PLATFORM' && (rulesUnder({})?.pattern ?? null) !== null)
  );
}

/** `programs`: is told which ones are looked for. All of them are there, but for another libc. */
function machineOf({ os, node, libc }: LintPlatform, programs: Set<string>): Machine {
  return {
    os,
    arch: node,
    emulators: '/none',
    exists: (file) => {
      if (/\/ld-musl/.test(file)) return libc === 'musl';
      if (/\/ld-linux|\/ld(?:64)?\.so/.test(file)) return libc === 'glibc';
      const name = path.basename(file);
      if (!EVERYWHERE.has(name)) programs.add(name);
      return true;
    },
  };
}

/** What the app is given there, as far as its first line is concerned. */
export const IMAGE_ENVIRONMENT: Readonly<Record<string, string>> = { PATH: PATH_OF_IMAGE };
