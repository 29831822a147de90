/** What is remembered of a look for releases from which nothing follows. Pure. */
import { noCandidate } from './candidate.ts';
import type { Context } from './context.ts';
import { isWithdrawn } from './deferral.ts';
import type { FactOf } from './facts.ts';
import { fingerprint, type InstalledVersion, type Release } from './model.ts';
import { isReplaced } from './wanted.ts';

type Stamped<F> = F & { at: number };

/** Its assets are still being uploaded. */
export function recordWait({
  tag,
  version,
  code,
  message,
  at,
}: Stamped<FactOf<'assetsAwaited'>>): Partial<Context> {
  return { awaiting: { tag, version, code, message, since: at }, lastError: { code, message, at } };
}

export function recordRefusal({
  tag,
  code,
  message,
  at,
}: Stamped<FactOf<'releaseRefused'>>): Partial<Context> {
  return { refused: { tag, code, message }, awaiting: null, lastError: { code, message, at } };
}

/**
 * The release that was found, or none (null), is not followed: what runs was replaced, or what
 * waited was taken back.
 */
export function recordUnwanted(
  context: Context,
  found: Stamped<FactOf<'releaseFound'>> | null,
): Partial<Context> {
  if (found !== null && isReplaced(context, found.release))
    return recordReplacement(context, found);
  return isWithdrawn(context, found?.release ?? null) ? noCandidate : {};
}

/**
 * The asset of the version that runs was replaced, or the same version was published once more.
 * That is said, and not followed.
 */
export function recordReplacement(
  { current }: Context,
  { release, at }: FactOf<'releaseFound'> & { at: number },
): Partial<Context> {
  const { code, message } = replacementOf(current, release);
  return { replacedBy: fingerprint(release), lastError: { code, message, at } };
}

export function replacementOf(
  current: InstalledVersion | null,
  { tag, version, asset }: Release,
): { code: string; message: string } {
  const remedy = `The running version stays; \`self-update install ${tag}\` takes the new one`;
  if (current === null || current.tag === tag)
    return {
      code: 'ASSET_REPLACED',
      message: `${asset.name} of ${tag} differs from the one that was installed: it was replaced under the same tag. ${remedy}`,
    };
  const message = `${tag} is version ${version} as ${current.tag} is, which runs: build metadata and spelling are not compared, so it is not newer. ${remedy}`;
  return { code: 'VERSION_EQUAL', message };
}
