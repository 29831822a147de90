/**
 * A release that bound an address itself which is held for it (UPDATE_LISTEN), and ended. That says
 * nothing about its bytes, so it is not denied; but it would end again, and interrupt the app each
 * time: it waits until somebody changes something. Pure.
 */
import type { Context } from './context.ts';

/** Only another configuration, another release or the operator's word helps. */
export function isAddressHeld({ candidate }: Pick<Context, 'candidate'>): boolean {
  return candidate?.deferral?.inhibitors.some(({ reason }) => reason === 'address') === true;
}

/** One word of the operator's (`--force`) is one try. */
export function awaitAddress(
  { candidate }: Context,
  { at, message }: { at: number; message: string },
): Partial<Context> {
  if (candidate === null) return {};
  const inhibitors = [{ reason: 'address' as const, until: null }];
  const deferral = { since: at, inhibitors, message, times: 0, lock: null };
  return {
    candidate: { ...candidate, deferral, forced: false, downloadFirst: true },
    retryAt: null,
  };
}

/** The word, or the configuration, that it waited for. */
export function addressMayBeFree({ candidate }: Context): Partial<Context> {
  if (candidate === null || !isAddressHeld({ candidate })) return {};
  return { candidate: { ...candidate, deferral: null }, failedPaths: [] };
}
