/**
 * Which setting would take a release that was refused: found, to be tried. Pure.
 */
import { type AssetPattern, chooseAsset } from '../machines/asset.ts';
import type { Policy } from '../machines/model.ts';
import { type PublishedRelease, settingsFor } from '../machines/release.ts';
import { globMatcher } from '../support/glob.ts';

/** By name; what `lint` judges under next. */
export type Settings = Readonly<Record<string, string>>;

export type Circumstances = {
  policy: Policy;
  pattern: AssetPattern | null;
  /** What the refusal is about; null where it is not known. */
  published: PublishedRelease | null;
  /** The command that would start it, where ENTRY_POINT_MISSING knows one. */
  command: string | null;
};

/** Null where none is known, and the release itself has to change. */
export function remedyOf(code: string, circumstances: Circumstances): Settings | null {
  const { policy, published, command } = circumstances;
  switch (code) {
    case 'TAG_UNREADABLE':
    case 'PRERELEASE_ONLY':
    case 'NONE_ALLOWED':
      return published === null ? null : rulesThatFollow(published, policy);
    case 'ASSET_AMBIGUOUS':
      return published === null ? null : patternFor(published, circumstances);
    case 'DIGEST_MISSING':
      return { UPDATE_VERIFY: 'none' };
    case 'ENTRY_POINT_MISSING':
      return command === null ? null : { UPDATE_APP_COMMAND: command };
    default:
      return null;
  }
}

function rulesThatFollow(published: PublishedRelease, policy: Policy): Settings {
  const found = settingsFor(published, policy);
  if (found === null) return { UPDATE_TAG: published.tag };
  return Object.fromEntries(
    found.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  );
}

/** As it stands in a name, with its prerelease. */
const VERSION = /v?\d+(?:\.\d+)+(?:-(?:alpha|beta|rc|pre)[0-9.]*)?(?=[_-]|\.[a-z]|$)/;

/**
 * A pattern for the first of several files that goes on to fit: what reads as a version is left
 * open.
 */
function patternFor(
  { assets }: PublishedRelease,
  { policy, pattern }: Circumstances,
): Settings | null {
  const uploaded = assets.filter((asset) => asset.uploaded);
  const choice = chooseAsset(
    uploaded,
    pattern,
    policy.platform,
    policy.repository.split('/').at(-1),
  );
  if (choice.kind !== 'several') return null;
  for (const name of choice.names.toSorted()) {
    const literal = name.replace(/[\\*?[\]{}()!@+|]/g, '\\$&');
    for (const glob of [literal.replace(VERSION, '*'), literal])
      if (uploaded.filter((asset) => globMatcher(glob)(asset.name)).length === 1)
        return { UPDATE_ASSET: glob };
  }
  return null;
}
