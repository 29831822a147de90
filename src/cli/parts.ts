/** What every command is made of, once the settings are read. */
import type { Config } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import type { Places } from '../effects/trees.ts';
import type { AssetPattern } from '../machines/asset.ts';
import type { Policy } from '../machines/model.ts';
import { globMatcher } from '../support/glob.ts';
import type { Log } from '../support/log.ts';

export type Parts = {
  config: Config;
  places: Places;
  policy: Policy;
  log: Log;
  environment: Environment;
};

export function assetPatternOf({ assetGlob: glob }: Config): AssetPattern | null {
  return glob === null ? null : { glob, matches: globMatcher(glob) };
}
