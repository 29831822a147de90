/** What a tree needs of the system that it starts on, by its program and its native libraries. */
import path from 'node:path';
import { type ElfNeeds, elfNeedsOf } from '../effects/elf-needs.ts';
import { compareGlibc } from '../support/glibc.ts';
import type { Needs } from './report.ts';

/** Programs and libraries that are looked at; large trees have hundreds. */
const MAX_FILES = 2000;
/** Node's addons, and shared libraries. */
const NATIVE = /\.node$|\.so(?:\.[^/]*)?$/;
/** Built for many platforms beside each other, one of which is loaded. */
const PREBUILT = /(?:^|\/)(?:prebuilds|prebuilt)\//;

export type TreeNeeds = { needs: Needs; foreign: string[] };

/**
 * `program`: the file that is started; null where a command starts it. `machine`: e_machine of the
 * processor that it is for.
 */
export function needsOfTree(
  { tree, entries }: { tree: string; entries: readonly { path: string; type: string }[] },
  program: string | null,
  programs: readonly string[],
  machine: number | undefined,
): TreeNeeds {
  const own = program === null ? null : elfNeedsOf(program);
  const natives = entries
    .filter(({ path: name, type }) => type === 'file' && NATIVE.test(name) && !PREBUILT.test(name))
    .slice(0, MAX_FILES)
    .flatMap(({ path: name }) => {
      const needs = elfNeedsOf(path.join(tree, name));
      return needs === null ? [] : [{ name, needs }];
    });
  const foreign = natives.filter(({ needs }) => machine !== undefined && needs.machine !== machine);
  const counted = [
    own,
    ...natives.filter((one) => !foreign.includes(one)).map(({ needs }) => needs),
  ];
  const brought = new Set(entries.map(({ path: name }) => path.basename(name)));
  const versions = counted.flatMap((needs) => needs?.glibc ?? []);
  return {
    needs: {
      linkage: own === null ? null : linkageOf(own),
      glibc: versions.toSorted((a, b) => compareGlibc(b, a))[0] ?? null,
      libraries: (own?.libraries ?? []).filter((name) => !brought.has(name)),
      programs: [...programs],
    },
    foreign: foreign.map(({ name }) => name),
  };
}

function linkageOf({ interpreter }: ElfNeeds): NonNullable<Needs['linkage']> {
  if (interpreter === null) return 'static';
  if (interpreter.includes('musl')) return 'musl';
  return /ld-linux|\/ld(?:64)?\.so/.test(interpreter) ? 'glibc' : 'other';
}
