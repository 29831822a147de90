/**
 * Updates cut short after each of their facts: what an updater of some version leaves when it is
 * killed there. Facts name absolute paths and addresses, so both have a fixed place: below the
 * ports that the kernel gives by itself.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { archive } from './app.ts';
import { Product } from './product.ts';

const PLACE = '/tmp/self-update-in-flight';
const GITHUB_PORT = 20811;

const ALWAYS = { UPDATE_PROBATION: '0', UPDATE_ASSET: '*.tar.gz', MORTAL_STEPS: 'facts' };
const HOOKS = {
  UPDATE_PRE_STOP_CMD: 'true',
  UPDATE_PRE_START_CMD: 'true',
  UPDATE_POST_UPDATE_CMD: 'true',
};

/** Ways on which 0.0.1 becomes 0.0.2, or doesn't: with these settings, by this app. */
export const FLIGHTS = {
  'kill-then-download': { env: { UPDATE_STRATEGY: 'kill-then-download' }, next: 'good' },
  'download-then-kill': { env: { UPDATE_STRATEGY: 'download-then-kill', ...HOOKS }, next: 'good' },
  // The next version ends at once.
  rollback: {
    env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_PROBATION: '1' },
    next: 'broken',
  },
  approval: { env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_APPROVAL: 'on' }, next: 'good' },
  // Downloads break off, until the new updater comes.
  retry: { env: { UPDATE_STRATEGY: 'download-then-kill' }, next: 'good' },
} as const;
export type Flight = keyof typeof FLIGHTS;

export async function inFlight(flight: Flight, entry?: string): Promise<Product> {
  const env = { ...ALWAYS, ...FLIGHTS[flight].env };
  const root = path.join(PLACE, flight);
  // What a run that was killed left.
  rmSync(root, { recursive: true, force: true });
  return Product.create({
    baked: null,
    env,
    root,
    githubPort: GITHUB_PORT,
    ...(entry === undefined ? {} : { entry }),
  });
}

/** An app that does nothing, which needs no port. */
export async function quietApp(version: string, lives: boolean): Promise<Buffer> {
  const content = `#!/bin/sh\n# version ${version}\n${lives ? 'exec sleep 100000' : 'exit 1'}\n`;
  return archive({ app: { content, mode: 0o755 } });
}
