/**
 * What `lint` looks at, and the settings that it is judged under: those in the environment, as the
 * container would have them.
 */
import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseConfig } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import { metaOf, type SettingName, settingNames } from '../config/settings.ts';
import { INDEX_NAME } from '../effects/sources/releases-index.ts';
import { IMAGE_ENVIRONMENT } from '../lint/machine.ts';
import type { Settings } from '../lint/remedy.ts';
import type { LintRules } from '../lint/work.ts';
import { type Arguments, UsageError } from './arguments.ts';
import { createLog } from './log.ts';
import { assetPatternOf, type Parts } from './parts.ts';
import { placesOf, policyOf } from './policy.ts';
import { trustOf } from './rules.ts';

/** Where nothing tells the version of a directory's files. */
export const ANY_TAG = 'v0.0.0';

/** What is looked at. `directory`: of files, or with a list of releases. */
export type Subject = {
  environment: Environment;
  tag: string | null;
  directory: string | null;
  isListed: boolean;
};

/** `owner/repo`, `owner/repo@tag`; at GitLab the owner may be `group/subgroup`. */
function repositoryOf(text: string): { user: string; name: string; tag: string | null } | null {
  const [, user, name, tag] = /^([^/@\s]+(?:\/[^/@\s]+)*)\/([^/@\s]+)(?:@(.+))?$/.exec(text) ?? [];
  return user === undefined || name === undefined ? null : { user, name, tag: tag ?? null };
}

/** What was meant by an address, or by a tag that is missing. */
function hintFor(operand: string): string {
  const [, address, path = ''] = /^https?:\/\/([^/]+)\/(.+)$/.exec(operand) ?? [];
  if (address === undefined) return operand.endsWith('@') ? ': a tag is missing behind the @' : '';
  const [name = ''] = path.split(/\/-\/|\/releases(?:\/|$)/);
  const meant = name.replace(/\.git$|\/+$/g, '');
  return repositoryOf(meant) === null
    ? ''
    : `: give ${meant}; servers other than github.com are named by UPDATE_SOURCE and UPDATE_SOURCE_URL`;
}

/** A directory that is there is meant as one, as `install` takes a file. */
export async function subjectOf(
  args: Pick<Arguments, 'operand' | 'as'>,
  given: Environment,
): Promise<Subject> {
  const operand = args.operand ?? '';
  const directory = path.resolve(operand);
  const isDirectory =
    /^[./]/.test(operand) || (existsSync(directory) && statSync(directory).isDirectory());
  const named = repositoryOf(args.as ?? (isDirectory ? '' : operand));
  if (!isDirectory && (named === null || args.as !== null))
    throw new UsageError(
      named === null
        ? `${operand} is neither a directory here nor owner/repo${hintFor(operand)}`
        : `--as belongs to a directory, and ${operand} is none here`,
    );
  const environment = {
    ...given,
    ...(named === null ? repositoryAround(given) : { GH_USER: named.user, GH_REPO: named.name }),
  };
  if (!isDirectory)
    return { environment, tag: named?.tag ?? null, directory: null, isListed: false };
  if (existsSync(path.join(directory, INDEX_NAME)))
    return {
      environment: {
        ...environment,
        UPDATE_SOURCE: 'directory',
        UPDATE_SOURCE_URL: pathToFileURL(directory).href,
      },
      tag: named?.tag ?? null,
      directory,
      isListed: true,
    };
  const tag = named?.tag ?? tagAround(given) ?? (await tagOfFiles(directory));
  return { environment, tag, directory, isListed: false };
}

/**
 * As our settings tell it, or the workflow's runner; the name decides between files of several
 * programs. `gh` has owner and name in GH_REPO, and workflows set it for `gh`.
 */
function repositoryAround(given: Environment): Record<string, string> {
  const { GH_USER: user, GH_REPO: name, GITHUB_REPOSITORY: around } = given;
  const named = repositoryOf(name ?? '') ?? (name ? null : repositoryOf(around ?? ''));
  if (named !== null) return { GH_USER: named.user, GH_REPO: named.name };
  return { GH_USER: user || 'local', GH_REPO: name || 'app' };
}

function tagAround(given: Environment): string | null {
  return given['GITHUB_REF_TYPE'] === 'tag' ? (given['GITHUB_REF_NAME'] ?? null) : null;
}

/** By the version that stands in most names. */
async function tagOfFiles(directory: string): Promise<string> {
  const names = await readdir(directory).catch(() => []);
  const counts = new Map<string, number>();
  for (const name of names) {
    const version = /(?<![0-9.])\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)[0-9.]*)?(?![0-9])/.exec(
      name,
    )?.[0];
    if (version !== undefined) counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  const [most] = [...counts].toSorted((a, b) => b[1] - a[1]);
  return most === undefined ? ANY_TAG : `v${most[0]}`;
}

/** All problems where the settings are wrong. */
export function partsUnder(environment: Environment): Parts | string[] {
  const result = parseConfig(environment);
  if (!result.ok) return result.problems;
  const { config } = result;
  const log = createLog({
    format: config.logFormat,
    verbose: config.isVerbose,
    now: Date.now,
    secrets: config.secrets,
    write: (line) => process.stderr.write(`${line}\n`),
  });
  return { config, places: placesOf(config), policy: policyOf(config), log, environment };
}

export function rulesUnder(environment: Environment, settings: Settings): LintRules | null {
  const parts = partsUnder({ ...environment, ...settings });
  if (Array.isArray(parts)) return null;
  const { config, policy } = parts;
  return {
    policy,
    pattern: assetPatternOf(config),
    trust: trustOf(config),
    app: {
      command: config.app.command,
      workdir: null,
      repositoryName: config.repositoryName,
      args: [],
      environment: IMAGE_ENVIRONMENT,
    },
    maxAssetBytes: config.maxAssetBytes,
    maxUnpackedBytes: config.maxUnpackedBytes,
    maxEntries: config.maxEntries,
    pollIntervalMs: config.pollIntervalMs,
    source: config.source.name,
  };
}

/** What a consumer has to set as well; no secrets. */
export function settingsGiven(environment: Environment): string[] {
  const isShown = (name: SettingName) =>
    name.startsWith('UPDATE_') && metaOf(name).secret !== true && name !== 'UPDATE_DIR';
  return settingNames.flatMap((name) =>
    isShown(name) && environment[name] ? [`${name}=${environment[name]}`] : [],
  );
}
