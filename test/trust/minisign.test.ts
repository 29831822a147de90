/**
 * Signatures that the real minisign made (scripts/minisign-vectors.sh), and the same ones spoiled
 * in every way.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseMinisignKey } from '../../src/support/minisign-key.ts';
import { assertBound, verifyMinisign } from '../../src/trust/minisign.ts';

const DIRECTORY = path.join(import.meta.dirname, 'minisign');
const NAME = 'app_2.0.0_linux_amd64.tar.gz';
const read = (name: string) => readFileSync(path.join(DIRECTORY, name));
const keyOf = (name: string) => {
  const key = parseMinisignKey(read(`${name}.pub`).toString().split('\n')[1] ?? '');
  assert.ok(key);
  return key;
};
const [ONE, TWO] = [keyOf('one'), keyOf('two')];
const blake2b = (bytes: Buffer) => createHash('blake2b512').update(bytes).digest();
const SIGNED = { name: NAME, blake2b512: blake2b(read(NAME)) };
const GOOD = read('default.minisig').toString();
const bound = { name: NAME, version: '2.0.0', tag: 'v2.0.0' };

/** Verified, and bound to this file and release, as it is done before an update. */
function check(text: string, keys = [ONE], signed = SIGNED): void {
  assertBound(verifyMinisign(text, signed, keys).trustedComment, { ...bound, name: signed.name });
}
const lines = (change: (lines: string[]) => string[]) =>
  `${change(GOOD.trimEnd().split('\n')).join('\n')}\n`;
const line = (at: number, change: (text: string) => string) =>
  lines((all) => all.map((text, i) => (i === at ? change(text) : text)));
const flip = (at: number) => (text: string) => {
  const bytes = Buffer.from(text, 'base64');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes.toString('base64');
};

describe('a minisign signature', () => {
  for (const name of ['default', 'version', 'free'])
    it(`holds as minisign makes it: ${name}.minisig`, () =>
      check(read(`${name}.minisig`).toString()));

  it('holds for whichever of several keys made it: keys rotate', () => {
    check(GOOD, [TWO, ONE]);
    check(read('by-two.minisig').toString(), [ONE, TWO]);
  });

  it('holds over a file of sums', () =>
    check(read('checksums.minisig').toString(), [ONE], {
      name: 'checksums.txt',
      blake2b512: blake2b(read('checksums.txt')),
    }));

  it('with Windows line ends is the same', () => check(GOOD.replaceAll('\n', '\r\n')));
});

describe('a minisign signature is refused', () => {
  const cases: [string, () => void, RegExp][] = [
    [
      'by a key that is not ours',
      () => check(read('by-two.minisig').toString()),
      /not among UPDATE_MINISIGN_KEYS/,
    ],
    ['with no key at all', () => check(GOOD, []), /not among UPDATE_MINISIGN_KEYS/],
    [
      'of the old, not prehashed kind',
      () => check(read('legacy.minisig').toString()),
      /legacy format/,
    ],
    [
      'for other bytes',
      () => check(GOOD, [ONE], { ...SIGNED, blake2b512: blake2b(Buffer.from('other')) }),
      /does not match the file/,
    ],
    [
      'for an older version, named in its trusted comment',
      () => check(read('old-version.minisig').toString()),
      /for version 1\.0\.0/,
    ],
    [
      'for another tag, named in its trusted comment',
      () => check(read('other-tag.minisig').toString()),
      /for version v1\.0\.0/,
    ],
    [
      'for another architecture, named in its trusted comment',
      () => check(read('other-file.minisig').toString()),
      /for app_2\.0\.0_linux_arm64/,
    ],
    [
      'under a new name',
      () => check(GOOD, [ONE], { ...SIGNED, name: 'app_3.0.0_linux_amd64.tar.gz' }),
      /is for app_2\.0\.0/,
    ],
    ['with a changed signature', () => check(line(1, flip(20))), /does not match the file/],
    ['with a changed key id', () => check(line(1, flip(3))), /not among UPDATE_MINISIGN_KEYS/],
    ['with a changed algorithm', () => check(line(1, flip(0))), /unknown algorithm/],
    [
      'with a changed trusted comment',
      () => check(line(2, (text) => text.replace('2.0.0', '2.0.1'))),
      /modified trusted comment/,
    ],
    [
      'with a changed signature of the comment',
      () => check(line(3, flip(5))),
      /modified trusted comment/,
    ],
    [
      "with another signature's comment",
      () =>
        check(
          lines((all) => [
            ...all.slice(0, 2),
            ...read('checksums.minisig').toString().trimEnd().split('\n').slice(2),
          ]),
        ),
      /was changed/,
    ],
    [
      'without a trusted comment',
      () => check(lines((all) => all.slice(0, 2))),
      /not a minisign signature/,
    ],
    [
      'without an untrusted comment',
      () => check(lines((all) => all.slice(1))),
      /not a minisign signature/,
    ],
    ['with a line too many', () => check(`${GOOD}more\n`), /not a minisign signature/],
    ['twice in one file', () => check(GOOD + GOOD), /not a minisign signature/],
    [
      'with blanks in its base64',
      () => check(line(1, (text) => `${text.slice(0, 10)} ${text.slice(10)}`)),
      /not a minisign signature/,
    ],
    [
      'in base64url',
      () =>
        check(
          line(1, (text) => text.replaceAll('+', '-').replaceAll('/', '_').replace(/^RU/, '-U')),
        ),
      /not a minisign signature/,
    ],
    ['cut in half', () => check(GOOD.slice(0, GOOD.length / 2)), /not a minisign signature/],
    ['that is empty', () => check(''), /not a minisign signature/],
    ['that is a megabyte', () => check('a'.repeat(1024 * 1024)), /not a minisign signature/],
    [
      'that is a web page',
      () => check('<!doctype html>\n<html>\n<body>\nlogin'),
      /not a minisign signature/,
    ],
    ['that is the public key', () => check(read('one.pub').toString()), /not a minisign signature/],
  ];
  for (const [title, act, pattern] of cases)
    it(title, () => {
      assert.throws(
        act,
        (error: Error & { code?: string }) =>
          error.code === 'SIGNATURE_INVALID' &&
          pattern.test(error.message) &&
          !error.message.includes('\n'),
      );
    });

  it('at every one of its bytes', () => {
    const bytes = Buffer.from(GOOD);
    const untrusted = GOOD.indexOf('\n');
    for (let at = untrusted + 1; at < bytes.length; at++) {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 2;
      assert.throws(
        () => check(copy.toString('latin1')),
        { code: 'SIGNATURE_INVALID' },
        `byte ${at}`,
      );
    }
  });
});

describe('a minisign key', () => {
  it('is read as minisign prints it, and known by its id', () =>
    assert.match(read('default.minisig').toString(), new RegExp(`untrusted comment|${ONE.id}`)));

  for (const text of [
    '',
    'RW',
    `${'A'.repeat(56)}`,
    `RW${'A'.repeat(53)}`,
    `RW${'A'.repeat(55)}`,
    `RW${'-'.repeat(54)}`,
    'untrusted comment: minisign public key',
  ])
    it(`is not read from ${JSON.stringify(text.slice(0, 20))} (${text.length} characters)`, () =>
      assert.equal(parseMinisignKey(text), null));

  it('comes in files of two lines, none of which is kept secret here', () =>
    assert.deepEqual(
      readdirSync(DIRECTORY).filter((name) => name.endsWith('.key')),
      [],
    ));
});
