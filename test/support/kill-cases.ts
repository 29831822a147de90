/**
 * SIGKILL at chosen steps of an update, then a start: the invariants that have to hold whatever the
 * step was.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../src/report/status.ts';
import { appArchive } from './app.ts';
import { ask } from './prober.ts';
import { Product } from './product.ts';

export type KillCase = {
  strategy: 'kill-then-download' | 'download-then-kill' | 'hand-over';
  steps: 'facts' | 'disk';
  hooks: boolean;
  at: number;
  moment: 'before' | 'after';
};
type Kind = Pick<KillCase, 'strategy' | 'steps' | 'hooks'>;

const ANSWERS_WITHIN_MS = 30_000;
/** At least so many. */
export const FACTS_OF_AN_UPDATE = 10;

export const MORTAL = path.join(import.meta.dirname, 'mortal.ts');

/** v0.0.1 runs and is trusted; v0.0.2 is out. */
async function prepared({ strategy, steps, hooks }: Kind): Promise<Product> {
  const env = {
    UPDATE_STRATEGY: strategy,
    UPDATE_PROBATION: '0',
    MORTAL_STEPS: steps,
    UPDATE_ASSET: '*.tar.gz',
  };
  const product = await Product.create({ entry: MORTAL, env });
  if (strategy === 'hand-over') return handingOver(product);
  if (hooks) Object.assign(product.env, hooksOf(dataOf(product)));
  product.github.publish('v0.0.1', {
    'app.tar.gz': await appArchive({ version: '0.0.1', port: product.port }),
  });
  const first = await product.command(['run', '--once']);
  assert.equal(first.exitCode, 0, first.stderr);
  product.github.publish('v0.0.2', {
    'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
  });
  return product;
}

/**
 * The image's 0.0.1 is about to run, and 0.0.2 is out: with hand-over the updater that started the
 * app has the sockets.
 */
async function handingOver(product: Product): Promise<Product> {
  product.env['UPDATE_LISTEN'] = `127.0.0.1:${product.port}`;
  product.env['MORTAL_FROM'] = 'versionBecameHealthy';
  return product;
}

/** Runs an updater through the update, until it is done or dies. */
async function update(
  product: Product,
  { strategy }: Kind,
  env: Record<string, string>,
): Promise<{ exitCode: number | undefined; stderr: string }> {
  if (strategy !== 'hand-over') return product.command(['update'], env);
  const updater = product.start([], { extraEnv: env });
  const exited = once(updater.nodeChildProcess, 'exit');
  await product.logged(/0\.0\.1 passed probation/);
  product.github.publish('v0.0.2', {
    'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
  });
  updater.kill('SIGHUP');
  // A resident updater that is asked to end takes the app along.
  void product.logged(/0\.0\.2 passed probation/).then(() => updater.kill('SIGKILL'));
  // The app holds its output open.
  const [code] = await exited;
  return { exitCode: code ?? undefined, stderr: product.log.join('\n') };
}

const dataOf = (product: Product) => path.join(product.root, 'schema');

/** The data is migrated to each version before that starts, and back. */
function hooksOf(data: string): Record<string, string> {
  return {
    UPDATE_PRE_STOP_CMD: 'true',
    UPDATE_PRE_START_CMD: `echo "$UPDATE_TO" > ${data}`,
    UPDATE_POST_UPDATE_CMD: 'true',
  };
}

/** How many steps an update has, by name. */
export async function stepsOf(kind: Kind): Promise<string[]> {
  await using product = await prepared(kind);
  const file = path.join(product.root, 'steps');
  const { exitCode, stderr } = await update(product, kind, { MORTAL_COUNT: file });
  const isKilled = kind.strategy === 'hand-over';
  assert.equal(exitCode, isKilled ? undefined : 0, stderr);
  const steps = readFileSync(file, 'utf8').trim().split('\n');
  // What follows is done by chance.
  return isKilled ? steps.slice(0, steps.indexOf('versionBecameHealthy') + 1) : steps;
}

/** Kills at the step, starts again, and checks the invariants. */
export async function killed(kill: KillCase): Promise<void> {
  await using product = await prepared(kill);
  const { exitCode } = await update(product, kill, { MORTAL_AT: `${kill.at}:${kill.moment}` });
  assert.equal(exitCode, undefined, 'it was not killed');
  const recovery = await product.command(['run', '--once']);
  assert.equal(recovery.exitCode, 0, recovery.stderr);
  const { version } = await holds(product);
  await answers(product, version);
  if (kill.hooks)
    assert.equal(
      readFileSync(dataOf(product), 'utf8').trim(),
      version,
      'the data fits the version that runs',
    );
}

/**
 * One complete version runs, `current` names it, the journal replays, and nothing is left lying
 * about.
 */
export async function holds(product: Product): Promise<Status> {
  const status = await product.status();
  const apps = product.apps();
  assert.equal(apps.length, 1, `${apps.length} copies of the app`);
  assert.ok(status.version === '0.0.1' || status.version === '0.0.2', String(status.version));
  assert.ok(
    apps[0]?.tree.includes(status.version),
    `${apps[0]?.tree} runs, ${status.version} is current`,
  );
  for (const command of [['verify'], ['replay']]) {
    const { exitCode, stdout, stderr } = await product.command(command);
    assert.equal(exitCode, 0, `${command}: ${stdout}${stderr}`);
  }
  return status;
}

/** Taken over a moment ago, it may not listen yet. */
export async function answers(product: Product, version: string | null): Promise<void> {
  const deadline = performance.now() + ANSWERS_WITHIN_MS;
  while ((await ask(product.port)) !== version) {
    assert.ok(performance.now() < deadline, `${version} does not answer`);
    await sleep(20);
  }
}
