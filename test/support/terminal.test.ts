import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { neverWait } from '../../src/support/terminal.ts';

describe('a terminal that takes nothing', () => {
  it('loses whole lines and holds up nobody, and their number is told when it takes some again', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'terminal-'));
    execFileSync('mkfifo', [path.join(directory, 'fifo')]);
    const fd = openSync(path.join(directory, 'fifo'), constants.O_RDWR);
    const bytes = Buffer.alloc(100);
    const take = (): string => bytes.toString('utf8', 0, readSync(fd, bytes));
    try {
      const stream = {
        isTTY: true,
        fd,
        write: () => assert.fail('waits'),
      } as unknown as NodeJS.WriteStream & { fd: number };
      neverWait(stream);
      const line = `${'x'.repeat(99)}\n`;
      // Linux gives a pipe 64 KB.
      const written = 700;
      for (let i = 0; i < written; i += 1) stream.write(line);
      stream.write('a bar, which is drawn anew');
      let text = '';
      for (let i = 0; i < 500; i += 1) text += take();
      stream.write('the next line\n');
      while (!text.endsWith('the next line\n')) text += take();
      const lost = Number(
        /^update: the terminal's output was stopped, and (\d+) lines are lost; .*\nthe next line\n$/m.exec(
          text,
        )?.[1],
      );
      assert.ok(lost > 0);
      assert.equal(text.split('\n').filter((each) => each.startsWith('x')).length, written - lost);
    } finally {
      closeSync(fd);
      rmSync(directory, { recursive: true });
    }
  });

  it('is none where there is no terminal: what is written goes the usual way', () => {
    const lines: unknown[] = [];
    const stream = {
      isTTY: false,
      fd: 1,
      write: (line: unknown) => lines.push(line),
    } as unknown as NodeJS.WriteStream & { fd: number };
    neverWait(stream);
    stream.write('a line\n');
    assert.deepEqual(lines, ['a line\n']);
  });
});
