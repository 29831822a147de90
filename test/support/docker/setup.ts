/**
 * Before the container suite: an engine, the base images, and the image under test, built from the
 * Dockerfile as users build it. On top of that the suite's own app is baked in as 0.0.1, the way a
 * derived image does it.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { provideBaseImages } from './base-images.ts';
import { docker, startEngine } from './engine.ts';
import { IMAGES } from './images.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');

let stopEngine = async (): Promise<void> => {};

export async function globalSetup(): Promise<void> {
  stopEngine = await startEngine();
  await provideBaseImages((text) => process.stdout.write(`${text}\n`));
  const app = path.join(mkdtempSync(path.join(os.tmpdir(), 'test-app-')), 'app');
  await execa('g++', ['-O2', '-Wall', '-o', app, path.join(import.meta.dirname, 'app.cpp')]);
  process.env['TEST_APP'] = app;
  await docker([
    'build',
    '--quiet',
    '--tag',
    IMAGES.product,
    '--build-arg',
    'VERSION=v0.0.1',
    ROOT,
  ]);
  await docker([
    'build',
    '--quiet',
    '--tag',
    IMAGES.productOnDebian,
    '--target',
    'debian',
    '--build-arg',
    'VERSION=v0.0.1',
    ROOT,
  ]);
  await derive(IMAGES.product, IMAGES.empty, 'RUN rm -rf /usr/share/self-update/baked/*');
  for (const [version, image] of [
    ['0.0.1', IMAGES.app],
    ['0.0.2', IMAGES.newerApp],
  ] as const)
    await bake(app, version, image);
}

export async function globalTeardown(): Promise<void> {
  await stopEngine();
}

/** An image that people would derive from ours. */
export async function derive(
  from: string,
  tag: string,
  lines: string,
  files: Record<string, string | Buffer> = {},
): Promise<void> {
  const context = mkdtempSync(path.join(os.tmpdir(), 'image-'));
  try {
    writeFileSync(path.join(context, 'Dockerfile'), `FROM ${from}\n${lines}\n`);
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(context, name)), { recursive: true });
      writeFileSync(path.join(context, name), content);
      chmodSync(
        path.join(context, name),
        typeof content === 'string' && !content.startsWith('#!') ? 0o644 : 0o755,
      );
    }
    await docker(['build', '--quiet', '--tag', tag, context]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

async function bake(app: string, version: string, tag: string): Promise<void> {
  const files = { 'tree/app': readFileSync(app), 'tree/VERSION': `${version}\n` };
  await derive(IMAGES.empty, tag, `COPY tree /usr/share/self-update/baked/${version}`, files);
}
