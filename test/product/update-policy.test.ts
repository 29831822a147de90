/**
 * It asks before it interrupts: a resident updater beside a real app, with real hooks, a real lock
 * and the commands of an operator.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { MARKER, markedProcesses } from '../../src/effects/supervisor/process-table.ts';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';
import { closedWindow } from '../support/window.ts';

type Setup = (at: (name: string) => string) => Record<string, string>;

/** v0.0.1 runs and is trusted; v0.0.2 is published. */
async function beside(setup: Setup, options: Parameters<typeof publish>[1] = {}): Promise<Product> {
  const product = await Product.create();
  Object.assign(
    product.env,
    setup((name) => path.join(product.root, name)),
  );
  product.start();
  await product.fact('versionBecameHealthy');
  await publish(product, options);
  product.updaters[0]?.kill('SIGHUP');
  return product;
}

async function publish(
  product: Product,
  {
    version = '0.0.2',
    publishedAt,
    body,
  }: { version?: string; publishedAt?: string; body?: string } = {},
): Promise<void> {
  product.github.publish(
    `v${version}`,
    { 'app.tar.gz': await appArchive({ version, port: product.port }) },
    { ...(publishedAt && { publishedAt }), ...(body && { body }) },
  );
}

const deferred = (product: Product) =>
  product.fact(
    'conditionsObserved',
    ({ busy, window }) => busy !== null || window?.isOpen === false,
  );
/**
 * The release is complete on disk, and waits. It is asked about once before the download, and once
 * more then.
 */
async function waits(product: Product, version: string): Promise<void> {
  const installed = await product.fact('installed', (fact) => fact.version.version === version);
  await product.fact('conditionsObserved', ({ seq }) => seq > installed.seq);
}
const linesOf = (file: string) => readFileSync(file, 'utf8').trim().split('\n');

describe('an update', { concurrency: 2 }, () => {
  it('waits for its window, is downloaded meanwhile, and says so in one line; the operator may force it', async () => {
    await using product = await beside(() => ({ UPDATE_WINDOW: closedWindow(), TZ: 'UTC' }));
    const { exitCode, stdout } = await product.command(['update']);
    assert.equal(exitCode, 0);
    assert.match(stdout, /0\.0\.2 waits for the window .*, which opens at/);
    const { version, waitingFor, target } = await product.status();
    assert.deepEqual([version, target, waitingFor?.reason], ['0.0.1', '0.0.2', 'window']);
    assert.ok(waitingFor?.since && waitingFor.until && Date.parse(waitingFor.until) > Date.now());
    assert.match(
      (await product.command(['status'])).stdout,
      /why not now +0\.0\.2 waits for the window .*; began .* ago; next chance in /,
    );
    assert.equal((await product.command(['check'])).exitCode, 100);
    assert.equal((await product.command(['update', '--force'])).exitCode, 0);
    assert.equal((await product.status()).version, '0.0.2');
    assert.equal(
      product.github.requests.filter(({ path: asked }) => asked.includes('/assets/')).length,
      1,
      'nothing is downloaded twice',
    );
  });

  it('waits for `approve`, across a restart of the updater', async () => {
    await using product = await beside(() => ({ UPDATE_APPROVAL: '1' }));
    await waits(product, '0.0.2');
    await product.killUpdater();
    product.start();
    let status = await product.status();
    while (!status.updaterRunning) status = await product.status();
    const { waitingFor } = status;
    assert.deepEqual([waitingFor?.reason, waitingFor?.until], ['approval', null]);
    assert.match(waitingFor?.message ?? '', /`self-update approve 0\.0\.2`/);
    assert.equal((await product.command(['approve', 'v0.0.2'])).exitCode, 0);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  });

  it('waits while the busy file is there, and goes on within seconds after it is gone', async () => {
    await using product = await beside((at) => {
      writeFileSync(at('busy'), '');
      return { UPDATE_BUSY_FILE: at('busy') };
    });
    await deferred(product);
    assert.equal((await product.status()).waitingFor?.reason, 'busy');
    const asked = (await product.events()).length;
    rmSync(path.join(product.root, 'busy'));
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.ok(asked < 15, 'asking again and again would fill the journal');
  });

  it('passes over a busy file that nobody touched for long, but not while somebody holds a lock on it', async () => {
    await using product = await beside((at) => {
      writeFileSync(at('busy'), '');
      return { UPDATE_BUSY_FILE: at('busy'), UPDATE_BUSY_MAX_AGE: '60' };
    });
    const file = path.join(product.root, 'busy');
    await deferred(product);
    const holder = spawn('flock', [file, 'sh', '-c', 'echo held; read _'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    utimesSync(file, 1, 1);
    assert.match((await product.command(['update'])).stdout, /busy/);
    holder.stdin.end('\n');
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  });

  it('waits until its release is old enough, counted from its publication', async () => {
    const published = new Date(Date.now() - 3600_000).toISOString();
    await using product = await beside(() => ({ UPDATE_MIN_AGE: '2h' }), {
      publishedAt: published,
    });
    await waits(product, '0.0.2');
    const { waitingFor } = await product.status();
    assert.deepEqual(
      [waitingFor?.reason, waitingFor?.until],
      ['minAge', new Date(Date.parse(published) + 7200_000).toISOString()],
    );
  });

  it('takes the newest that is old enough, not the newest', async () => {
    await using product = await Product.create({ env: { UPDATE_MIN_AGE: '1d' } });
    await publish(product, { version: '0.0.2', publishedAt: '2026-01-01T00:00:00Z' });
    await publish(product, { version: '0.0.3', publishedAt: new Date().toISOString() });
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await waits(product, '0.0.3');
    const { version, target, waitingFor } = await product.status();
    assert.deepEqual([version, target, waitingFor?.reason], ['0.0.2', '0.0.3', 'minAge']);
  });

  it('that is urgent goes past window and minimum age, where that is allowed', async () => {
    const env = {
      UPDATE_WINDOW: closedWindow(),
      TZ: 'UTC',
      UPDATE_MIN_AGE: '1d',
      UPDATE_URGENT: '1',
    };
    await using product = await beside(() => env, {
      publishedAt: new Date().toISOString(),
      body: 'Fixes CVE-2026-1.\r\n\r\n**Urgent**\r\n',
    });
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  });

  it('is not made while updates are paused, and is after `resume`', async () => {
    await using product = await Product.create();
    product.start();
    await product.fact('versionBecameHealthy');
    assert.equal((await product.command(['pause'])).exitCode, 0);
    await publish(product);
    assert.match(
      (await product.command(['update'])).stdout,
      /updates are paused until `self-update resume`/,
    );
    assert.equal((await product.status()).waitingFor?.reason, 'paused');
    assert.equal((await product.command(['resume'])).exitCode, 0);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  });

  it('to a version that the environment denies is not made, also with a new journal', async () => {
    await using product = await beside(() => ({ UPDATE_DENY: 'v0.0.2' }));
    assert.match(
      (await product.command(['update'])).stdout,
      /0\.0\.2 is there, and denied until UPDATE_DENY no longer names it/,
    );
    const { version, denied } = await product.status();
    assert.deepEqual(
      [version, denied.map(({ code }) => code)],
      ['0.0.1', ['DENIED_BY_ENVIRONMENT']],
    );
  });

  it('that the operator named waits for a busy app, says "try again", and comes by itself', async () => {
    await using product = await beside((at) => {
      writeFileSync(at('busy'), '');
      return { UPDATE_BUSY_FILE: at('busy') };
    });
    const { exitCode, stdout } = await product.command(['install', 'v0.0.2']);
    assert.deepEqual(
      [exitCode, /not done.*waits for the app, which is busy/.test(stdout)],
      [75, true],
    );
    rmSync(path.join(product.root, 'busy'));
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal((await product.status()).hold?.version, '0.0.2');
  });
});

describe('hooks', { concurrency: 2 }, () => {
  const RECORD = 'echo "$UPDATE_HOOK $UPDATE_FROM $UPDATE_TO $UPDATE_REASON"';

  it('are told what happens, see the tree, inherit nothing of ours, and their output is in the log', async () => {
    await using product = await beside((at) => ({
      UPDATE_PRE_STOP_CMD: `${RECORD} >> ${at('told')}; env > ${at('env')}; echo draining`,
      UPDATE_PRE_START_CMD: `${RECORD} >> ${at('told')}; test -x "$UPDATE_TREE/app"`,
      UPDATE_POST_UPDATE_CMD: `${RECORD} >> ${at('told')}`,
    }));
    await product.fact('hookSucceeded', ({ hook, seq }) => hook === 'postUpdate' && seq > 15);
    assert.deepEqual(linesOf(path.join(product.root, 'told')), [
      'pre-start  0.0.1 boot',
      'post-update  0.0.1 boot',
      'pre-stop 0.0.1 0.0.2 update',
      'pre-start 0.0.1 0.0.2 update',
      'post-update 0.0.1 0.0.2 update',
    ]);
    await product.logged(/pre-stop hook: draining/);
    const names = linesOf(path.join(product.root, 'env')).map((line) => line.split('=')[0] ?? '');
    assert.deepEqual(names.filter((name) => name.startsWith('UPDATE_')).sort(), [
      'UPDATE_FROM',
      'UPDATE_HOOK',
      'UPDATE_REASON',
      'UPDATE_TO',
      'UPDATE_TREE',
    ]);
    assert.ok(!names.includes(MARKER));
  });

  it('before the stop may say "not now" by status 75, and are asked again', async () => {
    await using product = await beside((at) => ({
      UPDATE_PRE_STOP_CMD: `test -e ${at('go')} || exit 75`,
    }));
    await product.fact('interruptionDeferred');
    const { waitingFor, lastError } = await product.status();
    assert.deepEqual(
      [waitingFor?.reason, waitingFor?.until !== null, lastError],
      ['hook', true, null],
    );
    writeFileSync(path.join(product.root, 'go'), '');
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  });

  it('before the stop that fail keep the app running', async () => {
    await using product = await beside(() => ({
      UPDATE_PRE_STOP_CMD: 'echo no proxy >&2; exit 3',
    }));
    const failed = await product.fact('hookFailed');
    assert.match(
      failed.message,
      /pre-stop hook exited with status 3.*the app is not interrupted now/,
    );
    const { version, denied, lastError } = await product.status();
    assert.deepEqual([version, denied, lastError?.code], ['0.0.1', [], 'PRE_STOP_HOOK_FAILED']);
    assert.ok(!(await product.events()).some(({ type }) => type === 'appStopped'));
  });

  it('before the start that fail bring the old version back, after they were told to restore', async () => {
    await using product = await beside((at) => ({
      UPDATE_PRE_START_CMD: `${RECORD} >> ${at('told')}; test "$UPDATE_REASON" != update`,
    }));
    await product.fact('appStarted', ({ version, seq }) => version === '0.0.1' && seq > 10);
    assert.deepEqual(linesOf(path.join(product.root, 'told')).slice(1), [
      'pre-start 0.0.1 0.0.2 update',
      'pre-start 0.0.2 0.0.1 rollback',
    ]);
    const { version, denied } = await product.status();
    assert.deepEqual([version, denied[0]?.code], ['0.0.1', 'PRE_START_HOOK_FAILED']);
    const [update] = JSON.parse((await product.command(['history', '--json'])).stdout).slice(-1);
    assert.deepEqual([update.to, update.outcome], ['0.0.2', 'rolledBack']);
  });

  it('that hang are ended with everything they started', async () => {
    const hook = `test "$UPDATE_REASON" != update || { sleep 1000 & (trap '' TERM; sleep 1001) & wait; }`;
    await using product = await beside(() => ({
      UPDATE_PRE_START_CMD: hook,
      UPDATE_HOOK_TIMEOUT: '1',
    }));
    const failed = await product.fact('hookFailed');
    assert.match(failed.message, /took longer than 1 s/);
    assert.deepEqual(markedProcesses(product.dir, 'SELF_UPDATE_HOOK'), []);
    await product.fact('appStarted', ({ version, seq }) => version === '0.0.1' && seq > 10);
  });

  it('that an updater was killed in are run again, never two at once', async () => {
    await using product = await beside((at) => ({
      UPDATE_PRE_START_CMD: `test "$UPDATE_REASON" = boot && exit; echo begun >> ${at('told')}; test -e ${at('go')} || exec sleep 1000`,
    }));
    const told = path.join(product.root, 'told');
    await product.fact('appStopped');
    while (!existsSync(told)) await product.status();
    await product.killUpdater();
    assert.equal(markedProcesses(product.dir, 'SELF_UPDATE_HOOK').length, 1, 'it lives on');
    writeFileSync(path.join(product.root, 'go'), '');
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.deepEqual(linesOf(told), ['begun', 'begun']);
    assert.deepEqual(markedProcesses(product.dir, 'SELF_UPDATE_HOOK'), []);
  });

  it('that flood neither memory nor the log', async () => {
    await using product = await beside(() => ({
      UPDATE_POST_UPDATE_CMD:
        'test "$UPDATE_REASON" = boot || head -c 300000000 /dev/zero; yes | head -n 5000',
    }));
    await product.fact('hookSucceeded', ({ hook, seq }) => hook === 'postUpdate' && seq > 12);
    assert.ok(product.log.filter((line) => line.includes('hook: ')).length < 2100);
    assert.ok(product.log.every((line) => line.length < 1200));
  });
});

describe('an update policy in the settings', () => {
  for (const [name, value, complaint] of [
    [
      'UPDATE_WINDOW',
      'at night',
      /UPDATE_WINDOW: "at night" has "at", which is neither a day nor a time\. Example: UPDATE_WINDOW=Mon-Fri 02:00-05:00/,
    ],
    ['UPDATE_MIN_AGE', 'old', /UPDATE_MIN_AGE: "old" is not a number of seconds/],
    ['UPDATE_APPROVAL', 'maybe', /UPDATE_APPROVAL: "maybe" is neither on nor off/],
    ['UPDATE_BUSY_FILE', 'busy', /UPDATE_BUSY_FILE: "busy" is not an absolute path/],
  ] as const)
    it(`that is wrong is refused: ${name}=${value}`, async () => {
      await using product = await Product.create({ env: { [name]: value } });
      const { exitCode, stderr } = await product.command(['run', '--once']);
      assert.equal(exitCode, 78);
      assert.match(stderr, complaint);
    });
});
