/** What is kept in the journal's file, and is no fact: the poll note, and GitHub's answers. */

import * as z from 'zod';
import type { EffectDependencies } from '../effects/index.ts';
import type { AnswerCache } from '../effects/sources/conditional.ts';
import { LIMIT_KEY } from '../effects/sources/github-or-web.ts';
import type { Journal } from '../journal/journal.ts';
import { type PollNote, pollNoteSchema } from '../machines/poll-note.ts';
import { redactJson, withoutSecrets } from '../support/redact.ts';

/** A walk through all pages, and whatever else is asked; each is 3 MiB at most. */
const KEPT_ANSWERS = { maxCount: 64, maxBytes: 32 * 1024 * 1024 };

export function noteStore(
  journal: Journal,
  writable: boolean,
  secrets: () => readonly string[],
): { note: EffectDependencies['note']; cache: AnswerCache } {
  const write = (name: string, value: unknown): void => {
    if (writable) journal.writeNote(name, JSON.stringify(redactJson(value, secrets())));
  };
  return {
    note: { read: () => readPollNote(journal), write: (note) => write('poll', note) },
    cache: {
      read: (key) => JSON.parse(journal.readNote(`answer:${key}`) ?? 'null'),
      // Blacked out, it would come back as another answer under the same ETag.
      write: (key, entry) => {
        const text = JSON.stringify(entry);
        if (!writable || withoutSecrets(text, secrets()) !== text) return;
        journal.writeNote(`answer:${key}`, text);
        // Of addresses that are asked no more, and of a server that names ever new ones.
        journal.pruneNotes('answer:', KEPT_ANSWERS);
      },
    },
  };
}

/** Until when GitHub's API answers no requests without a token; 0 where no limit was met. */
export function readApiLimit(journal: Journal): number {
  const kept = z
    .object({ body: z.coerce.number() })
    .safeParse(JSON.parse(journal.readNote(`answer:${LIMIT_KEY}`) ?? 'null'));
  return kept.success ? kept.data.body : 0;
}

export function readPollNote(journal: Journal): PollNote {
  const parsed = pollNoteSchema.safeParse(JSON.parse(journal.readNote('poll') ?? '{}'));
  return parsed.success ? parsed.data : pollNoteSchema.parse({});
}
