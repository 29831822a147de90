/** What follows from the configuration alone: the places on disk, and the policy of the machine. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { Places } from '../effects/trees.ts';
import type { Policy } from '../machines/model.ts';
import { followedSource } from './followed-source.ts';
import { hostPlatform } from './host.ts';
import { rulesOf } from './rules.ts';

/** Tries at one release before it is given up. */
const MAX_ATTEMPTS = 5;

export function placesOf(config: Config): Places {
  return {
    root: canonical(config.updateDir),
    bakedDir: config.bakedDir,
    repository: config.repository,
    versioning: config.versioning,
    tagPrefix: config.tagPrefix,
    rules: rulesOf(config.trust),
  };
}

/**
 * One directory has one name, however it was written: with `//`, or through a link. What is not
 * there yet has no links in it.
 */
function canonical(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    const parent = path.dirname(path.resolve(directory));
    return parent === path.resolve(directory)
      ? parent
      : path.join(canonical(parent), path.basename(directory));
  }
}

export function policyOf(config: Config): Policy {
  const { conditions } = config.trust;
  const { preStop, preStart, postUpdate } = config.hooks.commands;
  return {
    repository: config.repository,
    strategy: config.strategy,
    versioning: config.versioning,
    range: config.range,
    prerelease: config.allowsPrereleases,
    tagPrefix: config.tagPrefix,
    tag: config.tag,
    assetGlob: config.assetGlob,
    platform: hostPlatform(),
    requireDigest: conditions.includes('digest'),
    rollback: config.rollback,
    maxAttempts: MAX_ATTEMPTS,
    retryBaseMs: config.pollIntervalMs,
    probationMs: config.probationMs,
    window: config.window,
    minAgeMs: config.minAgeMs,
    approval: config.needsApproval,
    urgentAllowed: config.allowsUrgent,
    urgentNeedsProof: conditions.some((condition) => condition !== 'digest'),
    denied: config.denied.map((version) => version.replace(/^v(?=\d)/, '')),
    requireMinisign: conditions.includes('minisign'),
    hooks: {
      preStop: preStop !== null,
      preStart: preStart !== null,
      postUpdate: postUpdate !== null,
    },
    held: heldSockets(config),
    fleet: config.fleet.isAsked
      ? {
          id: config.fleet.id,
          group: config.fleet.group,
          keepsOnFailure: config.fleet.keepsOnFailure,
        }
      : null,
    rollout: config.rollout && { id: config.fleet.id, ...config.rollout },
    ...(config.source.name === 'github' ? {} : { source: followedSource(config) }),
  };
}

/** A digest of the command, which may hold a secret: it only has to tell one from another. */
function heldSockets({ held, app }: Config): string {
  if (held.sockets.length === 0) return '';
  const places = held.sockets.map(({ name, address, port }) => `${name}=${address} ${port}`);
  const command = createHash('sha256')
    .update(app.command ?? '')
    .digest('hex')
    .slice(0, 8);
  return [...places, `node=${held.isPreloaded}`, `command=${command}`].join(',');
}
