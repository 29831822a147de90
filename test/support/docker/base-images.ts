/**
 * The base images that the Dockerfile names: pulled where a registry can be reached, else made here
 * under the very same tags, Debian by debootstrap and Node from npm, so that the Dockerfile under
 * test is the one that users build.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { baseImages } from '../../../scripts/pin-base-images.ts';
import { docker } from './engine.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
const MIRROR = 'http://deb.debian.org/debian';
/**
 * Where a company's own certificate authority goes, so that npm trusts it in the build as it does
 * here.
 */
const EXTRA_CA = '/etc/ssl/certs/extra-ca.pem';

export async function provideBaseImages(say: (text: string) => void): Promise<void> {
  for (const { name, tag } of baseImages(readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8'))) {
    const image = `${name}:${tag}`;
    if ((await docker(['image', 'inspect', image], { reject: false })).exitCode === 0) continue;
    if ((await docker(['pull', '--quiet', image], { reject: false })).exitCode === 0) continue;
    say(`${image} can't be pulled, and is made here`);
    await makeBaseImage(image);
  }
}

async function makeBaseImage(image: string): Promise<void> {
  const match = /^(?:debian:|node:(\d+)-)([a-z]+)-slim$/.exec(image);
  const [, node, suite = ''] = match ?? [];
  if (!match)
    throw new Error(
      `${image} is neither debian:<suite>-slim nor node:<major>-<suite>-slim: it has to be pulled`,
    );
  const tree = mkdtempSync(path.join(os.tmpdir(), 'base-image-'));
  try {
    await debian(suite, tree);
    const changes = ['--change', `CMD ["${node === undefined ? 'bash' : 'node'}"]`];
    const ca = process.env['NODE_EXTRA_CA_CERTS'];
    if (node !== undefined) addNode(node, tree);
    if (node !== undefined && ca !== undefined && existsSync(ca)) {
      writeFileSync(path.join(tree, EXTRA_CA), readFileSync(ca));
      changes.push('--change', `ENV NODE_EXTRA_CA_CERTS=${EXTRA_CA}`);
    }
    await execa('tar', ['-C', tree, '-cf', `${tree}.tar`, '.']);
    await docker(['import', ...changes, `${tree}.tar`, image]);
  } finally {
    rmSync(`${tree}.tar`, { force: true });
    rmSync(tree, { recursive: true, force: true });
  }
}

/** debootstrap once a suite; later runs take the packed tree. */
async function debian(suite: string, into: string): Promise<void> {
  const packed = path.join(os.tmpdir(), `self-update-debootstrap-${suite}.tar`);
  if (!existsSync(packed)) {
    const fresh = mkdtempSync(path.join(os.tmpdir(), 'debootstrap-'));
    await execa('debootstrap', ['--variant=minbase', suite, fresh, MIRROR], { stdout: 'ignore' });
    await execa('tar', [
      '-C',
      fresh,
      '--exclude=./proc/*',
      '--exclude=./sys/*',
      '--exclude=./dev/*',
      '--exclude=./var/cache/apt/*',
      '-cf',
      `${packed}.new`,
      '.',
    ]);
    await execa('mv', [`${packed}.new`, packed]);
    rmSync(fresh, { recursive: true, force: true });
  }
  await execa('tar', ['-C', into, '-xf', packed]);
}

function addNode(major: string, tree: string): void {
  const version = process.versions.node;
  if (version.split('.')[0] !== major)
    throw new Error(`the pinned Node is ${version}, and the Dockerfile asks for ${major}`);
  const local = path.join(tree, 'usr', 'local');
  mkdirSync(path.join(local, 'lib', 'node_modules'), { recursive: true });
  cpSync(process.execPath, path.join(local, 'bin', 'node'));
  cpSync(npmDirectory(), path.join(local, 'lib', 'node_modules', 'npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, path.join(local, 'bin', name));
  mkdirSync(path.join(tree, 'etc', 'ssl', 'certs'), { recursive: true });
}

/** npm says where it is to whatever it runs. */
function npmDirectory(): string {
  const cli = process.env['npm_execpath'];
  if (cli === undefined) throw new Error('run this through npm: its own files go into the image');
  return path.join(path.dirname(cli), '..');
}
