/** What a person sees in a terminal, and a program in a pipe. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import type { Status } from '../../src/report/status.ts';
import { appArchive, archive } from '../support/app.ts';
import { Product } from '../support/product.ts';

const BIN = path.join(import.meta.dirname, '..', '..', 'bin', 'self-update.js');
const ESCAPES = '\u001b[';

/** util-linux' way to a terminal; where there is none, what needs one says so and is skipped. */
const NEEDS_TERMINAL = {
  skip:
    spawnSync('script', ['--version']).status === 0
      ? false
      : 'there is no script(1) of util-linux here',
};

describe('the terminal', () => {
  let product: Product;
  before(async () => {
    product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_LOG_FORMAT: 'json' },
    });
    for (const version of ['0.0.2', '0.0.3']) {
      product.github.publish(`v${version}`, {
        'app.tar.gz': await appArchive({ version, port: product.port }),
      });
      await product.command(['run', '--once', '--now']);
    }
    product.github.publish('v0.0.10', {
      'app.tar.gz': await archive({ app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } }),
    });
    await product.command(['run', '--once', '--now']);
  });
  after(() => product.dispose());

  /** A command in a terminal of its own: script(1). */
  const inTerminal = (command: string, env: Record<string, string> = {}) =>
    execa('script', ['-qec', `${process.execPath} ${BIN} ${command}`, '/dev/null'], {
      env: { ...product.env, TERM: 'xterm', ...env },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
    });

  it('has colours, and a pipe has none', NEEDS_TERMINAL, async () => {
    assert.ok((await inTerminal('status')).stdout.includes(ESCAPES));
    for (const command of ['status', 'history'])
      assert.ok(!(await product.command([command])).stdout.includes(ESCAPES), command);
    assert.ok(!(await inTerminal('status', { NO_COLOR: '1' })).stdout.includes(ESCAPES));
  });

  it('shows the history as a table, each column under its head', async () => {
    const [head = '', ...rows] = (await product.command(['history'])).stdout.split('\n');
    assert.deepEqual(head.split(/ {2,}/), [
      'when',
      'from',
      'to',
      'outcome',
      'app down',
      'took',
      'reason',
    ]);
    assert.equal(rows.length, 3);
    for (const row of rows)
      assert.match(row.slice(head.indexOf('outcome')), /^(?:updated|rolledBack) /);
    assert.match(rows.at(-1) ?? '', /0\.0\.3 +0\.0\.10 +rolledBack .*exited during probation/);
  });

  it('is told live by `status --watch` in a pipe: a line of JSON each time something changes, a pause among it', async () => {
    const watcher = execa(process.execPath, [BIN, 'status', '--watch', '--json'], {
      env: product.env,
      extendEnv: false,
      reject: false,
      buffer: false,
      stdin: 'ignore',
    });
    const seen: boolean[] = [];
    for await (const line of watcher.iterable()) {
      const { paused } = JSON.parse(line as string) as Status;
      // Other changes may be told too, each in a line of its own.
      if (paused !== seen.at(-1)) seen.push(paused);
      else continue;
      if (!paused) await product.command(['pause']);
      // The iteration ends with the process.
      else watcher.kill('SIGINT');
    }
    const { exitCode } = await watcher;
    assert.deepEqual([seen, exitCode], [[false, true], 0]);
    await product.command(['resume']);
  });

  it('is redrawn by `status --watch` in place', NEEDS_TERMINAL, async () => {
    const watcher = execa(
      'script',
      ['-qec', `exec ${process.execPath} ${BIN} status --watch`, '/dev/null'],
      {
        env: { ...product.env, TERM: 'xterm' },
        extendEnv: false,
        reject: false,
        buffer: false,
        stdin: 'ignore',
      },
    );
    let stdout = '';
    for await (const chunk of watcher.nodeChildProcess.stdout ?? []) {
      stdout += String(chunk);
      if (/\u001b\[\d+A\u001b\[J/.test(stdout)) watcher.kill('SIGTERM');
    }
    await watcher;
    const lines = stdout.split('\u001b[J')[0]?.split('\n').length ?? 0;
    const up = Number(/\u001b\[(\d+)A\u001b\[J/.exec(stdout)?.[1]);
    assert.ok(up >= 8 && up < lines + 6, `${up} lines up of ${lines}`);
  });

  it('has one JSON object a line in the log, with what a program wants to know of a fact', async () => {
    product.github.publish('v0.0.11', {
      'app.tar.gz': await appArchive({ version: '0.0.11', port: product.port }),
    });
    const { stderr } = await product.command(['run', '--once', '--now']);
    const lines = stderr.split('\n').map(
      (line) =>
        JSON.parse(line) as {
          at: string;
          level: string;
          source: string;
          message: string;
          seq?: number;
          fact?: string;
          state?: string;
        },
    );
    const facts = lines.filter(({ fact }) => fact !== undefined);
    assert.deepEqual(
      facts.find(({ fact }) => fact === 'versionBecameHealthy')?.state,
      'running.settled',
    );
    assert.ok(facts.every(({ seq }, i) => i === 0 || seq === (facts[i - 1]?.seq ?? 0) + 1));
    assert.ok(
      lines.every(
        ({ at, level, source, message }) =>
          at !== '' &&
          source === 'self-update' &&
          message !== '' &&
          /^(?:info|warn|debug)$/.test(level),
      ),
    );
  });
});
