import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sumsFor, sumsText } from '../../src/trust/sums.ts';

const [SUM, OTHER] = ['a1'.repeat(32), 'b2'.repeat(32)];
const NAME = 'app_1.0.0_linux_amd64.tar.gz';
const SHARED = 'SHA256SUMS';

describe('a line of a file of sums', () => {
  const forms: [string, string][] = [
    ['GNU, text mode', `${SUM}  ${NAME}`],
    ['GNU, binary mode', `${SUM} *${NAME}`],
    ['one space', `${SUM} ${NAME}`],
    ['a tab', `${SUM}\t${NAME}`],
    ['capital letters', `${SUM.toUpperCase()}  ${NAME}`],
    ['BSD', `SHA256 (${NAME}) = ${SUM}`],
    ['OpenSSL 1', `SHA256(${NAME})= ${SUM}`],
    ['OpenSSL 3', `SHA2-256(${NAME})= ${SUM}`],
    ['a path of this folder', `${SUM}  ./${NAME}`],
    ['a path of the build', `${SUM} *./dist/release/${NAME}`],
    ['a path of Windows', `${SUM}  dist\\${NAME}`],
    ['BSD with a path', `SHA256 (dist/${NAME}) = ${SUM}`],
    ['the name of the algorithm before the sum', `sha256:${SUM}  ${NAME}`],
    ['the name first', `${NAME}: ${SUM}`],
    ['the name first, with an equals sign', `${NAME} = ${SUM}`],
    ['a colon behind the sum', `${SUM}: ${NAME}`],
    ['quotation marks', `${SUM}  "${NAME}"`],
    ['the name of the algorithm and a space', `sha256 ${SUM} ${NAME}`],
    ['a size between, as in Debian', `${SUM} 12345 ${NAME}`],
    ['CSV', `${NAME},${SUM}`],
    ['YAML', `${NAME}: "sha256:${SUM}"`],
    ['a row of a table in Markdown', `| \`${NAME}\` | \`${SUM}\` |`],
    [
      "a row of PowerShell's Get-FileHash",
      `SHA256          ${SUM.toUpperCase()}       D:\\a\\dist\\${NAME}`,
    ],
    ['an object of JSON', `{"${NAME}":"${SUM}"}`],
    ['CRLF', `${SUM}  ${NAME}\r`],
    ['spaces behind', `${SUM}  ${NAME}   `],
  ];
  for (const [title, line] of forms)
    it(`is read: ${title}`, () => {
      const text = `# sums of 1.0.0\n${OTHER}  another.zip\n${line}\nSHA256 (third.zip) = ${OTHER}\n`;
      assert.deepEqual(sumsFor(text, NAME, SHARED), [SUM]);
    });

  it('is found behind a byte order mark, in UTF-8 and in UTF-16', () => {
    const text = `${SUM}  ${NAME}\r\n`;
    const utf16 = Buffer.from(`\uFEFF${text}`, 'utf16le');
    for (const bytes of [Buffer.from(`\uFEFF${text}`), utf16, Buffer.from(utf16).swap16()])
      assert.deepEqual(sumsFor(sumsText(bytes), NAME, SHARED), [SUM]);
    assert.deepEqual(
      sumsFor(`\uFEFF${text}`, NAME, SHARED),
      [SUM],
      'where the text was decoded elsewhere',
    );
  });

  it('of another name says nothing about this one, however alike', () => {
    for (const name of [
      `${NAME}.sig`,
      `x${NAME}`,
      NAME.toUpperCase(),
      NAME.replace('amd64', 'arm64'),
    ])
      for (const line of [
        `${SUM}  ${name}`,
        `SHA256 (${name}) = ${SUM}`,
        `${SUM}  dist/${name}`,
        `| ${name} | ${SUM} |`,
        `${name}=${SUM}`,
      ])
        assert.deepEqual(sumsFor(line, NAME, SHARED), [], line);
  });

  it('of another algorithm is no sum', () => {
    const texts = [
      `${'c'.repeat(128)}  ${NAME}`,
      `SHA512 (${NAME}) = ${'c'.repeat(128)}`,
      `MD5 (${NAME}) = ${'c'.repeat(32)}`,
      `SHA512 (${NAME}) = ${SUM}`,
    ];
    for (const algorithm of ['BLAKE2s', 'SHA3-256', 'B3', 'SM3', 'SHA512/256'])
      texts.push(`${algorithm} (${NAME}) = ${SUM}`, `| ${NAME} | ${algorithm} | ${SUM} |`);
    for (const text of texts) assert.deepEqual(sumsFor(text, NAME, SHARED), [], text);
  });

  it('that contradicts another is shown, in whatever form each is', () => {
    for (const line of [
      `${OTHER}  ${NAME}`,
      `SHA256 (${NAME}) = ${OTHER}`,
      `${OTHER} *dist/${NAME}`,
    ])
      assert.deepEqual(sumsFor(`${SUM}  ${NAME}\n${line}\n`, NAME, SHARED), [SUM, OTHER]);
    for (const [title, line] of forms)
      assert.deepEqual(
        sumsFor(`${OTHER}  ${NAME}\n${line}\n`, NAME, SHARED).sort(),
        [SUM, OTHER].sort(),
        `hidden behind GNU's form: ${title}`,
      );
    for (const [title, line] of forms)
      assert.deepEqual(
        sumsFor(`| ${NAME} | ${OTHER} |\n${line}\n`, NAME, SHARED).sort(),
        [SUM, OTHER].sort(),
        `hidden behind a table: ${title}`,
      );
  });

  it('that contradicts another is shown in a line with several sums, in a long line, behind a longer name, and without a name in a file of its own', () => {
    const third = 'c3'.repeat(32);
    const json = (sum: string) => `{"another.zip":"${third}","${NAME}":"${sum}"}`;
    assert.deepEqual(sumsFor(`${SUM}  ${NAME}\n${json(OTHER)}\n`, NAME, SHARED), [
      SUM,
      third,
      OTHER,
    ]);
    assert.deepEqual(
      sumsFor(`${SUM}  ${NAME}\n${json(SUM)}\n`, NAME, SHARED),
      [SUM],
      'among others it agrees',
    );
    assert.deepEqual(sumsFor(json(SUM), NAME, SHARED), [], 'which one is meant is not guessed');
    assert.deepEqual(
      sumsFor(
        `${SUM}  ${NAME}\n${' '.repeat(9)}x${'='.repeat(2000)}${NAME}=${OTHER}\n`,
        NAME,
        SHARED,
      ),
      [SUM, OTHER],
    );
    assert.deepEqual(sumsFor(`${SUM}  ${NAME}\nx${NAME} ${NAME} = ${OTHER}\n`, NAME, SHARED), [
      SUM,
      OTHER,
    ]);
    assert.deepEqual(sumsFor(`${SUM}  ${NAME}\n${OTHER}\n`, NAME, `${NAME}.sha256`), [SUM, OTHER]);
  });

  it('of a name with spaces says nothing about a file that is named like a word of it', () => {
    for (const name of [
      'my app',
      'app 2',
      'app (copy)',
      'the old app',
      './dist/my app',
      'my "app"',
      'app: notes.txt',
    ])
      for (const line of [
        `${OTHER}  ${name}`,
        `${OTHER} *${name}`,
        `SHA256 (${name}) = ${OTHER}`,
        `SHA2-256(${name})= ${OTHER}`,
      ])
        for (const text of [`${SUM}  app\n${line}\n`, `${line}\nSHA256 (app) = ${SUM}\n`])
          assert.deepEqual(sumsFor(text, 'app', SHARED), [SUM], text);
    for (const line of [`${OTHER}  my app`, `SHA256 (app 2) = ${OTHER}`])
      assert.deepEqual(sumsFor(line, 'app', SHARED), [], `it is not listed: ${line}`);
  });

  it('is the file’s where what stands beside its name is no part of a name', () => {
    for (const line of [
      `${OTHER}     1234 app`,
      `${OTHER}  1234 app`,
      `${OTHER}  | app | 12 MB |`,
      `${OTHER}  "app"`,
      `${OTHER}  linux  app`,
    ])
      assert.deepEqual(sumsFor(`${SUM}  app\n${line}\n`, 'app', SHARED), [SUM, OTHER], line);
    assert.deepEqual(
      sumsFor(`${SUM}  app  the server\n`, 'app', SHARED),
      [SUM],
      'a word about it, where no line has its name alone',
    );
  });

  it('that contradicts none is one, however often and in whatever form it stands there', () => {
    assert.deepEqual(sumsFor(forms.map(([, line]) => line).join('\n'), NAME, SHARED), [SUM]);
  });

  it('is found at once in a line of a megabyte', () => {
    assert.deepEqual(
      sumsFor(
        `${SUM}  ${NAME}\n${`${NAME}x `.repeat(30_000)}\n${'a1'.repeat(500_000)}`,
        NAME,
        SHARED,
      ),
      [SUM],
    );
  });
});

describe('a sum without a name', () => {
  it("is the asset's where the file is the asset's own", () => {
    for (const text of [
      SUM,
      `${SUM}\n`,
      `${SUM}  -\n`,
      `SHA2-256= ${SUM}\n`,
      `SHA2-256(stdin)= ${SUM}\n`,
      `# made by CI\n${SUM}\r\n`,
      `MD5= ${'c'.repeat(32)}\nSHA1= ${'c'.repeat(40)}\nSHA2-256= ${SUM}\n`,
    ])
      for (const own of [
        `${NAME}.sha256`,
        'app_1.0.0_linux_amd64.sha256',
        `${NAME}.sha256sum`,
        `${NAME}.dgst`,
      ])
        assert.deepEqual(sumsFor(text, NAME, own), [SUM], text);
  });

  it('is nobody’s in a file for all, or of another asset', () => {
    for (const file of ['checksums.txt', SHARED, 'app_1.0.0_linux_arm64.tar.gz.sha256'])
      assert.deepEqual(sumsFor(`${SUM}\n`, NAME, file), [], file);
  });

  it('beside a named one does not count', () =>
    assert.deepEqual(sumsFor(`${SUM}\n${OTHER}  another.zip\n`, NAME, `${NAME}.sha256`), []));
});
