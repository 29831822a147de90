/** The dashboard in a real Chromium, of a real updater with real updates. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { allStates, toldOf } from '../../scripts/chart.ts';
import { isTransient } from '../../src/machines/shown.ts';
import { archive } from '../support/app.ts';
import { DEVICES, type Device, launch, type Scheme, visit } from '../support/browser.ts';
import { OPERATOR_TOKEN, Served } from '../support/http.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Slow enough that a person sees it. */
const BYTES_A_SECOND = 2_000_000;

/** Serious trouble for those who see, hear or move otherwise. See https://www.deque.com/axe */
async function seriousTrouble(page: Page): Promise<string[]> {
  // Evaluated by the debugger, which the page's policy does not bind.
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate('axe.run()')) as AxeResults;
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

declare global {
  interface Window {
    seen: { lit: string[]; progress: number[]; highlighted: string[] };
    /** What an injected script would set. */
    owned?: number;
  }
}

/** Remembers each state that was lit, and each value that the progress bar had. */
async function record(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen = { lit: [] as string[], progress: [] as number[], highlighted: [] as string[] };
    window.seen = seen;
    const look = () => {
      const lit = document.querySelector('[data-testid=lit]')?.textContent ?? '';
      if (lit !== seen.lit.at(-1)) seen.lit.push(lit);
      const active = document.querySelector('svg .state.active')?.getAttribute('data-state') ?? '';
      if (active !== seen.highlighted.at(-1)) seen.highlighted.push(active);
      const bar = document.querySelector('progress');
      if (bar !== null && bar.value !== seen.progress.at(-1)) seen.progress.push(bar.value);
    };
    new MutationObserver(look).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
    });
    look();
  });
}
const seen = (page: Page) => page.evaluate(() => window.seen);

describe('the dashboard', () => {
  let served: Served;
  let browser: Browser;
  before(async () => {
    served = await Served.create({ baked: '1.0.0' });
    await served.publish('1.0.0');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await served[Symbol.asyncDispose]();
  });
  const check = () => served.act('check');

  it('shows an update as it happens: the statechart moves, the progress moves, the version changes', async () => {
    const { page, context, errors, elsewhere } = await visit(browser, served.url);
    await page.getByTestId('lit').filter({ hasText: 'running.settled' }).waitFor();
    await record(page);
    served.product.github.misbehave = { throttle: BYTES_A_SECOND };
    await served.publish('1.1.0', { padBytes: 4_000_000 });
    await check();
    await page.locator('.value', { hasText: '1.1.0' }).first().waitFor();
    await page.getByRole('cell', { name: '1.0.0 → 1.1.0' }).waitFor();
    await page.getByRole('row', { name: /1\.0\.0 → 1\.1\.0 updated/ }).waitFor();
    const { lit, progress, highlighted } = await seen(page);
    for (const state of ['downloading', 'running.probation', 'running.settled']) {
      assert.ok(lit.includes(state), `${state}: ${lit.join()}`);
      assert.ok(highlighted.includes(state), `${state}: ${highlighted.join()}`);
    }
    assert.ok(progress.length >= 4, `the bar moved: ${progress.join()}`);
    assert.deepEqual(
      progress,
      [...progress].sort((a, b) => a - b),
    );
    const way = await page
      .locator('svg.right .arrow.passed')
      .evaluateAll((arrows) => arrows.map((arrow) => arrow.getAttribute('data-arrow')));
    for (const step of [
      'downloading verifying',
      'verifying extracting',
      'preparing.asking preparing.inspecting',
      'switching starting',
    ])
      assert.ok(way.includes(step), `${step}: ${way.join()}`);
    assert.deepEqual([errors, elsewhere], [[], []]);
    await context.close();
  });

  it('draws the machine itself: every state of it, and nothing else', async () => {
    const { page, context } = await visit(browser, served.url);
    await page.locator('svg.right').waitFor();
    const drawn = await page
      .locator('svg.right [data-state]')
      .evaluateAll((states) => states.map((state) => state.getAttribute('data-state')));
    // What is left at once is never lit: only where it is decided where to rest has a place.
    const wanted = allStates()
      .filter((node) => !isTransient(node) || node.key === 'deciding')
      .map(toldOf);
    assert.deepEqual(drawn.sort(), wanted.sort());
    await context.close();
  });

  it('shows a rollback with its reason', async () => {
    const { page, context, errors } = await visit(browser, served.url);
    served.product.github.misbehave = {};
    served.product.github.publish('v1.2.0', {
      'app_1.2.0.tar.gz': await archive({ app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } }),
    });
    await check();
    await page
      .getByRole('row', { name: /1\.1\.0 → 1\.2\.0 rolled back .*exited during probation/ })
      .waitFor();
    await page.getByText(/Denied:.*1\.2\.0/).waitFor();
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    assert.deepEqual(errors, []);
    await context.close();
  });

  it('travels in time: a fact is chosen, and the state is shown as it was then', async () => {
    const { page, context, errors } = await visit(browser, served.url);
    const failed = await served.product.fact('probationFailed');
    await page.getByRole('button', { name: new RegExp(`^${failed.seq} `) }).click();
    const then = page.getByTestId('then');
    await then.getByText(`After fact ${failed.seq}`).waitFor();
    assert.match(
      (await then.textContent()) ?? '',
      /StaterollingBack.*Running1\.2\.0.*Denied1\.2\.0/,
    );
    assert.equal(await page.getByTestId('lit').textContent(), 'rollingBack');
    assert.equal(
      await page.locator('svg.right .state.active').getAttribute('data-state'),
      'rollingBack',
    );
    await page.getByRole('slider', { name: 'Time travel' }).fill('2');
    await then.getByText('After fact 2', { exact: true }).waitFor();
    assert.equal(await page.getByTestId('lit').textContent(), 'checking');
    await page.getByRole('button', { name: 'Back to now' }).click();
    await page.getByTestId('then').waitFor({ state: 'detached' });
    assert.equal(await page.getByTestId('lit').textContent(), 'running.settled');
    assert.deepEqual(errors, []);
    await context.close();
  });

  it('takes actions with the token, and is refused without', async () => {
    const { page, context } = await visit(browser, served.url, { token: null });
    await page.getByLabel('Token').fill('guessed');
    assert.equal(await page.getByTestId('state').count(), 0, 'nothing is shown yet');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText('token is wrong').waitFor();
    await page.getByLabel('Token').fill(OPERATOR_TOKEN);
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    await page.getByLabel('Token').fill('wrong');
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByTestId('outcome').filter({ hasText: 'token is wrong' }).waitFor();
    assert.equal((await served.product.status()).paused, false);
    await page.getByLabel('Token').fill(OPERATOR_TOKEN);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByTestId('why-not-now').filter({ hasText: 'paused' }).waitFor();
    assert.equal((await served.product.status()).paused, true);
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page
      .getByTestId('why-not-now')
      .filter({ hasText: 'paused' })
      .waitFor({ state: 'detached' });
    page.on('dialog', (dialog) => void dialog.accept());
    await page.getByRole('button', { name: 'Restart the app' }).click();
    await served.product.fact('restartRequested');
    await page.getByRole('button', { name: 'Retry 1.2.0' }).click();
    await page.getByText(/Denied:/).waitFor({ state: 'detached' });
    await page.reload();
    assert.equal(
      await page.getByLabel('Token').inputValue(),
      OPERATOR_TOKEN,
      'this tab remembers it',
    );
    await context.close();
  });

  it('can be used by keyboard alone', async () => {
    const { page, context } = await visit(browser, served.url);
    await page.getByLabel('Token').fill(OPERATOR_TOKEN);
    const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '');
    for (let i = 0; i < 12 && (await focused()) !== 'Pause'; i++) await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Pause');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Resume', exact: true }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await context.close();
  });

  it('stays live through a restart of the updater', async () => {
    const { page, context } = await visit(browser, served.url);
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    await served.product.killUpdater();
    await page.getByTestId('state').filter({ hasText: 'reconnecting' }).waitFor();
    served.product.start();
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    await served.act('deny', { version: '7.7.7' });
    await page.getByText(/Denied:.*7\.7\.7/).waitFor();
    const numbers = await page.locator('.fact .seq').allTextContents();
    assert.deepEqual(
      numbers.map(Number),
      Array.from({ length: numbers.length }, (_, i) => Number(numbers[0]) - i),
      'no fact is missing or told twice',
    );
    await context.close();
  });

  it('waits for an updater that is not there yet', async () => {
    const { page, context } = await visit(browser, served.url);
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    await page.route('**/api/**', (route) =>
      route.fulfill({
        status: 503,
        json: { ok: false, error: { code: 'STARTING', message: 'x' } },
      }),
    );
    await page.reload();
    await page.getByText('does not answer yet').waitFor();
    await page.unroute('**/api/**');
    await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
    await context.close();
  });

  it('names the source that is followed where it is not GitHub', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'releases-'));
    writeFileSync(path.join(directory, 'releases.json'), '{"releases":[]}');
    await using elsewhere = await Served.create({
      baked: '1.0.0',
      env: { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: `file://${directory}` },
    });
    elsewhere.product.start();
    await elsewhere.product.fact('versionBecameHealthy');
    const { page, context } = await visit(browser, elsewhere.url);
    await page.getByText(`kept up to date from ${directory} (directory), download-then`).waitFor();
    await context.close();
    rmSync(directory, { recursive: true });
  });

  for (const device of Object.keys(DEVICES) as Device[]) {
    for (const scheme of ['light', 'dark'] satisfies Scheme[]) {
      it(`fits a ${device} in ${scheme}: nothing sticks out, axe finds nothing serious, no error, no request elsewhere`, async () => {
        const { page, context, errors, elsewhere } = await visit(browser, served.url, {
          device,
          scheme,
        });
        await page.getByTestId('state').filter({ hasText: 'running' }).waitFor();
        await page.locator('.fact').first().click();
        await page.getByTestId('then').waitFor();
        const { scroll, width } = await page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          width: window.innerWidth,
        }));
        assert.ok(scroll <= width, `${scroll} px in ${width}`);
        assert.deepEqual(await seriousTrouble(page), []);
        const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        assert.equal(back, scheme === 'light' ? 'rgb(245, 246, 244)' : 'rgb(18, 21, 19)');
        assert.deepEqual([errors, elsewhere], [[], []]);
        await context.close();
      });
    }
  }

  it('runs no script that was put into a release', async () => {
    const evil = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>';
    served.product.github.publish(
      'v1.3.0',
      {
        'app_1.3.0.tar.gz': await archive({ app: { content: `#!/bin/sh\nexit 3\n`, mode: 0o755 } }),
      },
      { body: evil },
    );
    await served.act('deny', { version: evil });
    const { page, context, errors } = await visit(browser, served.url);
    await page.getByText(/Denied:.*onerror/).waitFor();
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.deepEqual(errors, []);
    await context.close();
  });
});
