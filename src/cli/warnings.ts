/**
 * What is less safe than it could be, by the operator's own settings: said at every start, and in
 * `status` as long as it is so.
 */
import { lstatSync, readdirSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../config/environment.ts';
import { metaOf, type SettingName, settingNames } from '../config/settings.ts';
import { appUser } from '../effects/supervisor/container.ts';
import { foreignOwner, isOpen, userId } from '../support/own.ts';
import { isTooShortToRedact } from '../support/redact.ts';
import { usesRunit } from './compose.ts';
import type { Parts } from './parts.ts';
import { grants, parentsOf, type User } from './rights.ts';

export function standingWarnings({
  config,
  environment,
}: Pick<Parts, 'config' | 'environment'>): string[] {
  const warnings: string[] = [];
  const { conditions, minisignBinding } = config.trust;
  if (conditions.length === 0)
    warnings.push('UPDATE_VERIFY=none: whatever is downloaded is installed, unverified');
  if (conditions.includes('minisign') && minisignBinding === 'none')
    warnings.push(
      'UPDATE_MINISIGN_BINDING=none: signed bytes of any version are taken for the newest, old ones with known holes too',
    );
  warnings.push(...secretFileWarnings(environment, usesRunit(config) ? appUser() : null));
  if (!usesRunit(config))
    warnings.push(...sharedDirectoryWarnings(config.updateDir, config.bakedDir));
  if (config.secrets().some(isTooShortToRedact))
    warnings.push(
      'a password or token has fewer than 4 characters, and is not blacked out in logs: choose a longer one',
    );
  for (const name of config.publicSecrets())
    warnings.push(
      `${name}: its password or token stands in GH_USER or GH_REPO, which are public, and is not blacked out in logs: choose another one`,
    );
  const { rollout, minAgeMs } = config;
  if (rollout !== null && minAgeMs >= rollout.periodMs)
    warnings.push(
      'UPDATE_MIN_AGE is not below UPDATE_ROLLOUT, and both count from the publication: all containers would take a release at the same time. Set UPDATE_ROLLOUT to more',
    );
  return warnings;
}

/**
 * Where others than we may write they are operators, and can keep an updater from its work. The
 * image's own directories are its init's to judge.
 */
export function sharedDirectoryWarnings(
  updateDir: string,
  bakedDir: string | null = null,
): string[] {
  const own = ['', 'state', 'inbox', 'releases', 'tmp'].map((name) => path.join(updateDir, name));
  const places =
    bakedDir === null || statOf(bakedDir) === null ? [updateDir] : [updateDir, bakedDir];
  // From / down, as the kernel goes: what is private itself can be exchanged as a whole in a
  // directory where others may rename.
  const ways = [...own, ...places.slice(1)].map(wayTo);
  const ends = new Set(ways.map(({ end }) => end));
  const above = new Set(
    ways.flatMap(({ directories }) => directories).filter((directory) => !ends.has(directory)),
  );
  const links = new Set(ways.flatMap((way) => way.links));
  return [
    ...[...above].flatMap((directory) => shared(directory, { isAbove: true })),
    ...[...links].flatMap(foreignLink),
    ...[...own, ...places.slice(1)].flatMap((directory) => shared(directory, { isAbove: false })),
    ...foreignTrees(updateDir),
  ];
}

/** What another user left in `releases` while that was open to him. */
function foreignTrees(updateDir: string): string[] {
  const releases = path.join(updateDir, 'releases');
  return namesIn(releases).flatMap((name) => {
    const tree = path.join(releases, name);
    const owner = foreignOwner(tree, updateDir);
    if (owner === null) return [];
    // The path that a running app keeps: see src/effects/claim.ts.
    if (lstatSync(tree, { throwIfNoEntry: false })?.isSymbolicLink())
      return [`user ${owner} can change what runs from ${tree}, until another version runs`];
    return [
      `${tree} belongs to user ${owner}, and is not run: remove it, or make it this user's if you know that its files are right (chown -Rh ${userId()} ${tree})`,
    ];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Beyond that many links the kernel gives up: path_resolution(7). */
const MAX_LINKS = 40;

/**
 * Where the kernel comes to, every directory through which it goes, and every link that it follows:
 * each of them decides where the way leads.
 */
function wayTo(place: string): { end: string; directories: string[]; links: string[] } {
  const [directories, links] = [['/'], [] as string[]];
  const ahead = path.resolve(place).split('/');
  let at = '/';
  for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
    if (part === '..') at = path.dirname(at);
    if (part === '' || part === '.' || part === '..') continue;
    const next = path.join(at, part);
    const target = linkAt(next);
    if (target !== null && links.push(next) <= MAX_LINKS) {
      if (target.startsWith('/')) at = '/';
      ahead.unshift(...target.split('/'));
    } else {
      at = next;
      // The place itself is judged by itself.
      if (ahead.length > 0) directories.push(at);
    }
  }
  return { end: at, directories, links };
}

/** Null where no link is. What is not there yet will be made in the part of the way that is. */
function linkAt(file: string): string | null {
  try {
    return readlinkSync(file);
  } catch {
    return null;
  }
}

/**
 * Where others may make names, and rename their own (a sticky bit), a link of theirs leads today
 * where it should, and tomorrow elsewhere.
 */
function foreignLink(link: string): string[] {
  const [stats, around] = [lstatSync(link, { throwIfNoEntry: false }), statOf(path.dirname(link))];
  const isTheirs = stats !== undefined && stats.uid !== userId() && stats.uid !== 0;
  if (!isTheirs || around === null || !isOpen(around)) return [];
  return [
    `${link}, above UPDATE_DIR, is a link of user ${stats.uid}, who can lead it to a directory of theirs: make it this user's (chown -h ${userId()} ${link}), or give UPDATE_DIR another place`,
  ];
}

function shared(directory: string, { isAbove }: { isAbove: boolean }): string[] {
  const stats = statOf(directory);
  if (stats === null) return [];
  const { uid, mode } = stats;
  const us = userId();
  if (uid !== us && uid !== 0)
    return [
      `${directory} belongs to user ${uid}, who can change what runs: make it this user's (chown ${us} ${directory}), or give UPDATE_DIR another place`,
    ];
  if (!isOpen(stats)) return [];
  const shown = (mode & 0o7777).toString(8);
  if (!isAbove)
    return [
      `${directory} can be written by others (mode ${shown}), who can change what runs: chmod go-w ${directory}; on a network volume, by its mount options`,
    ];
  // The sticky bit: only its owner renames what lies there, as in /tmp.
  if ((mode & 0o1000) !== 0) return [];
  return [
    `${directory}, above UPDATE_DIR, can be written by others (mode ${shown}), who can put a directory of theirs in its place: chmod go-w ${directory} (or chmod +t, where others have to write there), or give UPDATE_DIR another place`,
  ];
}

function statOf(directory: string): Stats | null {
  try {
    return statSync(directory);
  } catch {
    // Not there yet, or said where it is used.
    return null;
  }
}

/**
 * The files of secrets that the app can read. `app`: its user; null where it shares ours, and with
 * it everything that we can read.
 */
export function secretFileWarnings(environment: Environment, app: User | null): string[] {
  return secretFiles(environment).flatMap(({ name, file }) => {
    if (app === null) {
      return [
        `${name}: the app can read ${file}, because it runs as the updater's user. Give it a user of its own (docs/container.md)`,
      ];
    }
    if (!canRead(file, app)) return [];
    return [
      `${name}: the app's user (${app.uid}:${app.gid}) can read ${file}. Make it root's, with mode 600 (docs/security.md#secrets)`,
    ];
  });
}

function secretFiles(environment: Environment): { name: string; file: string }[] {
  const names = settingNames
    .filter((name: SettingName) => metaOf(name).secret && name.startsWith('UPDATE_'))
    .map((name) => `${name}_FILE`);
  return names.flatMap((name) => {
    const file = environment[name];
    return file === undefined || file === '' ? [] : [{ name, file }];
  });
}

/**
 * By owner and mode of the file, and of every directory on the way to it. Access lists, which are
 * rare on secrets, are not read.
 */
function canRead(file: string, user: User): boolean {
  try {
    const real = realpathSync(file);
    return (
      grants(real, user, 0o4) && parentsOf(real).every((directory) => grants(directory, user, 0o1))
    );
  } catch {
    // Not there now: said where it is read.
    return false;
  }
}
