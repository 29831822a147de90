/** A context to begin with, and facts for it. */
import { candidateFor } from '../../src/machines/candidate.ts';
import { type Context, initialContext } from '../../src/machines/context.ts';
import type { Failure } from '../../src/machines/failure.ts';
import type { Policy, Release } from '../../src/machines/model.ts';
import { facts, policy, release, tree, world } from './machine.ts';

export const AT = 1_000_000;

/** 1.1.0 runs and is trusted; the image brought 1.0.0. */
export function context(overrides: Partial<Context> = {}, rules: Partial<Policy> = {}): Context {
  const current = tree('1.1.0');
  const begun = initialContext({
    policy: { ...policy, ...rules },
    world: world({ current, lastGood: current }),
    floor: null,
    at: 0,
  });
  return { ...begun, app: 'up', ...overrides };
}
export const withCandidate = (version: string, overrides: Partial<Context> = {}): Context => {
  const begun = context();
  return { ...begun, candidate: candidateFor(begun, release(version)), ...overrides };
};
export const failed = (code: string): Failure =>
  ({ ...facts.failed('downloadFailed', code), at: AT }) as Failure;
export const found = (version: string, overrides: Partial<Release> = {}) =>
  ({ type: 'releaseFound', release: release(version, overrides), at: AT }) as const;
