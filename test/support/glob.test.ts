/**
 * Globs of file names: what they match is what Node's own matcher says; how long they take is
 * nobody's but ours to say.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { globMatcher } from '../../src/support/glob.ts';

it('names that a server chose for `*-*-*-*.tar.gz` are told apart in a step for each character', () => {
  const globs = [
    '*-*-*-*.tar.gz',
    'app-*.*.*-linux-x64.tar.gz',
    '*{-,-*-}*{-,-*-}*[-]*.tar.gz',
    '+(-|--|?)*.tar.gz',
    `${'*-'.repeat(100)}.tar.gz`,
    `${'{a,b}'.repeat(51)}`,
  ];
  // By Node's matcher one of them took 131 s.
  for (const glob of globs) {
    const matches = globMatcher(glob);
    for (let number = 0; number < 1000; number++)
      assert.equal(matches(`${'-'.repeat(240)}${number}.tar.g`), false);
  }
  assert.equal(globMatcher('*-*-*-*.tar.gz')(`${'-'.repeat(240)}.tar.gz`), true);
});

it('what is documented matches as before, and so does what a shell has besides', () => {
  const names = [
    'app_1.2.0_linux_amd64.tar.gz',
    'app_linux_arm64.tar.gz',
    'app',
    '.app',
    'app.zip',
    'app-10.zip',
    'app-02.zip',
    'a]b',
    'a[b',
    'a{b',
    'a*b',
    'é',
    'app_musl_x',
    'a(b)',
    '!a',
  ];
  const globs = [
    ...[
      'app_*_linux_amd64.tar.gz',
      '*',
      '?pp',
      '*.{zip,tar.gz}',
      'app-{1..12}.zip',
      'app-{01..12}.zip',
      'app-[0-9]?.zip',
      'app-[!1]*.zip',
      '[^.]*',
      '[[:alpha:]]',
    ],
    ...[
      'a[]]b',
      'a[b',
      'a{b',
      'app_!(*musl*)',
      'app_!(*musl*)_*.tar.gz',
      '@(app|b)?(.zip)',
      '+(a|p)',
      '*(a|p).zip',
      '.*',
      '.a??',
      '**',
      'a(b)',
      '!a',
      '{app}',
      '{app,}',
      '[z-a]',
    ],
    ...['app_{linux_{arm64,x64},darwin}*', 'app_[a-z]*', 'app-{a..c}0.zip', '', 'a[[]b'],
  ];
  for (const glob of globs)
    for (const name of names)
      assert.equal(
        globMatcher(glob)(name),
        path.posix.matchesGlob(name, glob),
        `${name} by ${glob}`,
      );
});

it('any glob matches what Node says it does', () => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '.',
    '-',
    '*',
    '?',
    '[ab]',
    '[!a]',
    '[a-c]',
    '{a,b}',
    '{b,.-}',
    '{a*,b?}',
    '@(a|b)',
    '?(a)',
    '+(a|.)',
    '*',
    '*',
  );
  const glob = fc.array(piece, { minLength: 1, maxLength: 7 }).map((pieces) => pieces.join(''));
  const name = fc.string({
    unit: fc.constantFrom('a', 'b', 'c', '.', '-', '*'),
    minLength: 1,
    maxLength: 8,
  });
  const isName = (text: string) => text !== '.' && text !== '..';
  fc.assert(
    fc.property(glob, name.filter(isName), (pattern, text) => {
      // There Node's lets some begin with a star.
      fc.pre(!(text.startsWith('.') && pattern.includes('(')));
      assert.equal(globMatcher(pattern)(text), path.posix.matchesGlob(text, pattern));
    }),
    { numRuns: 5000, seed: 16 },
  );
});

it('a backslash takes the next character as it is, in brackets too', () => {
  // Node's takes it for Windows's separator, and then matches nothing.
  for (const [glob, name] of [
    ['a\\*b', 'a*b'],
    ['[\\]]', ']'],
    ['{a\\,b,c}', 'a,b'],
  ] as const)
    assert.equal(globMatcher(glob)(name), true, glob);
  assert.equal(globMatcher('a\\*b')('aab'), false);
});

it('a glob that could take long is refused, with what is in it', () => {
  assert.throws(() => globMatcher('+(+(a)b)'), /has a repetition within a repetition/);
  assert.throws(() => globMatcher('{1..999999999}'), /has a range of more than 1000/);
});
