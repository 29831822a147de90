/**
 * The stories beside this file, played against the machine. `UPDATE_STORIES=1 node --test
 * test/machines/stories.test.ts` writes them anew: read the difference.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { tell } from '../support/stories.ts';

const STORIES = path.join(import.meta.dirname, 'stories');
const isUpdate = process.env['UPDATE_STORIES'] === '1' && process.env['CI'] === undefined;

describe('the story', () => {
  const names = readdirSync(STORIES).filter((name) => name.endsWith('.txt'));
  for (const name of names) {
    it(`of ${name.replace(/\.txt$/, '').replaceAll('-', ' ')} is what the machine does`, () => {
      const file = path.join(STORIES, name);
      const written = readFileSync(file, 'utf8');
      const told = tell(written);
      if (isUpdate) writeFileSync(file, told);
      else assert.equal(told, written);
    });
  }

  it('is there, ten times at least, and each has a line of the machine', () => {
    assert.ok(names.length >= 10, names.join());
    for (const name of names)
      assert.match(
        readFileSync(path.join(STORIES, name), 'utf8'),
        /^# .+\n(?:.*\n)*> .+\n< /,
        name,
      );
  });
});

describe('a story', () => {
  it('is not the same when the machine does something else than is written', () => {
    const name = readdirSync(STORIES)[0] ?? '';
    const wrong = readFileSync(path.join(STORIES, name), 'utf8').replace(/^< .*$/m, '< sleeping');
    assert.notEqual(tell(wrong), wrong);
  });

  it('with a line that means nothing is refused', () => {
    assert.throws(
      () => tell('image 1.0.0\n\n> the moon rises\n'),
      /nobody knows what this means: the moon rises/,
    );
    assert.throws(() => tell('colour blue\n\n> the container starts\n'), /colour blue/);
  });
});
