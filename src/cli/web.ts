/** The server, put together; nothing of it is loaded unless it is asked for. */
import * as z from 'zod';
import { appUser } from '../effects/supervisor/container.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { inboxDir } from '../effects/trees.ts';
import type { Journal } from '../journal/journal.ts';
import { Timeline } from '../report/timeline.ts';
import { isPending, submit } from '../runtime/inbox.ts';
import { readTaken } from '../runtime/outcomes.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { redactJson, unmistakable } from '../support/redact.ts';
import type { Web } from '../web/server.ts';
import type { UpdaterView } from '../web/updater-view.ts';
import { createSupervisor, usesRunit } from './compose.ts';
import { programVersion } from './image.ts';
import { readApiLimit, readPollNote } from './notes.ts';
import type { Parts } from './parts.ts';
import { statusFrom } from './read.ts';

const NOTE = 'webhooks';
/** GitHub sends a handful for a release. */
const MAX_REMEMBERED = 500;

export async function startWebIfAsked(parts: Parts): Promise<Web | null> {
  const { config, policy, log } = parts;
  const { address, token, webhookSecret, readingNeedsToken, hosts } = config.http;
  if (address === null) return null;
  const { startWeb } = await import('../web/server.ts');
  return startWeb({
    address,
    token: () => token() || null,
    hasToken: token() !== null,
    readingNeedsToken,
    appUid: usesRunit(config) ? (appUser()?.uid ?? null) : null,
    webhookSecret: () => webhookSecret() || null,
    takesWebhooks: webhookSecret() !== null,
    pollIntervalMs: config.pollIntervalMs,
    hosts,
    repository: policy.repository,
    isAppUp: async () => (await createSupervisor(parts, 'file').observe()) !== null,
    programVersion: programVersion(),
    log,
  });
}

export function viewFor(
  parts: Parts,
  journal: Journal,
  runtime: Runtime,
  supervisor: Supervisor,
): UpdaterView {
  // A journal of an earlier version, or from before a secret was one, may still hold it.
  const read = (after: number, limit: number) => {
    const secrets = unmistakable(parts.config.secrets());
    return journal
      .read(after, limit)
      .map((record) => ({ ...record, fact: redactJson(record.fact, secrets) }));
  };
  const note = () => readPollNote(journal);
  return {
    timeline: new Timeline(read),
    read,
    note,
    state: () => runtime.state,
    status: () =>
      statusFrom(
        parts,
        {
          state: runtime.state,
          note: note(),
          seq: journal.lastSeq(),
          apiLimitedUntil: readApiLimit(journal),
        },
        true,
      ),
    isAppUp: () => supervisor.isAlive(),
    fault: () => runtime.fault,
    submit: (command) => {
      const id = submit(inboxDir(parts.places), command);
      // Also where no change of a directory is told.
      runtime.wake();
      return id;
    },
    command: (id) =>
      readTaken(journal, id) ?? (isPending(inboxDir(parts.places), id) ? 'waits' : null),
    deliveries: deliveriesOf(journal),
  };
}

function deliveriesOf(journal: Journal): UpdaterView['deliveries'] {
  const read = (): string[] =>
    z
      .array(z.string())
      .catch([])
      .parse(JSON.parse(journal.readNote(NOTE) ?? '[]'));
  return {
    has: (digest) => read().includes(digest),
    add: (digest) =>
      journal.writeNote(NOTE, JSON.stringify([...read(), digest].slice(-MAX_REMEMBERED))),
  };
}
