/** Notifications, put together; nothing of them is loaded where nobody is to be told. */
import type { Journal } from '../journal/journal.ts';
import type { Notifier } from '../notify/notifier.ts';
import type { Channel } from '../notify/outbox.ts';
import type { State } from '../runtime/fold.ts';
import { restoreFrom } from '../runtime/restore.ts';
import { Fault } from '../support/fault.ts';
import { commandEnvironment } from './compose.ts';
import { programVersion } from './image.ts';
import { readPollNote } from './notes.ts';
import type { Parts } from './parts.ts';

const NOTE = 'notices';
/** How long an updater that has nothing else left to do waits for receivers. */
export const TELL_WITHIN_MS = 15_000;

function stateAfter(journal: Journal, seq: number): State | null {
  const checkpoint = journal.checkpoint();
  return restoreFrom(checkpoint !== null && checkpoint.seq <= seq ? checkpoint : null, (after) =>
    journal.read(after, seq - after),
  ).state;
}

export async function createNotifier(
  { config, places, policy, log, environment }: Parts,
  journal: Journal,
): Promise<Notifier | null> {
  const channels: Channel[] = [
    ...(config.notify.url() === null ? [] : (['url'] as const)),
    ...(config.notify.command === null ? [] : (['command'] as const)),
  ];
  if (channels.length === 0) return null;
  const [{ Notifier }, { post, runCommand }] = await Promise.all([
    import('../notify/notifier.ts'),
    import('../notify/deliver.ts'),
  ]);
  const { proxy } = config;
  return new Notifier({
    channels,
    deliver: async (channel, notice) => {
      const [url, command] = [config.notify.url(), config.notify.command];
      // Whoever is no longer set has nothing to be told; a secret's file that is being replaced
      // will be there again.
      if (channel === 'url' && url === null && channels.includes('url'))
        throw new Fault('NOTIFY_FAILED', 'the file of UPDATE_NOTIFY_URL_FILE is not there');
      if (channel === 'url' && url !== null)
        await post(url, notice, proxy, `self-update/${programVersion()}`);
      if (channel === 'command' && command !== null)
        await runCommand(command, notice, {
          environment: commandEnvironment({ config, environment }),
          directory: places.root,
          say: log.info,
        });
    },
    store: { read: () => journal.readNote(NOTE), write: (text) => journal.writeNote(NOTE, text) },
    readFacts: (after) => journal.read(after),
    stateAfter: (seq) => stateAfter(journal, seq),
    lastSeq: () => journal.lastSeq(),
    pollNote: () => readPollNote(journal),
    repository: policy.repository,
    failingAfterMs: config.notify.failingAfterMs,
    secrets: config.secrets,
    now: Date.now,
    log,
  });
}
