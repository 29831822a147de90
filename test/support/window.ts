/** Windows around the present minute, in UTC. */
const MINUTE_MS = 60_000;

const clock = (at: number) => new Date(at).toISOString().slice(11, 16);

/** One that opens in an hour or two. */
export function closedWindow(): string {
  return `${clock(Date.now() + 60 * MINUTE_MS)}-${clock(Date.now() + 120 * MINUTE_MS)}`;
}

/**
 * One that opens with the next minute, or the one after where that is too near. `opensAt` is wall
 * clock.
 */
export function comingWindow(leastMs = 15_000): { text: string; opensAt: number } {
  const opensAt = Math.ceil((Date.now() + leastMs) / MINUTE_MS) * MINUTE_MS;
  return { text: `${clock(opensAt)}-${clock(opensAt + 120 * MINUTE_MS)}`, opensAt };
}
