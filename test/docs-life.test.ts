/**
 * docs/life-of-an-update.md names files, functions, states, facts and effects: each has to be
 * there.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { allStates } from '../scripts/chart.ts';

const ROOT = path.join(import.meta.dirname, '..');
const PAGE = readFileSync(path.join(ROOT, 'docs', 'life-of-an-update.md'), 'utf8');
const sourceOf = (file: string) => readFileSync(path.join(ROOT, 'src', file), 'utf8');
/** In their order, so that a function follows the file that it is in. */
const spans = [...PAGE.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);

describe('the life of an update', () => {
  it('names files that exist', () => {
    const files = spans.filter((text) => text.endsWith('.ts'));
    assert.ok(files.length > 30, `${files.length} files`);
    const missing = files.filter(
      (file) => !existsSync(path.join(ROOT, file.startsWith('test/') ? '' : 'src', file)),
    );
    assert.deepEqual(missing, []);
  });

  it('names each function and class beside the file that defines it', () => {
    let file = '';
    const missing: string[] = [];
    let count = 0;
    for (const text of spans) {
      if (text.endsWith('.ts')) file = text;
      const name = /^([a-z]\w+)\(\)$|^([A-Z]\w+Supervisor)$/.exec(text)?.slice(1).find(Boolean);
      if (name === undefined) continue;
      count += 1;
      if (
        !new RegExp(`(?:function|class|async|static|^ {2}) ?${name}\\b`, 'm').test(sourceOf(file))
      )
        missing.push(`${file}: ${name}`);
    }
    assert.ok(count > 25, `${count} functions`);
    assert.deepEqual(missing, []);
  });

  it('names states, facts, effects and guards that the machine has', () => {
    const states = allStates().map(({ key }) => key);
    const machine = ['facts', 'effects', 'vocabulary']
      .map((name) => sourceOf(`machines/${name}.ts`))
      .join('\n');
    const words = spans.filter(
      (text) => /^[a-z]+[A-Za-z]*$/.test(text) && !['current', 'resting'].includes(text),
    );
    assert.ok(words.length > 40, `${words.length} words`);
    const unknown = words.filter(
      (word) => !states.includes(word) && !new RegExp(`^\\s+${word}[:(]`, 'm').test(machine),
    );
    assert.deepEqual(unknown, []);
  });
});
