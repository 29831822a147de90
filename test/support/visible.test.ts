import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { visible, visibleJson, visibleOutput } from '../../src/support/visible.ts';

describe('text from outside', () => {
  it('is shown as one line, and what a terminal or a page would obey as its code', () => {
    assert.equal(visible('a\u001b]0;owned\u0007b'), 'a\\u001b]0;owned\\u0007b');
    assert.equal(visible('\u009b31m \u007f \u0000'), '\\u009b31m \\u007f \\u0000');
    assert.equal(
      visible('gpj.\u202eexe \u2066x\u2069 \u200e\u200f'),
      'gpj.\\u202eexe \\u2066x\\u2069 \\u200e\\u200f',
    );
    assert.equal(
      visible('half \ud800 of a pair, and a whole one 🙂'),
      'half \\ud800 of a pair, and a whole one 🙂',
    );
    assert.equal(visible('two\r\nlines\u2028and\u0085more\t.'), 'two lines and more .');
    assert.equal(
      visible('Grüße, 日本語, ‘quotes’ – — … עברית'),
      'Grüße, 日本語, ‘quotes’ – — … עברית',
    );
  });

  it("commands no runner of GitHub's, which obeys within a line as well", () => {
    const text = 'app ##[set-output name=x]y ###[stop-commands]z';
    const shown = 'app #\\u0023[set-output name=x]y ##\\u0023[stop-commands]z';
    assert.equal(visible(text), shown);
    assert.equal(visibleOutput(text), shown);
    assert.deepEqual(JSON.parse(visibleOutput(JSON.stringify({ text }))), { text });
    assert.equal(visible('C# and #[derive]'), 'C# and #[derive]');
  });

  it('is made so in every text of a value', () => {
    assert.deepEqual(visibleJson({ a: ['\u001b', 1, null, true], '\u009b': { b: 'c' } }), {
      a: ['\\u001b', 1, null, true],
      '\\u009b': { b: 'c' },
    });
  });
});

describe('output', () => {
  it('keeps our own line breaks, colours and redraws, and nothing else', () => {
    const ours = '\u001b[32mgreen\u001b[39m\n\r\u001b[K50 %\u001b[3A\u001b[J';
    assert.equal(visibleOutput(ours), ours);
    assert.equal(
      visibleOutput('\u001b]0;x\u0007\u001bc\r\u001b[2J'),
      '\\u001b]0;x\\u0007\\u001bc\\u000d\\u001b[2J',
    );
  });

  it('stays the same JSON', () => {
    const value = { text: '\u009b31m \u007f \u202e \u2028 \ud800 \u001b \n' };
    const shown = visibleOutput(JSON.stringify(value, null, 2));
    assert.deepEqual(JSON.parse(shown), value);
    assert.doesNotMatch(shown, /[\u007f-\u009f\u2028\u202e]/);
  });
});
