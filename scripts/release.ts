/**
 * Makes a release in dist/release: the sample app's archives, a bill of material, checksums.txt and its signature. With --image NAME also the image.
 * With --publish everything goes out: the files to GitHub by `gh`, the image, for both architectures, to its registry by buildx.
 *
 * MINISIGN_KEY holds the secret key (unencrypted, as `minisign -G -W` makes it). Without it a key is made for this run alone, and
 * its public half lies beside the files: good for looking, not for publishing.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp, mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { create } from 'tar';

const ROOT = path.join(import.meta.dirname, '..');
const OUT = path.join(ROOT, 'dist', 'release');
const APP = path.join(ROOT, 'examples', 'app');
/** Go's names, which most releases use. The sample app is a script, and the same for both. */
const ARCHITECTURES = ['amd64', 'arm64'] as const;
/** Fixed, so that the same sources make the same bytes. */
const MTIME = new Date('2026-01-01T00:00:00Z');

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
        await create({ file: path.join(OUT, name), cwd: stage, gzip: { level: 9 }, portable: true, mtime: MTIME }, files);
        return name;
      }),
    );
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** What the product is made of, as CycloneDX: from the lockfile, without what only tests and builds use. */
async function bill(): Promise<string> {
  const { stdout } = await execa('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--omit', 'optional'], { cwd: ROOT });
  const name = 'sbom.cdx.json';
  // The same sources make the same bytes: no time, and no number of its own.
  const { serialNumber: _, metadata, ...parts } = JSON.parse(stdout) as { serialNumber: string; metadata: object };
  const fixed = { ...parts, metadata: { ...metadata, timestamp: MTIME.toISOString() } };
  writeFileSync(path.join(OUT, name), `${JSON.stringify(fixed, null, 2)}\n`);
  return name;
}

/** goreleaser's form: `<sha256>  <name>` a line. */
function writeChecksums(names: readonly string[]): void {
  const lines = names.map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(path.join(OUT, name)))
        .digest('hex')}  ${name}\n`,
  );
  writeFileSync(path.join(OUT, 'checksums.txt'), lines.join(''));
}

/** Signs checksums.txt; the trusted comment binds it to this project and tag. */
async function sign(tag: string): Promise<void> {
  const keys = mkdtempSync(path.join(os.tmpdir(), 'release-key-'));
  const secret = path.join(keys, 'secret.key');
  const given = process.env['MINISIGN_KEY'];
  try {
    if (given) writeFileSync(secret, `${given.trim()}\n`, { mode: 0o600 });
    else {
      await execa('minisign', ['-G', '-W', '-f', '-s', secret, '-p', path.join(OUT, 'made-for-this-run.pub')]);
      say('MINISIGN_KEY is not set: signed with a key that was made for this run alone');
    }
    const file = path.join(OUT, 'checksums.txt');
    await execa('minisign', ['-S', '-s', secret, '-m', file, '-t', `file:checksums.txt tag:${tag} self-updating-container`]);
  } finally {
    rmSync(keys, { recursive: true, force: true });
  }
}

function imageArguments(image: string, tag: string): string[] {
  const created = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  // Bound to this repository: the one image then serves everybody else's as well, without our sample app.
  const [owner = '', repository = ''] = (process.env['GITHUB_REPOSITORY'] ?? '').split('/');
  const bound = owner === '' ? [] : [`GH_USER=${owner}`, `GH_REPO=${repository}`];
  const settings = [`VERSION=${tag}`, `CREATED=${created}`, ...bound].flatMap((setting) => ['--build-arg', setting]);
  return [...settings, '--tag', `${image}:${tag}`, ROOT];
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { image: { type: 'string' }, publish: { type: 'boolean' } } });
  const [tag] = positionals;
  if (tag === undefined || !/^v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/.test(tag)) {
    process.stderr.write('usage: scripts/release v1.2.3 [--image NAME] [--publish]\n');
    process.exitCode = 2;
    return;
  }
  const publish = values.publish === true;
  if (publish && !process.env['MINISIGN_KEY']) throw new Error('MINISIGN_KEY is not set: what is published is signed. Make one with `minisign -G -W`');
  rmSync(OUT, { recursive: true, force: true });
  await mkdir(OUT, { recursive: true });
  const names = [...(await archives(tag.slice(1))), await bill()];
  writeChecksums(names);
  await sign(tag);
  const files = [...names, 'checksums.txt', 'checksums.txt.minisig'];
  say(files.map((name) => `dist/release/${name}`).join('\n'));
  const loud = { stdio: 'inherit', cwd: OUT } as const;
  if (publish)
    await execa('gh', ['release', 'create', tag, '--verify-tag', '--generate-notes', ...(tag.includes('-') ? ['--prerelease'] : []), ...files], loud);
  if (values.image === undefined) return;
  const build = publish ? ['buildx', 'build', '--platform', ARCHITECTURES.map((name) => `linux/${name}`).join(','), '--push'] : ['build'];
  await execa('docker', [...build, ...imageArguments(values.image, tag)], loud);
  say(`${values.image}:${tag}`);
}

await main();
