/** Token theft: in which forms a secret is recognised, and what stays as it is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redact, redactJson, withoutSecrets } from '../../src/support/redact.ts';

const SECRET = 'p@ss/w"örd&1?é';

describe('a secret is blacked out', () => {
  const forms: [string, string][] = [
    ['as it is', SECRET],
    ['in an address', encodeURIComponent(SECRET)],
    ['in an address, in small letters', encodeURIComponent(SECRET).toLowerCase()],
    ['in a form', new URLSearchParams({ a: SECRET }).toString().slice(2)],
    ['in JSON', JSON.stringify(SECRET)],
    ['in JSON within JSON', JSON.stringify({ a: SECRET })],
    ['in JSON of ASCII', '"p@ss/w\\"\\u00f6rd&1?\\u00e9"'],
    ['in JSON with escaped slashes', '"p@ss\\/w\\"örd&1?é"'],
    ['in HTML', 'p@ss/w&quot;örd&amp;1?é'],
    ['in hexadecimal', Buffer.from(SECRET).toString('hex')],
    ['in base64', Buffer.from(SECRET).toString('base64')],
    ['in base64url', Buffer.from(SECRET).toString('base64url')],
    ...['u', 'us', 'use', 'user'].map((user): [string, string] => [
      `in Basic auth of ${user}`,
      Buffer.from(`${user}:${SECRET}`).toString('base64'),
    ]),
    ...['x', 'xy', 'xyz'].map((more): [string, string] => [
      `in base64 before ${more}`,
      Buffer.from(`${SECRET}${more}`).toString('base64'),
    ]),
  ];
  for (const [title, text] of forms)
    it(title, () => {
      const result = redact(`said: ${text}.`, [SECRET]);
      assert.match(result, /\[secret\]/, result);
      assert.ok(
        !result.includes(SECRET.slice(0, 6)) &&
          !result.includes(text.replaceAll('"', '').slice(4, -4)),
        result,
      );
    });

  it('where it is short, as a word of its own', () => {
    assert.equal(
      redact('pin 4711: 47110 and a4711b; 4711', ['4711']),
      'pin [secret]: 47110 and a4711b; [secret]',
    );
    assert.equal(redact('a cat', ['a']), 'a cat', 'what no text could be told from');
  });

  it('as user and password of any address, also of one that nobody configured', () => {
    assert.equal(
      redact('see https://x:y@evil.example/a@b and ssh://git@h', []),
      'see https://[secret]@evil.example/a@b and ssh://[secret]@h',
    );
    assert.equal(
      redact('https://github.com/acme/app/.github/workflows/r.yml@refs/tags/v1', []),
      'https://github.com/acme/app/.github/workflows/r.yml@refs/tags/v1',
    );
  });

  it('in a value that the machine goes by only where it is no word: a token, but not a password', () => {
    const token = 'ghp_0123456789abcdef';
    const said = {
      tag: `v1-${token}-stable`,
      message: `stable ${token}`,
      path: '/data/stable',
      release: { name: `${token}.tar.gz`, version: '1.0.0-stable' },
    };
    assert.deepEqual(redactJson(said, [token, 'stable']), {
      tag: 'v1-[secret]-stable',
      message: '[secret] [secret]',
      path: '/data/stable',
      release: { name: '[secret].tar.gz', version: '1.0.0-stable' },
    });
  });

  it('a password of eight characters and more in a tag, too, where it is no plain word or number', () => {
    for (const password of [
      'hunter2xyz',
      'hunter2x',
      'Pa55word',
      'correct-horse',
      'p@ssword',
      'pässWort',
    ])
      assert.deepEqual(
        redactJson(
          {
            tag: `v2.0.0-${password}`,
            asset: { name: `app-${password}.tar.gz`, url: `https://h/${password}` },
          },
          [password],
        ),
        {
          tag: 'v2.0.0-[secret]',
          asset: { name: 'app-[secret].tar.gz', url: 'https://h/[secret]' },
        },
        password,
      );
    for (const word of ['download', 'releases', 'aarch64', '20240105', 'hunter2'])
      assert.deepEqual(
        redactJson({ tag: `v1-${word}`, message: `${word}!` }, [word]),
        { tag: `v1-${word}`, message: '[secret]!' },
        word,
      );
  });

  it('in a name that does not grow: a tag of the longest kind stays one', () => {
    for (const password of ['hunter2x', 'correct-horse', 'ghp_0123456789abcdef'])
      for (const form of [
        password,
        Buffer.from(password).toString('base64').slice(0, 10),
        Buffer.from(password).toString('hex'),
      ]) {
        const tag = form.repeat(300).slice(0, 255);
        assert.ok(redactJson({ tag }, [password]).tag.length <= 255, form);
      }
  });

  it('once, however often the text goes through here, also where it is part of the mask', () => {
    const once = redact('secret, and [secret] the secret', ['secret', '[secret', 'secret]']);
    assert.equal(once, '[secret], and [secret] the [secret]');
    assert.equal(redact(once, ['secret', '[secret', 'secret]']), once);
  });

  it('at once in a megabyte', () => {
    const text = 'https://'.repeat(60_000) + 'a:'.repeat(250_000);
    assert.equal(withoutSecrets(redact(text, [SECRET]), [SECRET]), redact(text, [SECRET]));
  });
});
