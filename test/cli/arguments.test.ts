import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseArguments, UsageError, usageText } from '../../src/cli/arguments.ts';
import { createLog } from '../../src/cli/log.ts';
import { formatBytes, formatDuration, formatTime } from '../../src/report/words.ts';
import { redact } from '../../src/support/redact.ts';

describe('the command line', () => {
  it('runs when nothing is said, and passes on what follows --', () => {
    const invocation = parseArguments(['run', '--once', '--', '--port', '80']);
    assert.ok(invocation.kind === 'run');
    assert.deepEqual(
      [invocation.args.command, invocation.args.once, invocation.args.appArgs],
      ['run', true, ['--port', '80']],
    );
    assert.equal(parseArguments([]).kind, 'run');
  });

  for (const args of [
    ['x'],
    ['deny'],
    ['status', '--once'],
    ['run', '--follow'],
    ['status', '--at', '1'],
    ['replay', '--at', '-1'],
    ['install', 'a', 'b'],
    ['fleet'],
    ['fleet', 'status'],
  ]) {
    it(`refuses ${args.join(' ')}`, () => assert.throws(() => parseArguments(args), UsageError));
  }

  it('refuses names that no release has, empty, of 100 kB or with what nobody sees, as over HTTP', () => {
    for (const command of ['deny', 'approve', 'retry', 'install', 'verify'])
      for (const name of [
        '',
        'x'.repeat(256),
        'x'.repeat(100_000),
        '\u001b[31mred',
        'a\nb',
        '\u202eevil',
      ])
        assert.throws(
          () => parseArguments([command, name]),
          /needs a .* of 1 to 255 visible characters/,
          `${command} ${name.slice(0, 20)}`,
        );
    for (const args of [
      ['deny', 'x'.repeat(255)],
      ['install', `./${'directory/'.repeat(30)}app.tar.gz`],
      ['verify', 'v1.0.0+é'],
    ])
      assert.equal(parseArguments(args).kind, 'run');
  });

  it('shows the usage of the command that was mistaken, and of no other, in 80 columns', () => {
    for (const argv of [
      ['lint'],
      ['lint', '--platfrom', 'linux/amd64'],
      ['--bogus', 'lint', '.'],
    ]) {
      const text = usageText('it is wrong', argv, 80);
      const lines = text.split('\n');
      assert.match(text, /^self-update: it is wrong\n\nusage: self-update lint \[--json\]\n/);
      assert.match(text, /^ {4}--sign KEYFILE/m);
      assert.doesNotMatch(text, /--watch/);
      assert.ok(lines.length < 24 && lines.every((line) => line.length <= 80), text);
    }
    assert.equal(
      usageText('unknown command "lnit"', ['lnit']),
      'self-update: unknown command "lnit"\n\nAll commands: self-update --help',
    );
    assert.deepEqual(parseArguments(['lint', '--help']), { kind: 'help', command: 'lint' });
  });
});

describe('the log', () => {
  const lines: string[] = [];
  const log = (format: 'text' | 'json') =>
    createLog({
      format,
      verbose: false,
      now: () => 0,
      secrets: () => ['hunter2'],
      write: (line) => lines.push(line),
    });

  it('blacks out secrets, and lets nobody forge a line', () => {
    log('text').warn('the password is hunter2\nupdate: all is well\u001b[2J');
    assert.equal(
      lines.pop(),
      'update: warning: the password is [secret] update: all is well\\u001b[2J',
    );
    assert.equal(redact('hunter2 hunter2', ['hunter2']), '[secret] [secret]');
  });

  it('is JSON on request, and quiet without VERBOSE', () => {
    log('json').info('hello');
    assert.deepEqual(JSON.parse(lines.pop() ?? ''), {
      at: '1970-01-01T00:00:00.000Z',
      level: 'info',
      source: 'self-update',
      message: 'hello',
    });
    log('text').debug('detail');
    assert.deepEqual(lines, []);
  });

  it('says sizes and times as people do', () => {
    assert.deepEqual([0, 999, 1_940_000, 52_000_000].map(formatBytes), [
      '0 B',
      '999 B',
      '1.94 MB',
      '52.0 MB',
    ]);
    assert.deepEqual([5, 1200, 200_000, 7_500_000, 273_600_000].map(formatDuration), [
      '5 ms',
      '1.2 s',
      '3 min 20 s',
      '2 h 5 min',
      '3 d 4 h',
    ]);
  });

  it('says times as RFC 3339 has them, and none where a server leads beyond its years', () => {
    const last = Date.parse('9999-12-31T23:59:59.999Z');
    assert.deepEqual([last, last + 1, Number.NaN, 1e300, 0, null].map(formatTime), [
      '9999-12-31T23:59:59.999Z',
      null,
      null,
      null,
      null,
      null,
    ]);
  });
});
