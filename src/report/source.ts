/** Where releases come from, for people. Pure, and without a schema: the dashboard has it, too. */
import type { FollowedSource } from '../machines/model.ts';

/**
 * As `status --json` and `check --json` have it. `webUntil`: RFC 3339; until then GitHub's web pages
 * are followed, since its API is at its limit.
 */
export type ShownSource = FollowedSource & { webUntil: string | null };

/** `codeberg.org (forgejo)`, `/srv/releases (directory)` */
export function describeSource({ name, url }: FollowedSource): string {
  return `${url.replace(/^[a-z]+:\/\//, '')} (${name})`;
}

/** Null where it is GitHub as ever. */
export function describeShownSource({ webUntil, ...source }: ShownSource): string | null {
  if (webUntil !== null)
    return `GitHub's web pages, since its API answers no requests until ${webUntil}`;
  return source.name === 'github' ? null : describeSource(source);
}
