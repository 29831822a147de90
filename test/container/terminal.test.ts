/**
 * A terminal whose output is stopped, by the app (tcflow) or by a person (Ctrl-S): a write to it
 * waits, and nothing of ours may.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { freePort } from '../support/product.ts';

/** More than SVWAIT, less than a write that waits for ever: with 137 the container was killed. */
const STOP_WITHIN_SECONDS = 20;
/** An app that wrote there would wait itself. */
const QUIET = { UPDATE_APP_COMMAND: './app > /dev/null' };

describe('a terminal whose output is stopped', { concurrency: 2 }, () => {
  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`by the app holds up no update, no start of the app, and no end: ${profile}`, async () => {
      const run = ['--tty', ...PROFILES[profile], ...(profile === 'root' ? [] : HARDENED)];
      await using container = await Container.run({ run, env: { ...QUIET, STOPS_TERMINAL: '1' } });
      await container.answers('0.0.1');
      for (const version of ['0.0.2', '0.0.3']) {
        await container.publish(version);
        await container.signal('HUP');
        await container.answers(version);
        await container.fact('versionBecameHealthy', (fact) => fact.version === version);
      }
      // What it started is the app, so nothing told it from outside: the loop goes on.
      await container.exec(['sh', '-c', 'kill -KILL "$(cat /run/self-update/private/app.group)"']);
      await container.answers('0.0.3');
      assert.equal((await container.stop(STOP_WITHIN_SECONDS)).status, 143);
    });

  it('by a person (Ctrl-S) holds up no update; when it goes on, what was lost is told', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'terminal-'));
    const typescript = path.join(directory, 'typescript');
    const port = await freePort();
    await using container = await Container.prepare({ port });
    // Resident: it is the same updater that writes before and after.
    const run = [
      'docker',
      ...container.runArguments(['--interactive', '--tty'], {
        ...QUIET,
        UPDATE_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      }),
    ];
    const terminal = spawn(
      'script',
      ['-qf', '-c', run.map((word) => `'${word}'`).join(' '), typescript],
      { stdio: ['pipe', 'ignore', 'ignore'] },
    );
    const shown = (): string => (existsSync(typescript) ? readFileSync(typescript, 'utf8') : '');
    try {
      await container.until('the terminal shows that 0.0.1 is well', async () =>
        /version 0\.0\.1 passed probation/.test(shown()),
      );
      terminal.stdin.write('\u0013');
      await container.publish('0.0.2');
      await container.signal('HUP');
      await container.answers('0.0.2');
      await container.fact('versionBecameHealthy', (fact) => fact.version === '0.0.2');
      assert.doesNotMatch(shown(), /version 0\.0\.2 passed probation/);
      terminal.stdin.write('\u0011');
      await container.publish('0.0.3');
      await container.signal('HUP');
      await container.until('the terminal shows what is lost', async () =>
        /[1-9]\d* lines are lost/.test(shown()),
      );
      await container.until('the terminal shows what comes after', async () =>
        /version 0\.0\.3 passed probation/.test(shown()),
      );
      terminal.stdin.write('\u0013');
      assert.equal((await container.stop(STOP_WITHIN_SECONDS)).status, 143);
    } finally {
      terminal.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
