/**
 * Ten real updaters share one quota, and what is left of it is spread. With a token, since without one nobody may ask every five seconds;
 * the window is half a minute, where GitHub's is an hour.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { StandIn } from '../support/github/server.ts';
import { Product, TOKEN } from '../support/product.ts';

const CONTAINERS = 10;
const LIMIT = 40;
const WINDOW_MS = 30_000;

describe('ten updaters that share a quota', () => {
  let github: StandIn;
  const products: Product[] = [];
  let beganMs: number;

  before(async () => {
    github = await new StandIn({ token: TOKEN }).listen();
    beganMs = Date.now();
    github.rateLimit = { limit: LIMIT, remaining: LIMIT, resetAt: beganMs + WINDOW_MS, windowMs: WINDOW_MS };
    github.publish('v0.0.1', { 'app.tar.gz': Buffer.from('bytes') });
    for (let index = 0; index < CONTAINERS; index++)
      products.push(await Product.create({ env: { UPDATE_GH_API_URL: github.url, SLEEP: '5', UPDATE_PROBATION: '0' } }));
    for (const product of products) product.start();
    // The first request of the next window.
    const signal = AbortSignal.timeout(2 * WINDOW_MS);
    while (Date.now() < beganMs + WINDOW_MS) await once(github.events, 'request', { signal });
  });
  after(async () => {
    for (const product of products) await product[Symbol.asyncDispose]();
    await github.close();
  });

  it('are refused once a window at most, each', () => {
    for (const { log } of products) {
      const refused = log.filter((line) => line.includes('[RATE_LIMITED]'));
      assert.ok(refused.length <= 1, refused.join('\n'));
    }
  });

  it('have answers left in the last third of it', () => {
    const last = github.requests.filter(({ at }) => at > beganMs + (2 / 3) * WINDOW_MS && at < beganMs + WINDOW_MS);
    assert.ok(last.length > 0 && github.requests.length <= LIMIT + CONTAINERS, `${last.length} of ${github.requests.length}`);
  });
});
