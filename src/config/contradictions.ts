/** What is wrong with settings only together. */
import path from 'node:path';
import { quoted } from './complaint.ts';
import { registryAddress } from './registry-address.ts';
import { metaOf, type SettingName, type Settings } from './settings.ts';

/** `texts`: as given. `values`: what they mean, of those that mean something. */
export type Given = {
  texts: Readonly<Partial<Record<SettingName, string>>>;
  values: Readonly<Partial<Settings>>;
  hasToken: boolean;
  /** Of TZ; null where that names none. */
  timeZone: string | null;
};

const MIN_SLEEP_WITHOUT_TOKEN_MS = 60_000;

export function contradictions(given: Given): string[] {
  const { texts, values, timeZone } = given;
  const problems = [...aboutGitHub(given), ...aboutSource(given)];
  if (texts.UPDATE_HEALTH_URL !== undefined && texts.UPDATE_HEALTH_CMD !== undefined)
    problems.push('UPDATE_HEALTH_CMD: is given beside UPDATE_HEALTH_URL. Keep one of them');
  if (texts.UPDATE_WINDOW !== undefined && texts.TZ !== undefined && timeZone === null)
    problems.push(
      `TZ: ${JSON.stringify(texts.TZ)} is not a time zone by its name, and UPDATE_WINDOW needs one. Example: TZ=${metaOf('TZ').example}`,
    );
  problems.push(...aboutVerification(given), ...aboutHandOver(given));
  const escaping = (values.UPDATE_LINKED ?? []).filter(
    (name) => name.startsWith('/') || name.split('/').includes('..'),
  );
  if (escaping.length > 0)
    problems.push(
      `UPDATE_LINKED: ${escaping.join(' ')} would leave the tree. Name files and directories inside it. Example: UPDATE_LINKED=world logs`,
    );
  return problems;
}

function aboutGitHub({ texts, values, hasToken }: Given): string[] {
  const problems: string[] = [];
  const isGitHub = values.UPDATE_SOURCE !== 'directory' && values.UPDATE_SOURCE !== 'oci';
  if (
    isGitHub &&
    values.SLEEP !== undefined &&
    values.SLEEP < MIN_SLEEP_WITHOUT_TOKEN_MS &&
    !hasToken
  )
    problems.push(
      `SLEEP: "${texts.SLEEP}" is below 60, and without a token GitHub allows 60 requests an hour. Set UPDATE_GH_TOKEN, or SLEEP=300`,
    );
  const api = values.UPDATE_GH_API_URL;
  if (api === undefined) return problems;
  const shown = quoted('UPDATE_GH_API_URL', api);
  const { protocol, hostname } = new URL(api);
  if (protocol === 'http:' && !mayBePlain(api, values.UPDATE_INSECURE_HTTP === true))
    problems.push(
      `UPDATE_GH_API_URL: ${shown} is plain http, which anyone on the way can change. Use https, or set UPDATE_INSECURE_HTTP=1`,
    );
  if (/^(?:www\.)?github\.com$/.test(hostname))
    problems.push(
      `UPDATE_GH_API_URL: ${shown} is GitHub's web site, not its API. Leave the setting out, or set https://api.github.com`,
    );
  return problems;
}

/** Sources without an address of their own. */
const NEEDED_URLS: Partial<Record<Settings['UPDATE_SOURCE'], string>> = {
  directory:
    'the address of the directory that holds releases.json. Example: UPDATE_SOURCE_URL=https://releases.example.com/app/',
  forgejo: 'the address of the forge. Example: UPDATE_SOURCE_URL=https://codeberg.org',
  oci: 'the registry and the repository in it. Example: UPDATE_SOURCE_URL=https://ghcr.io/owner/app',
};

function aboutSource({ values }: Given): string[] {
  const { UPDATE_SOURCE: name, UPDATE_SOURCE_URL: url } = values;
  if (name === undefined) return [];
  if (url === undefined)
    return NEEDED_URLS[name] === undefined
      ? []
      : [`UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=${name}: ${NEEDED_URLS[name]}`];
  const shown = quoted('UPDATE_SOURCE_URL', url);
  const { protocol, username, password, search, hash } = new URL(url);
  if (protocol === 'file:' && name !== 'directory')
    return [
      `UPDATE_SOURCE_URL: ${shown} is for UPDATE_SOURCE=directory only. Set an https address`,
    ];
  if (protocol === 'http:' && !mayBePlain(url, values.UPDATE_INSECURE_HTTP === true))
    return [
      `UPDATE_SOURCE_URL: ${shown} is plain http, which anyone on the way can change. Use https, or set UPDATE_INSECURE_HTTP=1`,
    ];
  if (NEEDED_URLS[name] !== undefined && `${username}${password}${search}${hash}` !== '')
    return [
      `UPDATE_SOURCE_URL: ${shown} is more than the address of a ${name === 'oci' ? 'repository' : name}: a user, a query or a fragment would be lost, or stand in logs. Leave them out; a token goes into UPDATE_GH_TOKEN`,
    ];
  const registry = name === 'oci' ? registryAddress(url) : null;
  if (registry !== null && 'problem' in registry)
    return [`UPDATE_SOURCE_URL: ${shown} ${registry.problem}`];
  return [];
}

/** Loopback can't be listened in on from outside; everything else needs the operator's word. */
export function mayBePlain(url: string, isAllowed: boolean): boolean {
  const { hostname } = new URL(url);
  return (
    isAllowed ||
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    /^127(?:\.\d{1,3}){3}$/.test(hostname)
  );
}

/** Two copies run at the same time: what they can't share they must not have. */
function aboutHandOver({ values }: Given): string[] {
  if (values.UPDATE_STRATEGY !== 'hand-over') return [];
  const problems: string[] = [];
  if ((values.UPDATE_LISTEN ?? []).length === 0)
    problems.push(
      'UPDATE_STRATEGY: hand-over starts the new version beside the old one, and both can only listen on a socket that is held for them. Set UPDATE_LISTEN. Example: UPDATE_LISTEN=8080',
    );
  if (values.UPDATE_PRE_START_CMD !== undefined)
    problems.push(
      'UPDATE_PRE_START_CMD: prepares data for the new version while no app runs, and with UPDATE_STRATEGY=hand-over the old one does. Leave the hook out, or set UPDATE_STRATEGY=download-then-kill',
    );
  if ((values.UPDATE_LINKED ?? []).length > 0)
    problems.push(
      'UPDATE_LINKED: with UPDATE_STRATEGY=hand-over two versions would write the same data at the same time. Leave it out, or set UPDATE_STRATEGY=download-then-kill',
    );
  return problems;
}

/** A condition without what it is checked against would refuse every release. */
function aboutVerification({ texts, values }: Given): string[] {
  const {
    UPDATE_VERIFY: conditions = [],
    UPDATE_MINISIGN_KEYS: keys,
    UPDATE_ATTESTATION_INSTANCE: instance,
  } = values;
  const problems: string[] = [];
  if (conditions.includes('minisign') && keys?.length === 0)
    problems.push(missing('UPDATE_MINISIGN_KEYS', 'minisign'));
  if (!conditions.includes('attestation')) return problems;
  if (texts.UPDATE_ATTESTATION_IDENTITY === undefined)
    problems.push(missing('UPDATE_ATTESTATION_IDENTITY', 'attestation'));
  if (instance === 'github' && texts.UPDATE_ATTESTATION_ROOT === undefined)
    problems.push(
      missing('UPDATE_ATTESTATION_ROOT', 'attestation with UPDATE_ATTESTATION_INSTANCE=github'),
    );
  return problems;
}

function missing(name: SettingName, condition: string): string {
  return `${name}: is needed by UPDATE_VERIFY=${condition}. Example: ${name}=${metaOf(name).example}`;
}

/**
 * The app owns the directory of its data: it could exchange what the updater keeps below it. With
 * one user for both that is nothing new. docker/lib.sh has the same check (look_apart), since there
 * the directory would be given away.
 */
export function placeProblems(updateDir: string, linkedDir: string): string[] {
  if (!holds(updateDir, linkedDir) && !holds(linkedDir, updateDir)) return [];
  return [
    `UPDATE_LINKED_DIR: ${JSON.stringify(linkedDir)} and UPDATE_DIR (${updateDir}) are not apart, and the app could exchange what the updater keeps. Set directories of which neither holds the other, such as UPDATE_LINKED_DIR=/data/app and UPDATE_DIR=/data/self-update`,
  ];
}

const holds = (outer: string, inner: string): boolean =>
  !/^\.\.(?:\/|$)/.test(path.relative(outer, inner));

/**
 * Denial of updates: what lies there counts as complete, and the app could place a version there
 * that nothing is newer than.
 */
export function bakedProblems(bakedDir: string | undefined, linkedDir: string): string[] {
  if (bakedDir === undefined || !holds(linkedDir, bakedDir)) return [];
  return [
    `UPDATE_BAKED_DIR: ${JSON.stringify(bakedDir)} is the app's, since it lies in UPDATE_LINKED_DIR (${linkedDir}): it could place a version there. Set a directory outside of it. Example: UPDATE_BAKED_DIR=${metaOf('UPDATE_BAKED_DIR').example}`,
  ];
}
