/**
 * SIGKILL at chosen steps of an update, then a start: the invariants that have to hold whatever the
 * step was.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Status } from '../../src/report/status.ts';
import { appArchive } from './app.ts';
import { Product } from './product.ts';

export type KillCase = {
  strategy: 'kill-then-download' | 'download-then-kill';
  steps: 'facts' | 'disk';
  hooks: boolean;
  at: number;
  moment: 'before' | 'after';
};
type Kind = Pick<KillCase, 'strategy' | 'steps' | 'hooks'>;

/** At least so many. */
export const FACTS_OF_AN_UPDATE = 10;

const MORTAL = path.join(import.meta.dirname, 'mortal.ts');

/** v0.0.1 runs and is trusted; v0.0.2 is out. */
async function prepared({ strategy, steps, hooks }: Kind): Promise<Product> {
  const env = {
    UPDATE_STRATEGY: strategy,
    UPDATE_PROBATION: '0',
    MORTAL_STEPS: steps,
    UPDATE_ASSET: '*.tar.gz',
  };
  const product = await Product.create({ entry: MORTAL, env });
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
  const { exitCode, stderr } = await product.command(['update'], { MORTAL_COUNT: file });
  assert.equal(exitCode, 0, stderr);
  return readFileSync(file, 'utf8').trim().split('\n');
}

/** Kills at the step, starts again, and checks the invariants. */
export async function killed(kill: KillCase): Promise<void> {
  await using product = await prepared(kill);
  const { exitCode } = await product.command(['update'], {
    MORTAL_AT: `${kill.at}:${kill.moment}`,
  });
  assert.equal(exitCode, undefined, 'it was not killed');
  const recovery = await product.command(['run', '--once']);
  assert.equal(recovery.exitCode, 0, recovery.stderr);
  const { version } = await holds(product);
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
