/**
 * Where the links of a tree lead once it lies in its place. Each step is one lstat(2) of a path
 * without links in it: nothing is followed by name, so it does not matter what the tree's own
 * directory is called, or what lies beside it. Each link is followed once.
 */
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import path from 'node:path';
import { type Fault, isErrno } from '../../support/fault.ts';
import { refused } from './rules.ts';

/** path_resolution(7): the kernel follows no more of them. */
const MAX_FOLLOWED = 40;

/** Whether a path is one of the names, or below one. */
export function isWithin(name: string, names: readonly string[]): boolean {
  return names.some((other) => name === other || name.startsWith(`${other}/`));
}

export class Links {
  readonly #root: string;
  readonly #linked: readonly string[];
  /**
   * By a link's path: the place where it leads, or null for nowhere. Paths are relative to the
   * root, which is the empty one.
   */
  readonly #places = new Map<string, string | null>();

  /**
   * `linked`: names that are the app's data, or will be. Links may lead there; what they find is
   * not looked at.
   */
  constructor(root: string, linked: readonly string[]) {
    this.#root = root;
    this.#linked = linked;
  }

  /**
   * Throws `Fault` `ARCHIVE_REFUSED` for a link that leaves the tree on its way, wherever it ends.
   * One that leads nowhere may stay.
   */
  check(name: string): void {
    this.#follow(name, 0);
  }

  #follow(name: string, followed: number): string | null {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    // Archive escape: a note that it leads nowhere would speak for the rest of the chain, which
    // nobody looked at.
    if (followed > MAX_FOLLOWED)
      throw refused(`more than ${MAX_FOLLOWED} links lead to ${shown(name)} in a chain`);
    // A circle leads nowhere.
    this.#places.set(name, null);
    const target = readlinkSync(path.join(this.#root, name));
    if (target.startsWith('/')) throw leaves(name);
    const place = this.#resolve(name, target, followed);
    this.#places.set(name, place);
    return place;
  }

  #resolve(name: string, target: string, followed: number): string | null {
    let at: string | null = parentOf(name);
    for (const part of target.split('/')) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        if (at === '') throw leaves(name);
        // Upwards from what is missing, or from the app's data, is wherever that leads one day.
        if (at === null || isWithin(at, this.#linked))
          throw refused(`the link ${shown(name)} goes upwards from where it can't be checked`);
        at = parentOf(at);
      } else if (at !== null && !isWithin(at, this.#linked))
        at = this.#step(at === '' ? part : `${at}/${part}`, followed);
    }
    return at;
  }

  /** The place that an entry is, or leads to. */
  #step(entry: string, followed: number): string | null {
    if (isWithin(entry, this.#linked)) return entry;
    const stats = this.#look(entry);
    if (stats === null) return null;
    return stats.isSymbolicLink() ? this.#follow(entry, followed + 1) : entry;
  }

  #look(entry: string): Stats | null {
    try {
      return lstatSync(path.join(this.#root, entry));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) return null;
      throw error;
    }
  }
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(name.lastIndexOf('/'), 0));
}

const shown = (name: string): string => JSON.stringify(name.slice(0, 100));

function leaves(name: string): Fault {
  return refused(`the link ${shown(name)} leads out of the tree`);
}
