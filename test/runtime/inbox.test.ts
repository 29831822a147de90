/**
 * Whatever is placed in the inbox, the updater neither waits for it nor stops: what is odd is set
 * aside, and commands are taken.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pendingCommands, prepareInbox, remove, submit } from '../../src/runtime/inbox.ts';
import { mkfifo, needsRoot, OTHER } from '../support/others.ts';

let inbox: string;
beforeEach(() => {
  inbox = path.join(mkdtempSync(path.join(os.tmpdir(), 'inbox-')), 'inbox');
  mkdirSync(inbox, { mode: 0o700 });
});
afterEach(() => rmSync(path.dirname(inbox), { recursive: true }));
const at = (name: string) => path.join(inbox, name);
const PAUSE = JSON.stringify({ type: 'paused' });

/** As the runtime does it: what is refused is removed. */
function taken(): { commands: string[]; refused: string[] } {
  const refused: string[] = [];
  const commands = pendingCommands(
    inbox,
    () => false,
    (file, reason) => {
      refused.push(`${path.basename(file)}: ${reason}`);
      remove(file);
    },
  );
  return { commands: commands.map(({ fact }) => fact?.type ?? 'checkNow'), refused };
}

/** What was placed is set aside, is not looked at again, and a command beside it is taken. */
function isSetAside(reason: RegExp): void {
  submit(inbox, { type: 'resumed' });
  const first = taken();
  assert.equal(first.refused.length, 1, first.refused.join());
  assert.match(first.refused[0] ?? '', reason);
  assert.deepEqual(first.commands, ['resumed']);
  assert.deepEqual(taken().refused, []);
}

describe('in the inbox', () => {
  it('a command that would be too long to be read is not placed', () => {
    assert.throws(() => submit(inbox, { type: 'versionDenied', version: '1'.repeat(70_000) }), {
      code: 'COMMAND_REFUSED',
    });
    assert.deepEqual(readdirSync(inbox), []);
  });

  it('a FIFO that nobody writes is not waited for', () => {
    mkfifo(at('0.json'));
    isSetAside(/is a FIFO/);
  });

  it('a directory with whatever in it is moved away, and not gone into', () => {
    mkdirSync(at('0.json/deep'), { recursive: true });
    writeFileSync(at('0.json/deep/file'), '');
    isSetAside(/is a directory/);
    assert.ok(readdirSync(inbox).some((name) => name.startsWith('0.json.odd-')));
  });

  it('a link is not followed, and what it names stays', () => {
    const precious = path.join(path.dirname(inbox), 'precious.json');
    writeFileSync(precious, PAUSE);
    symlinkSync(precious, at('0.json'));
    isSetAside(/not a regular file/);
    assert.equal(readFileSync(precious, 'utf8'), PAUSE);
  });

  it('a socket is no command', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('0.json'), resolve));
    isSetAside(/not a regular file/);
    await new Promise((resolve) => server.close(resolve));
  });

  it('a file of 10 GB is not read', () => {
    writeFileSync(at('0.json'), PAUSE);
    truncateSync(at('0.json'), 10 * 1024 ** 3);
    isSetAside(/larger than/);
  });

  it('a command that another user wrote is not obeyed', { skip: needsRoot }, () => {
    chmodSync(inbox, 0o1777);
    writeFileSync(at('0.json'), PAUSE);
    chownSync(at('0.json'), OTHER.uid, OTHER.gid);
    isSetAside(/belongs to user 65534/);
  });
});

describe('in the place of the inbox', () => {
  it('a file or a FIFO is moved away, and stops nobody', () => {
    rmSync(inbox, { recursive: true });
    for (const place of [() => writeFileSync(inbox, ''), () => mkfifo(inbox)]) {
      place();
      assert.deepEqual(taken(), { commands: [], refused: [] });
      const told: string[] = [];
      prepareInbox(inbox, (message) => told.push(message));
      assert.match(told.join(), /was not a directory/);
      submit(inbox, { type: 'paused' });
      assert.deepEqual(taken().commands, ['paused']);
      rmSync(inbox, { recursive: true });
    }
    mkdirSync(inbox);
  });
});

describe("root's command for an updater of another user", { skip: needsRoot }, () => {
  it('belongs to that user, who could not read it otherwise', () => {
    chownSync(inbox, OTHER.uid, OTHER.gid);
    const id = submit(inbox, { type: 'paused' });
    assert.equal(statSync(at(`${id}.json`)).uid, OTHER.uid);
  });
});
