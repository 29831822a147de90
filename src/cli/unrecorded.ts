/**
 * When the journal can't be opened, or its first fact can't be written, nothing is updated, but the
 * app runs all the same: whatever is linked, else what the image brings.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { appCommand } from '../effects/entry-point.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { whatToRun } from '../effects/trees.ts';
import { toFault } from '../support/fault.ts';
import type { Arguments } from './arguments.ts';
import { appOptionsOf, createSupervisor } from './compose.ts';
import type { Parts } from './parts.ts';

const RETRY_MS = 10_000;

/**
 * What `begin` makes of the updater. A resident one tries again until that succeeds, or `stop`
 * aborts: then null. Otherwise throws the `Fault`, with the app started.
 */
export async function beginOrServe<T>(
  args: Arguments,
  parts: Parts,
  stop: AbortSignal,
  begin: () => Promise<T>,
): Promise<T | null> {
  let supervisor: Supervisor | null = null;
  for (;;) {
    try {
      return await begin();
    } catch (error) {
      const fault = toFault(error, 'JOURNAL_FAILED');
      // Whoever holds the lock sees to the app. What can't be listened on is for the operator.
      if (fault.code === 'LOCKED' || fault.code === 'LISTEN_FAILED') throw fault;
      supervisor ??= createSupervisor(parts, args.once ? 'file' : 'inherit');
      await startWhatIsThere(supervisor, args, parts);
      if (args.once) {
        supervisor.detach();
        throw fault;
      }
      parts.log.warn(`updates are suspended: ${fault.message} [${fault.code}]`);
      await sleep(RETRY_MS, undefined, { signal: stop }).catch(() => {});
      if (stop.aborted) {
        if (supervisor.endsWithUpdater) await supervisor.stop(parts.config.stop);
        return null;
      }
      // The next one adopts the app, and is the only one to restart it.
      supervisor.detach();
      supervisor = null;
    }
  }
}

async function startWhatIsThere(
  supervisor: Supervisor,
  { appArgs }: Arguments,
  parts: Parts,
): Promise<void> {
  try {
    if ((await supervisor.observe()) !== null) return;
    const version = await whatToRun(parts.places);
    if (version !== null)
      await supervisor.start(
        version.path,
        await appCommand(version.path, appOptionsOf(parts, appArgs)),
      );
  } catch (error) {
    parts.log.warn(`the app could not be started: ${(error as Error).message}`);
  }
}
