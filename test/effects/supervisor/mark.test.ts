/**
 * The mark names a directory: two updaters of one user are neighbours, and neither takes the
 * other's app for its own.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { markOf, readMark } from '../../../src/effects/supervisor/process-table.ts';

const DIRECTORIES = [
  '/x/data',
  '/x/data:two',
  '/x/data:/two',
  '/x/data%3Atwo',
  '/x/data%3A',
  '/x/data:',
  '/x',
  '/x/größe',
  '/x/data%25',
];

describe('the mark of a neighbour', () => {
  for (const directory of DIRECTORIES)
    it(`whose directory is ${directory} is read by nobody else, and names its tree`, () => {
      for (const tree of [`${directory}/releases/1.0.0-abc`, '/opt/app/1.0.0', '/opt/a:b%3A/1']) {
        const mark = markOf(directory, tree);
        for (const other of DIRECTORIES)
          assert.equal(
            readMark(mark, other),
            other === directory ? tree : null,
            `${mark} by ${other}`,
          );
      }
    });
});

describe('the mark that an earlier version of the updater gave', () => {
  for (const directory of DIRECTORIES)
    it(`is known in ${directory}, so that the app is not started twice, and not by a neighbour`, () => {
      for (const tree of [
        `${directory}/releases/1.0.0-abc`,
        ...(directory.includes(':/') ? [] : ['/opt/app/1.0.0']),
      ]) {
        const mark = `${directory}:${tree}`;
        for (const other of DIRECTORIES)
          assert.equal(
            readMark(mark, other),
            other === directory ? tree : null,
            `${mark} by ${other}`,
          );
      }
    });
});
