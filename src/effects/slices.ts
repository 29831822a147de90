/**
 * Many short synchronous steps, without keeping the event loop from its turn: signals, requests and
 * deadlines wait no longer than a slice.
 */
import { setImmediate as turn } from 'node:timers/promises';

const SLICE_MS = 10;

/** The same items. Throws where `signal` was aborted meanwhile. */
export async function* inSlices<T>(
  items: Iterable<T>,
  signal: AbortSignal | null = null,
): AsyncGenerator<T> {
  let since = performance.now();
  for (const item of items) {
    if (performance.now() - since > SLICE_MS) {
      await turn();
      signal?.throwIfAborted();
      since = performance.now();
    }
    yield item;
  }
}
