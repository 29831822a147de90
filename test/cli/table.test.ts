/** What people see in a terminal that is narrower than the text. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { styleText } from 'node:util';
import { folded, table } from '../../src/cli/table.ts';

describe('a long text in a terminal', () => {
  it('is broken between words, and goes on under its own beginning', () => {
    assert.equal(folded('reason       one two three four', 13, 24), `reason       one two\n${' '.repeat(13)}three four`);
  });

  it('stays as it is in a pipe, and where there is hardly any room', () => {
    const text = `reason       ${'word '.repeat(40).trim()}`;
    assert.equal(folded(text, 13, undefined), text);
    assert.equal(folded(text, 13, 20), text);
  });

  it('is measured without its colours, and a word that is too long stays whole', () => {
    const long = 'x'.repeat(40);
    const red = styleText('red', `short ${long} end`, { validateStream: false });
    assert.equal(folded(`reason       ${red}`, 13, 30), `reason       ${red.replace(/ x/, `\n${' '.repeat(13)}x`).replace(/ end/, `\n${' '.repeat(13)}end`)}`);
  });
});

describe('a table', () => {
  it('breaks its last column, and none before it', () => {
    const rows = [['1.0.0', 'it broke off after some bytes of the file']];
    assert.equal(table(['to', 'reason'], rows, 32), `to     reason\n1.0.0  it broke off after some\n       bytes of the file`);
  });
});
