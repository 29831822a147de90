/**
 * `verify`: the installed trees against their manifests; or a release, or a file, against every
 * rule that would let it in.
 */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { styleText } from 'node:util';
import { check, localRelease } from '../effects/check.ts';
import { download, STALL_WINDOW_MS } from '../effects/download.ts';
import { problemsOf } from '../effects/integrity.ts';
import { readLocal } from '../effects/local-file.ts';
import { keptTrees } from '../effects/trees.ts';
import { gather } from '../effects/verify.ts';
import { chooseChecksums, chooseSignatures } from '../machines/asset.ts';
import type { Asset, Release } from '../machines/model.ts';
import { pollNoteSchema } from '../machines/poll-note.ts';
import { Fault } from '../support/fault.ts';
import { redactJson } from '../support/redact.ts';
import { visible, visibleJson } from '../support/visible.ts';
import { explain, type Finding } from '../trust/judge.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { assetPatternOf, type Parts } from './parts.ts';
import { trustOf } from './rules.ts';
import { inScratch } from './scratch.ts';
import { createSource } from './sources.ts';

const NO_NOTE = { read: () => pollNoteSchema.parse({}), write: () => {} };
const NO_CACHE = { read: () => null, write: () => {} };

export async function showVerify(
  args: Arguments,
  parts: Parts,
  signal: AbortSignal,
): Promise<number> {
  if (args.operand === null) return showTrees(args, parts);
  const isFile = (await stat(args.operand).catch(() => null))?.isFile() === true;
  const explained = isFile
    ? await explainFile(path.resolve(args.operand), parts, signal)
    : await inScratch('verify', (root) => explainTag(args.operand ?? '', root, parts, signal));
  const { title, findings } = redactJson(explained, parts.config.secrets());
  if (args.json) process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
  else {
    process.stdout.write(`${visible(title)}\n`);
    for (const { rule, ok, code, text } of visibleJson(findings))
      process.stdout.write(
        `${styleText(ok ? 'green' : 'red', ok ? 'holds' : 'FAILS')}  ${rule.padEnd(15)}  ${text}${code === null ? '' : ` [${code}]`}\n`,
      );
  }
  return findings.every(({ ok }) => ok) ? EXIT.done : EXIT.failed;
}

type Explanation = { title: string; findings: Finding[] };

/** Downloads what an update would, and judges it as an update does; nothing is installed. */
async function explainTag(
  tag: string,
  root: string,
  parts: Parts,
  signal: AbortSignal,
): Promise<Explanation> {
  const { config, places, policy } = parts;
  const source = createSource(parts, NO_CACHE);
  // A place of its own: what is installed already is looked at like anything else.
  const elsewhere = { ...places, root };
  const fact = await check(
    { policy, request: { tag, file: null }, running: null, fresh: false },
    signal,
    {
      source,
      places: elsewhere,
      note: NO_NOTE,
      pollIntervalMs: config.pollIntervalMs,
      now: Date.now,
      random: Math.random,
      assetPattern: assetPatternOf(config),
    },
  );
  if (fact.type !== 'releaseFound')
    throw new Fault(
      'code' in fact ? fact.code : 'NOT_FOUND',
      'message' in fact ? fact.message : `release ${tag} does not exist`,
    );
  const { release } = fact;
  if (release.origin !== 'github')
    throw new Fault(
      'NOT_FOUND',
      `${tag} came with the image, and was not downloaded: it is as trusted as the image`,
    );
  const got = await download({ release }, signal, {
    source,
    places: elsewhere,
    maxAssetBytes: config.maxAssetBytes,
    stallWindowMs: STALL_WINDOW_MS,
    sealed: new Map(),
    onProgress: () => {},
    warn: parts.log.warn,
  });
  if (got.type !== 'downloaded') throw new Error('invariant: nothing is kept in a new place');
  const { evidence, rules } = await gather(release, got, null, signal, {
    source,
    trust: trustOf(config),
  });
  return {
    title: `${release.asset.name} of ${release.tag}, ${release.repository}`,
    findings: explain(release, evidence, rules),
  };
}

/** A file on this machine, with the sums and signatures that lie beside it. */
async function explainFile(file: string, parts: Parts, signal: AbortSignal): Promise<Explanation> {
  const source = createSource(parts, NO_CACHE);
  const local = await localRelease(file, parts.policy);
  const beside = (await readdir(path.dirname(file))).map(
    (name): Asset => assetBeside(path.join(path.dirname(file), name)),
  );
  const checksums = chooseChecksums(beside, local.asset.name);
  const signatures = chooseSignatures(beside, local.asset.name, checksums?.name ?? null);
  // What the file's own digest is, it can't vouch for.
  const release: Release = {
    ...local,
    asset: { ...local.asset, digest: null },
    checksums,
    signatures,
  };
  const { evidence, rules } = await gather(
    release,
    { path: file, sha256: local.asset.digest ?? '' },
    null,
    signal,
    {
      source,
      trust: trustOf(parts.config),
      readLocal: (asset: Asset) => readLocal(asset.url),
    },
  );
  return {
    title: `${file}, taken for version ${local.version}`,
    findings: explain(release, evidence, rules),
  };
}

function assetBeside(file: string): Asset {
  return {
    id: 0,
    name: path.basename(file),
    url: file,
    browserUrl: '',
    sizeBytes: 0,
    digest: null,
  };
}

/** Every tree against its manifest: what was changed, is missing, or does not belong. */
async function showTrees(args: Arguments, parts: Parts): Promise<number> {
  // Names linked to the app's data replace what the archive brought, and lead out of the tree.
  const linked = parts.config.linked.names.map((name) => name.replace(/\/+$/, ''));
  const trees = await keptTrees(parts.places);
  const results: { version: string; tag: string; path: string; ok: boolean; problems: string[] }[] =
    [];
  // One after the other: the names of three large trees at a time are too much for a small
  // container.
  for (const { version } of trees) {
    const problems = await problemsOf(version.path, linked);
    results.push({
      version: version.version,
      tag: version.tag,
      path: version.path,
      ok: problems.length === 0,
      problems,
    });
  }
  if (args.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  else if (results.length === 0) process.stdout.write('nothing is installed yet\n');
  else
    for (const { version, ok, problems } of visibleJson(results))
      process.stdout.write(`${version}: ${ok ? 'unchanged' : problems.slice(0, 10).join('; ')}\n`);
  return results.every(({ ok }) => ok) ? EXIT.done : EXIT.failed;
}
