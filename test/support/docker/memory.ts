/** What memory of its own a process has, and where it is. */
import { readFileSync } from 'node:fs';

/** glibc maps an arena of malloc for a thread at a multiple of this. */
const ARENA = 64n * 1024n * 1024n;
/** V8 maps the pages of its heap at a multiple of this. */
const V8_PAGE = 256n * 1024n;

const LARGE_KB = 100;

/** In kB: all that is not a file's, and a text of what is large in it. proc_pid_smaps(5) */
export function anonymousMemory(pid: number): { kb: number; parts: string } {
  const parts = new Map<string, number>();
  let part = '';
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, begin, name = ''] = /^([0-9a-f]+)-[0-9a-f]+ (?:\S+ ){4} *(.*)$/.exec(line) ?? [];
    if (begin !== undefined) part = partOf(BigInt(`0x${begin}`), name);
    const [, kb] = /^Anonymous:\s+(\d+) kB$/.exec(line) ?? [];
    if (kb !== undefined) parts.set(part, (parts.get(part) ?? 0) + Number(kb));
  }
  const sizes = [...parts].sort(([, one], [, other]) => other - one);
  return {
    kb: sizes.reduce((sum, [, kb]) => sum + kb, 0),
    parts: sizes
      .filter(([, kb]) => kb >= LARGE_KB)
      .map(([what, kb]) => `${what} ${kb} kB`)
      .join(', '),
  };
}

function partOf(begin: bigint, name: string): string {
  if (name === '[heap]') return "malloc's [heap]";
  if (name !== '') return name;
  if (begin % ARENA === 0n) return "malloc's arenas";
  return begin % V8_PAGE === 0n ? "V8's heap" : 'other';
}
