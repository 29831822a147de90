/** What people see in a terminal that is narrower than the text. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { styleText } from 'node:util';
import { folded, table } from '../../src/cli/table.ts';

describe('a long text in a terminal', () => {
  it('is broken between words, and goes on under its own beginning', () => {
    assert.equal(
      folded('reason       one two three four five six seven', 13, 40),
      `reason       one two three four five six\n${' '.repeat(13)}seven`,
    );
  });

  it('stays as it is in a pipe, and where the terminal is tiny', () => {
    const text = `reason       ${'word '.repeat(40).trim()}`;
    assert.equal(folded(text, 13, undefined), text);
    assert.equal(folded(text, 13, 10), text);
  });

  it('is indented less where there is hardly any room for it', () => {
    assert.equal(
      folded('when    to       it broke off after some bytes', 17, 30),
      'when    to       it broke off\n    after some bytes',
    );
  });

  it('is measured without its colours, and a word that is too long stays whole', () => {
    const long = 'x'.repeat(40);
    const red = styleText('red', `short ${long} end`, { validateStream: false });
    assert.equal(
      folded(`reason       ${red}`, 13, 38),
      `reason       ${red.replace(/ x/, `\n${' '.repeat(13)}x`).replace(/ end/, `\n${' '.repeat(13)}end`)}`,
    );
  });
});

describe('a table', () => {
  it('breaks its last column, and none before it', () => {
    const rows = [['1.0.0', 'it broke off after some bytes of the file']];
    assert.equal(
      table(['to', 'reason'], rows, 32),
      `to     reason\n1.0.0  it broke off after some\n       bytes of the file`,
    );
  });
});
