/**
 * A real Chromium (Debian's), driven by Playwright: what a person at a desk or with a phone sees.
 */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { OPERATOR_TOKEN } from './http.ts';

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser'];
const EXECUTABLE =
  process.env['CHROMIUM'] ?? CANDIDATES.find((file) => existsSync(file)) ?? 'chromium';

export const DEVICES = {
  desktop: { viewport: { width: 1360, height: 900 }, isMobile: false, deviceScaleFactor: 1 },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, deviceScaleFactor: 2 },
} as const;
export type Device = keyof typeof DEVICES;
export type Scheme = 'light' | 'dark';

export async function launch(): Promise<Browser> {
  // As root, in containers: what is visited is ours.
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
}

/** A page that remembers what went wrong in it, and whom it asked. */
export type Visit = { page: Page; context: BrowserContext; errors: string[]; elsewhere: string[] };

export async function visit(
  browser: Browser,
  url: string,
  {
    device = 'desktop',
    scheme = 'light',
    token = OPERATOR_TOKEN,
  }: { device?: Device; scheme?: Scheme; token?: string | null } = {},
): Promise<Visit> {
  const context = await browser.newContext({
    ...DEVICES[device],
    colorScheme: scheme,
    locale: 'en-GB',
    timezoneId: 'UTC',
  });
  // As somebody who has given it in this tab before.
  if (token !== null)
    await context.addInitScript(
      (given) =>
        sessionStorage.getItem('self-update-token') ??
        sessionStorage.setItem('self-update-token', given),
      token,
    );
  const page = await context.newPage();
  const errors: string[] = [];
  const elsewhere: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => {
    const address = new URL(request.url());
    if (address.protocol !== 'data:' && address.origin !== new URL(url).origin)
      elsewhere.push(request.url());
  });
  await page.goto(url);
  return { page, context, errors, elsewhere };
}
