/**
 * Ten real updaters share one quota, and what is left of it is spread. With a token, since without
 * one nobody may ask every five seconds. How that goes on for hours is tested on a clock of its
 * own: test/effects/quota.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import type { Status } from '../../src/report/status.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { Product, TOKEN } from '../support/product.ts';

const CONTAINERS = 10;
const LIMIT = 40;
const WINDOW_MS = 3_600_000;
/**
 * Half of the limit is asked for as if nobody else were there. Then each of the rest may have its
 * turn, one after another.
 */
const MIN_TURN_MS = WINDOW_MS / (LIMIT / 2 + 1);
const PATIENCE_MS = 100_000;

describe('ten updaters that share a quota', () => {
  let github: FakeGitHub;
  const products: Product[] = [];
  let plans: Status[];
  let resetAt: number;

  before(async () => {
    github = await new FakeGitHub({ token: TOKEN }).listen();
    resetAt = Date.now() + WINDOW_MS;
    github.rateLimit = { limit: LIMIT, remaining: LIMIT, resetAt, windowMs: WINDOW_MS };
    github.publish('v0.0.1', { 'app.tar.gz': Buffer.from('bytes') });
    for (let index = 0; index < CONTAINERS; index++)
      products.push(
        await Product.create({
          env: { UPDATE_GH_API_URL: github.url, SLEEP: '5', UPDATE_PROBATION: '0' },
        }),
      );
    for (const product of products) product.start();
    // The one that spends the first half, and after it each until it plans to wait for the others.
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (github.requests.length < LIMIT / 2) await once(github.events, 'request', { signal });
    plans = await Promise.all(products.map((product) => planOf(product, signal)));
  });
  after(async () => {
    for (const product of products) await product[Symbol.asyncDispose]();
    await github.close();
  });

  const pauseMs = ({ nextCheck, lastCheck }: Status) =>
    Date.parse(nextCheck ?? '') - Date.parse(lastCheck ?? '');

  async function planOf(product: Product, signal: AbortSignal): Promise<Status> {
    for (;;) {
      const status = await product.status();
      if (pauseMs(status) > 60_000) return status;
      signal.throwIfAborted();
    }
  }

  it('each wait for the turns of the others once half of it is spent, and some is left', () => {
    for (const plan of plans)
      assert.ok(pauseMs(plan) >= MIN_TURN_MS * 0.9, `${plan.lastCheck}, then ${plan.nextCheck}`);
    const asked = github.requests.length;
    assert.ok(asked < LIMIT, `${asked} requests`);
    for (const { log } of products) assert.doesNotMatch(log.join('\n'), /RATE_LIMITED/);
  });

  it('do not all wait for the reset', () => {
    assert.ok(plans.some(({ nextCheck }) => Date.parse(nextCheck ?? '') < resetAt));
  });

  it('are refused once a window at most, each', async () => {
    const asked = github.requests.length;
    github.rateLimit = { limit: LIMIT, remaining: 0, resetAt, windowMs: WINDOW_MS };
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(products.map((product) => product.command(['update'])));
      for (const { stdout, stderr } of answers) assert.match(stdout + stderr, /limit/);
      assert.equal(github.requests.length - asked, CONTAINERS, `round ${round}`);
    }
  });
});
