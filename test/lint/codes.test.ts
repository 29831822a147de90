/**
 * Every code that the source has is known to be about a release or about something else, so that a
 * new refusal of a release without a finding of `lint` fails here.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ADVICE_CODES, OTHER_CODES, RELEASE_CODES } from '../../src/lint/codes.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

/** Words of capitals that are no codes: variables, and Node's own names of errors. */
const NO_CODE =
  /^(?:UPDATE|GH|XDG|LC|NODE|SELF_UPDATE|LISTEN|CLICOLOR|FORCE|NO_COLOR|SSL_CERT|GITHUB|RUNNER|ERR|UNABLE|CERT|DEPTH|GLIBC|SELF_SIGNED|HPE)_|^(?:NO_COLOR|NO_PROXY|(?:ALL|HTTPS?)_PROXY|BUNDLED_VERSION)$/;

/** `new Fault('X'`, `super('X'`, `toFault(error, 'X')`, `code: 'X'`, and any 'WORD_WORD'. */
const PLACES = [
  /(?:Fault|super|refuse\w*|failure\w*)\(\s*'([A-Z][A-Z0-9_]{2,})'/g,
  /toFault\([^()]*,\s*'([A-Z][A-Z0-9_]{2,})'/g,
  /code: '([A-Z][A-Z0-9_]{2,})'/g,
  /'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g,
];

function codesIn(file: string): string[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  return PLACES.flatMap((place) => [...text.matchAll(place)].map(([, code = '']) => code));
}

/** Names of variables and certificates stand there, and no refusal. */
const WITHOUT_CODES = new Set(['src/cli/environment.ts', 'src/lint/codes.ts']);
const files = globSync('src/**/*.ts', { cwd: ROOT }).filter((file) => !WITHOUT_CODES.has(file));
const known = new Set<string>([...RELEASE_CODES, ...OTHER_CODES, ...ADVICE_CODES]);

describe('a code of the source', () => {
  it('is in one of the lists of src/lint/codes.ts', () => {
    const found = new Map(
      files.flatMap((file) => codesIn(file).map((code) => [code, file] as const)),
    );
    assert.ok(found.size > 100, [...found.keys()].join());
    assert.deepEqual(
      [...found].filter(([code]) => !known.has(code) && !NO_CODE.test(code)),
      [],
      'sort these into src/lint/codes.ts; those about a release need a case in test/lint/refusals.test.ts',
    );
  });

  it('is in one list only', () => {
    const all = [...RELEASE_CODES, ...OTHER_CODES, ...ADVICE_CODES];
    assert.deepEqual(
      all.filter((code, at) => all.indexOf(code) !== at),
      [],
    );
  });

  it('that a list has is somewhere in the source, and in the documents', () => {
    const sources = files.map((file) => readFileSync(path.join(ROOT, file), 'utf8')).join('\n');
    const troubleshooting = readFileSync(path.join(ROOT, 'docs', 'troubleshooting.md'), 'utf8');
    const publishing = readFileSync(path.join(ROOT, 'docs', 'publishing.md'), 'utf8');
    assert.deepEqual(
      [...known].filter((code) => !new RegExp(`['\`]${code}['\`]`).test(sources)),
      [],
    );
    for (const code of RELEASE_CODES)
      assert.ok(troubleshooting.includes(`\`${code}\``), `${code} in troubleshooting.md`);
    for (const code of ADVICE_CODES)
      assert.ok(publishing.includes(`\`${code}\``), `${code} in publishing.md`);
  });
});
