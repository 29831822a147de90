/**
 * The real program follows each source: an update with a canary for a token, a download that is cut,
 * attacks by the names of files, and SIGKILL at sampled steps. One row for each source is in
 * test/support/sources/rows.ts. SOURCES_SEED=<seed> takes the same sample again.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { filesOf, processesOf } from '../support/canary.ts';
import { randomFrom } from '../support/chaos/cases.ts';
import { answers, holds, MORTAL } from '../support/kill-cases.ts';
import { Product } from '../support/product.ts';
import { CANARY, SERVERS, SOURCES } from '../support/sources/rows.ts';
import {
  type SourceHarness,
  type SourceUnderTest,
  withSums,
} from '../support/sources/source-under-test.ts';

const NAME = 'app_linux_amd64.tar.gz';
const PADDING_BYTES = 400_000;
const seed = process.env['SOURCES_SEED'] ?? String(Date.now() % 1_000_000);

/** The product beside a source; the image's 0.0.1 has not run yet. */
class Following {
  readonly product: Product;
  readonly harness: SourceHarness;

  private constructor(product: Product, harness: SourceHarness) {
    this.product = product;
    this.harness = harness;
  }

  static async create({ start }: SourceUnderTest, env: Record<string, string> = {}) {
    const common = { UPDATE_PROBATION: '0', UPDATE_STRATEGY: 'download-then-kill', SLEEP: '3600' };
    const product = await Product.create({
      entry: MORTAL,
      env: { ...common, UPDATE_ASSET: '*.tar.gz', ...env },
    });
    const harness = await start();
    Object.assign(product.env, harness.env);
    return new Following(product, harness);
  }

  async publish(version: string, padBytes = 0): Promise<void> {
    const archive = await appArchive({ version, port: this.product.port, padBytes });
    await this.harness.publish(`v${version}`, withSums({ [NAME]: archive }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.product[Symbol.asyncDispose]();
    await this.harness[Symbol.asyncDispose]();
    assert.deepEqual(this.product.github.requests, [], 'nobody else was asked');
  }
}

describe(`each source, seed ${seed}`, { concurrency: 2 }, () => {
  for (const source of SOURCES) {
    it(`${source.name}: an update, the token nowhere, and the same killed`, async (t) => {
      const steps = await isUpdated(source);
      const random = randomFrom(seed, source.name);
      const at = 1 + Math.floor(random() * steps.length);
      const moment = random() < 0.5 ? 'before' : 'after';
      await t.test(`converges when killed ${moment} step ${at}, ${steps[at - 1]}`, () =>
        isUpdatedAfterKill(source, at, moment),
      );
    });

    it(`${source.name}: no file is written by the name that an asset has`, async () => {
      await using following = await Following.create(source, { UPDATE_ASSET: '' });
      const { product, harness } = following;
      await harness.publish('v0.0.2', withSums({ stranger: Buffer.from('bytes') }));
      // From the directory of a tree to that of the test.
      harness.disguise('stranger', '../../../escaped.jar');
      const { stderr } = await product.command(['update']);
      assert.match(stderr, /0\.0\.1 is started/, 'nothing else is');
      const files = [...filesOf(product.root)].map(({ file }) => path.basename(file));
      assert.ok(files.length > 0 && !files.includes('escaped.jar'), files.join());
    });
  }

  for (const source of SERVERS)
    it(`${source.name}: a download that was cut resumes, and ends in the same tree`, async () => {
      await using following = await Following.create(source);
      const { product, harness } = following;
      const { proxy } = harness;
      assert.ok(proxy !== null);
      await following.publish('0.0.2', PADDING_BYTES);
      proxy.misbehave = { file: { cutAfterBytes: PADDING_BYTES / 2 } };
      const { stderr } = await product.command(['update']);
      assert.match(stderr, /\[DOWNLOAD_CUT\]/);
      proxy.misbehave = {};
      proxy.requests.length = 0;
      const again = await product.command(['update']);
      assert.equal(again.exitCode, 0, again.stderr);
      const ranges = proxy.requests.flatMap(({ headers }) => headers.range ?? []);
      assert.ok(ranges.some((range) => /^bytes=[1-9]\d{4,}-$/.test(range)));
      const verified = await product.command(['verify', 'v0.0.2']);
      assert.equal(verified.exitCode, 0, verified.stdout);
    });
});

/** Updates with a canary for a token, which is nowhere. Returns the durable steps, by name. */
async function isUpdated(source: SourceUnderTest): Promise<string[]> {
  await using following = await Following.create(source, { VERBOSE: '1', MORTAL_STEPS: 'disk' });
  const { product, harness } = following;
  const secret = path.join(product.root, 'token.secret');
  writeFileSync(secret, `${product.env['UPDATE_GH_TOKEN']}\n`, { mode: 0o600 });
  delete product.env['UPDATE_GH_TOKEN'];
  const file = path.join(product.root, 'steps');
  Object.assign(product.env, { UPDATE_GH_TOKEN_FILE: secret, MORTAL_COUNT: file });
  const seen: string[] = [];
  const run = async (...args: string[]) => {
    const { stdout, stderr } = await product.command(args);
    seen.push(stdout, stderr);
  };
  const look = () => seen.push(...processesOf(product.root).map(({ text }) => text));
  // While the program is at work.
  harness.proxy?.events.once('request', look);
  await following.publish('0.0.2');
  await run('update');
  const steps = readFileSync(file, 'utf8').trim().split('\n');
  delete product.env['MORTAL_COUNT'];
  if (harness.proxy !== null)
    harness.proxy.misbehave = { metadata: { status: 500, body: `{"message":"${CANARY}"}` } };
  await run('update');
  await run('status', '--json');
  assert.match(seen.at(-2) ?? '', /"version": ?"0\.0\.2"/, seen.join('\n'));
  await run('events', '--json');
  look();
  assert.ok(seen.length >= 9, 'commands and processes were looked at');
  for (const text of seen) assert.ok(!text.includes(CANARY), text);
  for (const { file, content } of filesOf(product.root))
    if (file !== secret) assert.ok(!content.includes(CANARY), file);
  for (const { host, headers } of harness.proxy?.requests ?? [])
    if (host !== new URL(harness.proxy?.url ?? '').host)
      assert.ok(!JSON.stringify(headers).includes(CANARY), host);
  return steps;
}

/** Killed there, started again, and asked again: one complete 0.0.2 runs. */
async function isUpdatedAfterKill(
  source: SourceUnderTest,
  at: number,
  moment: 'before' | 'after',
): Promise<void> {
  await using following = await Following.create(source, { MORTAL_STEPS: 'disk' });
  const { product } = following;
  await following.publish('0.0.2');
  const { exitCode } = await product.command(['update'], { MORTAL_AT: `${at}:${moment}` });
  assert.equal(exitCode, undefined, 'it was not killed');
  for (const again of [['run', '--once'], ['update']]) {
    const recovery = await product.command(again);
    assert.equal(recovery.exitCode, 0, recovery.stderr);
  }
  assert.equal((await holds(product)).version, '0.0.2');
  await answers(product, '0.0.2');
}
