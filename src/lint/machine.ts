/** A machine that nobody has at hand: what is there is known from its libc. */
import path from 'node:path';
import type { Machine } from '../effects/program.ts';
import type { LintPlatform } from './platforms.ts';

/** Where a container's programs are, as far as a script's first line is concerned. */
const PATH_OF_IMAGE = '/usr/bin';
/** What has to be there is there: sh(1), and env(1), which looks for another one. */
const EVERYWHERE = new Set(['sh', 'env']);

/** `programs`: is told which ones are looked for. All of them are there, but for another libc. */
export function machineOf({ os, node, libc }: LintPlatform, programs: Set<string>): Machine {
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
