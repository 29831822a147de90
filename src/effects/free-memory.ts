/** How much memory a group of processes has, and how much is left for another one like it. Linux. */
import os from 'node:os';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { groupMembers } from './supervisor/process-table.ts';

/** Of every Linux that Node runs on, but for some arm64 machines, where less is counted than is. */
const PAGE_BYTES = 4096;

/** Resident memory of a process group, bytes: shared pages are counted once for each process. */
export function residentBytes(groupId: number): number {
  return groupMembers(groupId)
    .map((pid) => Number(read(`/proc/${pid}/statm`)?.split(' ')[1] ?? 0) * PAGE_BYTES)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Bytes that can be had before something has to be killed: of the machine, and within the limit of
 * our control group (version 2, or 1). What the kernel keeps of files, it gives back.
 */
export function availableBytes(): number {
  const machine = /^MemAvailable:\s+(\d+) kB/m.exec(read('/proc/meminfo') ?? '')?.[1];
  const ofMachine = machine === undefined ? os.freemem() : Number(machine) * 1024;
  return Math.min(ofMachine, ...CONTROL_GROUPS.map(leftOf));
}

type ControlGroup = { limit: string; used: string; statistics: string; files: RegExp };

const CONTROL_GROUPS: ControlGroup[] = [
  {
    limit: '/sys/fs/cgroup/memory.max',
    used: '/sys/fs/cgroup/memory.current',
    statistics: '/sys/fs/cgroup/memory.stat',
    files: /^(?:inactive_file|active_file|slab_reclaimable) (\d+)/gm,
  },
  {
    limit: '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    used: '/sys/fs/cgroup/memory/memory.usage_in_bytes',
    statistics: '/sys/fs/cgroup/memory/memory.stat',
    files: /^total_(?:inactive_file|active_file) (\d+)/gm,
  },
];

function leftOf({ limit, used, statistics, files }: ControlGroup): number {
  const limitBytes = Number(read(limit)?.trim() ?? 'max');
  const usedBytes = Number(read(used)?.trim() ?? 'none');
  if (!Number.isFinite(limitBytes) || !Number.isFinite(usedBytes)) return Number.POSITIVE_INFINITY;
  const given = [...(read(statistics) ?? '').matchAll(files)].map(([, bytes]) => Number(bytes));
  return limitBytes - usedBytes + given.reduce((sum, bytes) => sum + bytes, 0);
}

function read(file: string): string | null {
  try {
    return readBounded(file, MAX_NOTE_BYTES).toString('utf8');
  } catch {
    return null;
  }
}
