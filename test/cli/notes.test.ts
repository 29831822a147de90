import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noteStore, readPollNote } from '../../src/cli/notes.ts';
import { Journal } from '../../src/journal/journal.ts';

let root: string;
before(() => {
  root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'notes-')));
});
after(() => rmSync(root, { recursive: true }));

describe('the note and the cached answers', () => {
  it('are kept without secrets, and an answer that holds one is not kept at all', () => {
    const journal = Journal.open(path.join(root, 'noted'));
    const { note, cache } = noteStore(journal, true, () => ['hush-hush-hush']);
    note.write({
      ...note.read(),
      lastError: { code: 'NETWORK_FAILED', message: 'said hush-hush-hush', at: 1 },
    });
    assert.doesNotMatch(note.read().lastError?.message ?? '', /hush/);
    const entry = { etag: 'x', body: 'fine' } as never as Parameters<typeof cache.write>[1];
    cache.write('a', entry);
    cache.write('b', { ...entry, body: 'hush-hush-hush' });
    assert.deepEqual([cache.read('a'), cache.read('b')], [entry, null]);
    const readOnly = noteStore(journal, false, () => []);
    readOnly.cache.write('c', entry);
    assert.equal(readOnly.cache.read('c'), null);
    journal.close();
  });

  it('begin anew where the note is of another version', () => {
    const journal = Journal.open(path.join(root, 'odd'));
    const fresh = readPollNote(journal);
    journal.writeNote('poll', '{"lastCheckAt":"yesterday"}');
    assert.deepEqual(readPollNote(journal), fresh);
    journal.close();
  });
});
