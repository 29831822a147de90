/**
 * The registry: every effect the machine can name, bound to what it needs. A missing one does not
 * compile.
 */
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Effects } from '../machines/effects.ts';
import type { InstalledVersion } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { type CheckDependencies, check } from './check.ts';
import { type ConditionsDependencies, observeConditions } from './conditions.ts';
import { type DownloadDependencies, download } from './download.ts';
import { appCommand } from './entry-point.ts';
import { type ExtractDependencies, extract } from './extract.ts';
import { acquireFleetLock, type FleetLockDependencies, returnFleetLock } from './fleet-lock.ts';
import { removeOldVersions } from './garbage.ts';
import {
  type HandOverDependencies,
  observeReadiness,
  startBeside,
  stopOtherCopy,
} from './hand-over.ts';
import { type HookDependencies, runHook } from './hook.ts';
import { prepareSwitch } from './prepare.ts';
import { observeProbation } from './probation.ts';
import { assertComplete, switchCurrent } from './switch.ts';
import { whatToRun } from './trees.ts';
import { type VerifyDependencies, verify } from './verify.ts';

export type EffectDependencies = CheckDependencies &
  DownloadDependencies &
  VerifyDependencies &
  ExtractDependencies &
  ConditionsDependencies &
  FleetLockDependencies &
  HookDependencies &
  HandOverDependencies & {
    keptTrees: number;
    /** Further files that name the running version, where they can be written. */
    versionFiles: readonly string[];
  };

export function createEffects(deps: EffectDependencies): Effects {
  const { places, supervisor } = deps;
  return {
    check: (input, signal) => check(input, signal, deps),
    download: (input, signal) => download(input, signal, deps),
    verify: (input, signal) => verify(input, signal, deps),
    extract: (input, signal) => extract(input, signal, deps),
    observeConditions: (input) => observeConditions(input, deps),
    acquireFleetLock: (input, signal) => acquireFleetLock(input, signal, deps),
    returnFleetLock: (input, signal) => returnFleetLock(input, signal, deps),
    runHook: (input, signal) => runHook(input, signal, deps),
    prepareSwitch: (input) => prepareSwitch(input, deps),
    switchCurrent: (input) => switchCurrent(input, deps),
    startBeside: (input) => startBeside(input, deps),
    observeReadiness: (input, signal) => observeReadiness(input, signal, deps),
    stopOtherCopy: () => stopOtherCopy(deps),
    observeProbation: (input, signal) => observeProbation(input, signal, deps),
    removeOldVersions: (input, signal) => removeOldVersions(input, signal, deps.keptTrees, places),
    stop: async () => {
      const startedAt = performance.now();
      const { killed } = await supervisor.stop(deps.stop);
      return { type: 'appStopped', killed, durationMs: Math.round(performance.now() - startedAt) };
    },
    start: async ({ target }) => {
      const version = target ?? (await whatToRun(places));
      if (version === null)
        throw new Fault(
          'NOTHING_TO_RUN',
          'there is no version to run yet: neither installed nor part of the image',
        );
      assertComplete(version, places);
      const { adopted } = await supervisor.start(
        version.path,
        await appCommand(version.path, deps.app),
      );
      for (const file of [path.join(places.root, 'version'), ...deps.versionFiles])
        await tellVersion(file, version);
      return { type: 'appStarted', version: version.version, adopted };
    },
  };
}

/** For people and scripts that look; nothing depends on it, so it may fail. */
async function tellVersion(file: string, version: InstalledVersion): Promise<void> {
  // One line, whatever a server calls a release: shells read it. And never through a link that lies
  // in its place.
  const line = `${version.tag.replace(/\p{C}+/gu, ' ').slice(0, 256)}\n`;
  const temporary = `${file}.${process.pid}.tmp`;
  // A directory's default ACL takes the place of the umask: what is not asked for here, nobody gets
  // by it.
  await writeFile(temporary, line, { flag: 'wx', mode: 0o644 })
    .then(() => rename(temporary, file))
    .catch(() => rm(temporary, { force: true }))
    .catch(() => {});
}
