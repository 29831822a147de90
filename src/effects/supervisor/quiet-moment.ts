/**
 * A copy that does not end when it is told to is killed, and what it had accepted just then is
 * lost. Where another copy takes what comes from the same held socket, that need not be: a stopped
 * process (SIGSTOP) accepts nothing, and so no request is lost by the KILL of one that has none in
 * its hands. So it is stopped, looked at, and killed right there if it is quiet; else it goes on
 * for a moment, in which it sends the answers that are due, and again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { User } from '../as-app.ts';
import { listenersOn, OpenSockets, type Sockets } from './open-sockets.ts';
import { areBusy, areStopped, groupMembers, sendSignal } from './process-table.ts';

/** Before the end of the wait; the first half of it belongs to the copy in any case. */
const SPAN_MS = 2000;
/**
 * A socket that has been there for longer is a connection that is kept, with nothing under way: or
 * with a request that its client sends once more, since that may happen to kept ones at any time
 * (RFC 9112, section 9.3.1).
 */
const YOUNG_MS = 1000;
/** While it is only watched. */
const WATCH_EVERY_MS = 20;
/**
 * It goes on until it has nothing to do, which is when it has sent what is due; and hardly so long
 * that it accepts more. One that computes its answers needs the longer time.
 */
const SLICE_MS = 0.5;
const MAX_SLICE_MS = 20;
/**
 * How long it is stopped at first; each further time half as long again. Answers that take a time
 * are waited for about as long, whatever they wait for, and only quick ones come late by little.
 */
const PAUSE_MS = 2;
const PAUSE_GROWTH = 1.5;
/** Before the end there is to be time for one more look. */
const LAST_LOOK_MS = 60;
/** For the kernel to stop all threads. */
const STOP_WITHIN_MS = 20;

export type Quarry = {
  group: number;
  /** Of the held sockets. */
  ports: readonly number[];
  /** Who may look at its descriptors; null for ourselves. */
  user: User | null;
  /** How long it is waited for in all, from now on. */
  waitMs: number;
  /** Whether another copy takes what comes. */
  isServed: () => boolean;
};

/** When each socket was seen first. */
export type Seen = ReadonlyMap<string, number>;

/** Those that are open now, with when each was seen first. */
export function noteSockets(seen: Seen, open: Sockets, now: number): Seen {
  return new Map([...open].map((inode) => [inode, seen.get(inode) ?? now]));
}

/** How many are too young to be idle. */
export function youngOf(seen: Seen, now: number, youngMs: number): number {
  return [...seen.values()].filter((since) => now - since < youngMs).length;
}

/** When to do what, in ms from now, for a wait of so many. */
export function timesOf(waitMs: number): { watchAt: number; stopAt: number; youngMs: number } {
  const stopAt = Math.max(waitMs / 2, waitMs - SPAN_MS);
  const watchAt = Math.max(0, stopAt - YOUNG_MS);
  return { watchAt, stopAt, youngMs: stopAt - watchAt };
}

/**
 * Waits until the copy is gone, and meanwhile looks for a quiet moment. `quarry`: null where there
 * is none to look for. `wait`: resolves to whether it is gone, by the end of the wait.
 */
export async function waitOrKillQuietly(
  quarry: Quarry | null,
  wait: () => Promise<boolean>,
): Promise<{ isGone: boolean; killed: boolean }> {
  const end = new AbortController();
  const quiet = quarry === null ? null : killInQuietMoment(quarry, end.signal);
  // Without it the end is what it is without us: KILL, when the time is up.
  const killing = quiet?.catch(() => false);
  try {
    const isGone = await wait();
    end.abort();
    return { isGone, killed: (await killing) ?? false };
  } finally {
    end.abort();
  }
}

/**
 * Resolves to true once it has killed the group in a quiet moment; to false when there was none
 * before `signal` aborted, or none is to be looked for: the group lets go of the listeners, and so
 * ends by itself; it takes no connections; or nobody could look. The group is never left stopped.
 */
export async function killInQuietMoment(
  { group, ports, user, waitMs, isServed }: Quarry,
  signal: AbortSignal,
): Promise<boolean> {
  const began = performance.now();
  const { watchAt, stopAt, youngMs } = timesOf(waitMs);
  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => {});
  await pause(watchAt);
  if (signal.aborted || process.platform !== 'linux') return false;
  const listeners = listenersOn(ports);
  const sockets = new OpenSockets(group, user);
  const close = () => sockets.close();
  signal.addEventListener('abort', close);
  let seen: Seen | null = null;
  let accepts = false;
  let members = groupMembers(group);
  let pauseMs = PAUSE_MS;
  let mayBeStopped = false;
  try {
    for (;;) {
      const isTime = accepts && performance.now() - began >= stopAt;
      mayBeStopped ||= isTime;
      if (isTime && !stopGroup(group, members)) {
        sendSignal(-group, 'SIGCONT');
        await pause(WATCH_EVERY_MS);
        if (signal.aborted) return false;
        continue;
      }
      const open = await sockets.of(members);
      if (signal.aborted || open === null || !isServed()) return false;
      // It lets go, and drains.
      if (![...open].some((inode) => listeners.has(inode))) return false;
      const others = new Set([...open].filter((inode) => !listeners.has(inode)));
      accepts ||= seen !== null && [...others].some((inode) => !seen?.has(inode));
      const now = performance.now();
      seen = noteSockets(seen ?? new Map(), others, now);
      if (!isTime) {
        await pause(WATCH_EVERY_MS);
        continue;
      }
      if (youngOf(seen, now, youngMs) === 0) {
        // The whole table takes its time: looked at again only where it matters.
        const all = groupMembers(group);
        if (all.every((pid) => members.includes(pid))) return sendSignal(-group, 'SIGKILL');
        members = all;
        continue;
      }
      const leftMs = began + waitMs - now - LAST_LOOK_MS;
      await pause(leftMs > 0 ? Math.min(pauseMs, leftMs) : LAST_LOOK_MS * 2);
      if (signal.aborted) return false;
      pauseMs *= PAUSE_GROWTH;
      goOn(group, members);
    }
  } finally {
    signal.removeEventListener('abort', close);
    // Also after KILL, which needs none.
    if (mayBeStopped) sendSignal(-group, 'SIGCONT');
    close();
  }
}

/** False if some of it still runs after a moment. */
function stopGroup(group: number, members: readonly number[]): boolean {
  const deadline = performance.now() + STOP_WITHIN_MS;
  sendSignal(-group, 'SIGSTOP');
  while (!areStopped(members)) {
    if (performance.now() > deadline) return false;
    blockFor(SLICE_MS);
  }
  return true;
}

function goOn(group: number, members: readonly number[]): void {
  const deadline = performance.now() + MAX_SLICE_MS;
  sendSignal(-group, 'SIGCONT');
  do blockFor(SLICE_MS);
  while (areBusy(members) && performance.now() < deadline);
}

/** A timer of Node's is late by a millisecond or more, in which connections would be accepted. */
function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
