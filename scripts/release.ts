/**
 * Makes a release in dist/release: the sample app's archives, a bill of material, checksums.txt and
 * its signature; and the same as a directory with a signed releases.json in dist/directory
 * (docs/sources.md). With --image NAME also the image, by `docker build .` as anybody makes it.
 * Signed with MINISIGN_KEY (see scripts/sign-release), or with a key that is made for this run
 * alone, whose public half lies beside the files: good for looking. Nothing is published.
 *
 * The workflow does it in steps, none of which has the signing key:
 *   --step files              everything but the signature
 *   --step images --image N   both images for both architectures, from base images by digest,
 *   pushed; their digests go into image.txt
 *   --step draft              all of it to GitHub by `gh`, as a draft, which nobody follows
 * What is signed then is checksums.txt; the draft is published with its signature.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp, mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { create } from 'tar';
import { writeIndex } from '../src/effects/sources/write-index.ts';
import { readPinnedSettings } from './pin-base-images.ts';

const ROOT = path.join(import.meta.dirname, '..');
const OUT = path.join(ROOT, 'dist', 'release');
/** All releases that were made here, with their list. */
const DIRECTORY = path.join(ROOT, 'dist', 'directory');
const APP = path.join(ROOT, 'examples', 'app');
/** Go's names, which most releases use. The sample app is a script, and the same for both. */
const ARCHITECTURES = ['amd64', 'arm64'] as const;
/** Fixed, so that the same sources make the same bytes. */
const MTIME = new Date('2026-01-01T00:00:00Z');
/** The stages of the Dockerfile that are images, by what their tag ends with. */
const VARIANTS = { '': [], '-debian': ['--target', 'debian'] } as const;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function archives(version: string): Promise<string[]> {
  const stage = mkdtempSync(path.join(os.tmpdir(), 'release-'));
  try {
    await cp(APP, stage, { recursive: true });
    writeFileSync(path.join(stage, 'VERSION'), `${version}\n`);
    await cp(path.join(ROOT, 'LICENSE'), path.join(stage, 'LICENSE'));
    const files = ['LICENSE', 'VERSION', 'app', 'package.json'];
    return await Promise.all(
      ARCHITECTURES.map(async (architecture) => {
        const name = `sample-app_${version}_linux_${architecture}.tar.gz`;
        await create(
          {
            file: path.join(OUT, name),
            cwd: stage,
            gzip: { level: 9 },
            portable: true,
            mtime: MTIME,
          },
          files,
        );
        return name;
      }),
    );
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/**
 * What the product is made of, as CycloneDX: from the lockfile, without what only tests and builds
 * use.
 */
async function bill(): Promise<string> {
  const { stdout } = await execa(
    'npm',
    ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--omit', 'optional'],
    { cwd: ROOT },
  );
  const name = 'sbom.cdx.json';
  // The same sources make the same bytes: no time, and no number of its own.
  const {
    serialNumber: _,
    metadata,
    ...parts
  } = JSON.parse(stdout) as { serialNumber: string; metadata: object };
  const fixed = { ...parts, metadata: { ...metadata, timestamp: MTIME.toISOString() } };
  writeFileSync(path.join(OUT, name), `${JSON.stringify(fixed, null, 2)}\n`);
  return name;
}

/** goreleaser's form: `<sha256>  <name>` a line, of every file that is published. */
function writeChecksums(): void {
  const lines = published().map((name) => {
    const sum = createHash('sha256').update(readFileSync(path.join(OUT, name)));
    return `${sum.digest('hex')}  ${name}\n`;
  });
  writeFileSync(path.join(OUT, 'checksums.txt'), lines.join(''));
}

function published(): string[] {
  return readdirSync(OUT)
    .filter((name) => !name.startsWith('checksums.txt') && !name.endsWith('.pub'))
    .sort();
}

async function makeFiles(tag: string): Promise<void> {
  rmSync(OUT, { recursive: true, force: true });
  await mkdir(OUT, { recursive: true });
  await archives(tag.slice(1));
  await bill();
  writeChecksums();
}

async function sign(tag: string): Promise<void> {
  const keys = mkdtempSync(path.join(os.tmpdir(), 'release-key-'));
  const secret = path.join(keys, 'secret.key');
  try {
    let key = process.env['MINISIGN_KEY'];
    if (!key) {
      await execa('minisign', [
        '-G',
        '-W',
        '-f',
        '-s',
        secret,
        '-p',
        path.join(OUT, 'made-for-this-run.pub'),
      ]);
      say('MINISIGN_KEY is not set: signed with a key that was made for this run alone');
      key = readFileSync(secret, 'utf8').trim();
    }
    const env = { MINISIGN_KEY: key };
    const program = path.join(ROOT, 'scripts', 'sign-release');
    await execa(program, [tag], { env });
    await execa(program, [tag, await addToDirectory(tag)], { env });
  } finally {
    rmSync(keys, { recursive: true, force: true });
  }
}

/**
 * The same files as a directory that is followed by UPDATE_SOURCE=directory. Releases of earlier
 * runs stay in it.
 */
async function addToDirectory(tag: string): Promise<string> {
  const place = path.join(DIRECTORY, tag);
  rmSync(place, { recursive: true, force: true });
  await mkdir(place, { recursive: true });
  for (const name of [...published(), 'checksums.txt', 'checksums.txt.minisig'])
    await cp(path.join(OUT, name), path.join(place, name));
  return (await writeIndex(DIRECTORY)).file;
}

function imageSettings(tag: string): string[] {
  const created = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  // Bound to this repository: the one image then serves everybody else's as well, without our
  // sample app.
  const [owner = '', repository = ''] = (process.env['GITHUB_REPOSITORY'] ?? '').split('/');
  const bound = owner === '' ? [] : [`GH_USER=${owner}`, `GH_REPO=${repository}`];
  return [`VERSION=${tag}`, `CREATED=${created}`, ...bound];
}

const asArguments = (settings: readonly string[]): string[] =>
  settings.flatMap((setting) => ['--build-arg', setting]);
const LOUD = { stdio: 'inherit', cwd: OUT } as const;

/** The digests are among the files whose sums are signed: so are the images by them. */
async function pushImages(image: string, tag: string): Promise<void> {
  const metadata = path.join(
    mkdtempSync(path.join(os.tmpdir(), 'release-image-')),
    'metadata.json',
  );
  const platforms = ARCHITECTURES.map((name) => `linux/${name}`).join(',');
  const settings = asArguments([...imageSettings(tag), ...readPinnedSettings()]);
  const lines: string[] = [];
  for (const [suffix, target] of Object.entries(VARIANTS)) {
    const name = `${image}:${tag}${suffix}`;
    const output = ['--platform', platforms, '--push', '--metadata-file', metadata, '--tag', name];
    await execa('docker', ['buildx', 'build', ...output, ...target, ...settings, ROOT], LOUD);
    const { 'containerimage.digest': digest } = JSON.parse(readFileSync(metadata, 'utf8')) as {
      'containerimage.digest'?: string;
    };
    if (!/^sha256:[0-9a-f]{64}$/.test(digest ?? ''))
      throw new Error(`buildx told no digest of what it pushed as ${name}: ${digest}`);
    lines.push(`${name}@${digest}\n`);
  }
  writeFileSync(path.join(OUT, 'image.txt'), lines.join(''));
  writeChecksums();
}

/** A draft of an earlier run that failed is replaced; what was published is not. */
async function draft(tag: string): Promise<void> {
  const { stdout } = await execa(
    'gh',
    ['release', 'view', tag, '--json', 'isDraft', '--jq', '.isDraft'],
    { reject: false },
  );
  if (stdout === 'true') await execa('gh', ['release', 'delete', tag, '--yes'], LOUD);
  const kind = tag.includes('-') ? ['--prerelease'] : [];
  await execa(
    'gh',
    [
      'release',
      'create',
      tag,
      '--draft',
      '--verify-tag',
      '--generate-notes',
      ...kind,
      ...published(),
      'checksums.txt',
    ],
    LOUD,
  );
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { image: { type: 'string' }, step: { type: 'string' } },
  });
  const [tag] = positionals;
  const { image, step } = values;
  const isKnown =
    step === undefined ||
    step === 'files' ||
    step === 'draft' ||
    (step === 'images' && image !== undefined);
  if (tag === undefined || !/^v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/.test(tag) || !isKnown) {
    process.stderr.write(
      'usage: scripts/release v1.2.3 [--image NAME] [--step files|images|draft]\n',
    );
    process.exitCode = 2;
    return;
  }
  if (step === undefined || step === 'files') await makeFiles(tag);
  if (step === 'images' && image !== undefined) await pushImages(image, tag);
  if (step === 'draft') await draft(tag);
  if (step !== undefined) return;
  await sign(tag);
  say(
    [...published(), 'checksums.txt', 'checksums.txt.minisig']
      .map((name) => `dist/release/${name}`)
      .join('\n'),
  );
  say('dist/directory/releases.json\ndist/directory/releases.json.minisig');
  if (image === undefined) return;
  await execa(
    'docker',
    ['build', ...asArguments(imageSettings(tag)), '--tag', `${image}:${tag}`, ROOT],
    LOUD,
  );
  say(`${image}:${tag}`);
}

await main();
