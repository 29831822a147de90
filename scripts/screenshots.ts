/**
 * Pictures of the dashboard for the documentation, of a real updater with real updates, in a real
 * Chromium: docs/dashboard/.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { appArchive, archive } from '../test/support/app.ts';
import { type Device, launch, type Scheme, visit } from '../test/support/browser.ts';
import { freePort, Product } from '../test/support/product.ts';

const OUT = path.join(import.meta.dirname, '..', 'docs', 'dashboard');
const ASSET = (version: string) => `app_${version}_linux_amd64.tar.gz`;
/** Slow enough to be seen. */
const BYTES_A_SECOND = 1_500_000;

const httpPort = await freePort();
await using product = await Product.create({
  baked: '1.0.0',
  stopMs: 120,
  env: {
    UPDATE_HTTP_ADDR: `127.0.0.1:${httpPort}`,
    UPDATE_HTTP_TOKEN: 'a-long-random-string',
    UPDATE_STRATEGY: 'download-then-kill',
    UPDATE_ASSET: 'app_*.tar.gz',
    SLEEP: '300',
  },
});
const { github, port } = product;
const publish = async (version: string, padBytes = 0) =>
  github.publish(`v${version}`, {
    [ASSET(version)]: await appArchive({ version, port, padBytes, stopMs: 120 }),
  });

await publish('1.0.0');
const updater = product.start();
await product.fact('versionBecameHealthy');
for (const version of ['1.0.1', '1.1.0', '1.2.0']) {
  await publish(version, 200_000);
  updater.kill('SIGHUP');
  await product.fact('versionBecameHealthy', (fact) => fact.version === version);
}
github.publish('v1.3.0', {
  [ASSET('1.3.0')]: await archive({ app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } }),
});
updater.kill('SIGHUP');
const failed = await product.fact('probationFailed');
await product.fact('appStarted', ({ seq }) => seq > failed.seq);
await publish('1.4.0', 30_000_000);
github.misbehave = { throttle: BYTES_A_SECOND };
updater.kill('SIGHUP');

mkdirSync(OUT, { recursive: true });
const browser = await launch();
const url = `http://127.0.0.1:${httpPort}/`;
const take = async (
  name: string,
  device: Device,
  scheme: Scheme,
  at: number | null,
): Promise<void> => {
  const { page, context } = await visit(browser, url, { device, scheme });
  if (at === null) await page.locator('progress').waitFor();
  else {
    await page.getByRole('button', { name: new RegExp(`^${at} `) }).click();
    await page.getByTestId('then').waitFor();
  }
  await page.screenshot({ path: path.join(OUT, `${name}.png`), fullPage: true });
  await context.close();
};
await take('desktop-light', 'desktop', 'light', null);
await take('phone-dark', 'phone', 'dark', null);
await product.fact('versionBecameHealthy', (fact) => fact.version === '1.4.0');
await take('desktop-dark', 'desktop', 'dark', failed.seq);
await take('phone-light', 'phone', 'light', failed.seq);
await browser.close();
