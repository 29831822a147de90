/**
 * Download, digest, decompression and unpacking, beside what a shell would do with the same bytes;
 * memory; thousands of files.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { appSource } from '../../test/support/app.ts';
import { Product } from '../../test/support/product.ts';
import { figuresOf, type Row } from './rows.ts';

const RUNS = 5;
const BUNDLED = path.join(
  import.meta.dirname,
  '..',
  '..',
  'test',
  'support',
  'chaos',
  'bundled.ts',
);
const SIZES_MB = [50, 500];
const FILES = 20_000;

/**
 * `ending`: of the asset's name. `unpack`: from standard input into the directory $into. A `bare`
 * one is the program alone.
 */
type Format = { ending: string; pack: string; unpack: string; bare?: true };
const tarOf = (name: string, pack: string, unpack: string): Format => ({
  ending: `.tar.${name}`,
  pack: `tar -c . | ${pack}`,
  unpack: `${unpack} | tar -x -C $into`,
});
const bareOf = (name: string, pack: string, unpack: string): Format => ({
  ending: `.${name}`,
  pack: `${pack} < app`,
  unpack: `${unpack} > $into/app`,
  bare: true,
});
const GZIP = tarOf('gz', 'gzip -1', 'gzip -d');
const ZSTD = tarOf('zst', 'zstd -q -1', 'zstd -d -q');
/** What goes through a tool of the platform's, and what is one program. */
const OTHERS = [
  tarOf('xz', 'xz -1', 'xz -d'),
  tarOf('bz2', 'bzip2 -1', 'bzip2 -d'),
  {
    ending: '.zip',
    pack: 'zip -q -1 -r - .',
    unpack: 'cat > $into.zip && unzip -q $into.zip -d $into',
  },
  bareOf('gz', 'gzip -1', 'gzip -d'),
  bareOf('xz', 'xz -1', 'xz -d'),
] as const satisfies readonly Format[];
const OTHERS_MB = 50;

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

const shell = (script: string) => execa('bash', ['-o', 'pipefail', '-c', script]);

/** An archive of the app and of what `fill` puts beside it. */
async function archiveOf(
  fill: (directory: string) => void,
  version: string,
  port: number,
  { pack, ending, bare }: Format,
): Promise<{ file: string; name: string }> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bench-'));
  mkdirSync(path.join(directory, 'in'));
  fill(path.join(directory, 'in'));
  const padding = path.join(directory, 'in', 'padding.bin');
  const app = appSource({ version, port });
  // A program alone carries its weight in itself: what is behind its end, a shell never reads.
  const source = bare
    ? Buffer.concat([Buffer.from(startedByShell(app)), readFileSync(padding)])
    : app;
  writeFileSync(path.join(directory, 'in', 'app'), source, { mode: 0o755 });
  if (bare) rmSync(padding);
  await shell(`cd ${directory}/in && (${pack}) > ${directory}/out`);
  rmSync(path.join(directory, 'in'), { recursive: true });
  return { file: path.join(directory, 'out'), name: `app${ending}` };
}

const startedByShell = (source: string) =>
  `#!/bin/sh\nexec ${process.execPath} -e "eval(Buffer.from('${Buffer.from(source).toString('base64')}', 'base64').toString())"\n`;

/** Facts stamp the moments: from the release found to the complete tree on disk. */
async function pipelineMs(product: Product, version: string): Promise<number> {
  const events = await product.events();
  const at = (type: string) =>
    Date.parse(events.findLast((event) => event.type === type)?.at ?? '');
  const installed = events.findLast((event) => event.type === 'installed');
  if (installed?.type !== 'installed' || installed.version.version !== version)
    throw new Error(`${version} was not installed`);
  return at('installed') - at('releaseFound');
}

/** Half of it can be compressed, as of programs. */
function filled(megabytes: number): (directory: string) => void {
  return (directory) => {
    const piece = 500_000;
    const parts = Array.from({ length: megabytes }, () => [
      randomBytes(piece),
      Buffer.alloc(piece, randomBytes(64)),
    ]);
    writeFileSync(path.join(directory, 'padding.bin'), Buffer.concat(parts.flat()));
  };
}

function manyFiles(directory: string): void {
  for (let index = 0; index < FILES; index++) {
    const folder = path.join(directory, `folder-${index % 200}`);
    if (index < 200) mkdirSync(folder);
    writeFileSync(
      path.join(folder, `file-${index}.js`),
      randomBytes(100 + ((index * 7919) % 3900)),
    );
  }
}

/**
 * `keepsAll`: nothing is deleted between runs, for thousands of files: ext4 passes over the inodes
 * of what was deleted a moment ago, one by one. For large files all is deleted: memory that a guest
 * touches for the first time costs it ten times as much.
 */
async function beside(
  fill: (directory: string) => void,
  format: Format,
  { withNetwork, keepsAll }: { withNetwork: boolean; keepsAll: boolean },
): Promise<{ ours: number[]; theirs: number[] }> {
  await using product = await Product.create({
    entry: BUNDLED,
    env: {
      UPDATE_STRATEGY: 'download-then-kill',
      UPDATE_PROBATION: '0',
      UPDATE_KEEP: keepsAll ? '9' : '2',
    },
  });
  await product.command(['run', '--once']);
  const { file, name } = await archiveOf(fill, '1.0.0', product.port, format);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 1; run <= RUNS; run++) {
    const version = `1.0.${run}`;
    const release = product.github.publish(`v${version}`, { [name]: readFileSync(file) });
    await shell('sync');
    await product.command(['update']);
    ours.push(await pipelineMs(product, version));
    const url = `${product.github.url}/storage/${release.assets[0]?.id}`;
    const into = path.join(product.root, `reference-${run}`);
    const source = withNetwork
      ? `curl -sSL ${url} | tee >(sha256sum > ${product.root}/sum)`
      : `cat ${file}`;
    theirs.push(
      await timed(() =>
        shell(`into=${into}; mkdir $into && ${source} | (${format.unpack}) && sync -f $into`),
      ),
    );
    product.github.releases.splice(0);
    if (!keepsAll) rmSync(into, { recursive: true });
  }
  rmSync(path.dirname(file), { recursive: true });
  return { ours, theirs };
}

async function speed(megabytes: number, format: Format): Promise<Row> {
  const { ours, theirs } = await beside(filled(megabytes), format, {
    withNetwork: true,
    keepsAll: false,
  });
  const name = `curl \\| tee >(sha256sum) \\| ${format.unpack.replaceAll('|', '\\|').replaceAll('$into', 'x')}; sync`;
  // A speed of 0.9 of the reference's.
  const goal = 1 / 0.9;
  return {
    what: `${megabytes} MB in ${format.ending}${format.bare ? ' alone' : ''}`,
    unit: 'ms',
    measured: figuresOf(ours),
    reference: { name, figures: figuresOf(theirs) },
    compare: 'ratio',
    goal,
  };
}

async function smallFiles(): Promise<Row> {
  const { ours, theirs } = await beside(manyFiles, GZIP, { withNetwork: false, keepsAll: true });
  const reference = { name: 'GNU tar alone; sync', figures: figuresOf(theirs) };
  return {
    what: `${FILES} small files`,
    unit: 'ms',
    measured: figuresOf(ours),
    reference,
    compare: 'ratio',
    goal: 2.5,
    remark: 'ours with download, digest, and a sum of each file',
  };
}

function memoryMb(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1]) / 1000;
}

/** The most that an update of a resident updater takes above its idle state. */
async function memory(megabytes: number, format: Format): Promise<Row> {
  const above: number[] = [];
  const idle: number[] = [];
  // Nobody asks the app anything: whatever port is free will do.
  const { file, name } = await archiveOf(filled(megabytes), '1.0.0', 0, format);
  for (let run = 1; run <= RUNS; run++) {
    await using product = await Product.create({
      entry: BUNDLED,
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_PROBATION: '0.2' },
    });
    const { pid = 0 } = product.start();
    await product.fact('versionBecameHealthy');
    product.github.publish('v1.0.0', { [name]: readFileSync(file) });
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    idle.push(memoryMb(pid, 'VmRSS'));
    await product.command(['update']);
    above.push(memoryMb(pid, 'VmHWM'));
  }
  rmSync(path.dirname(file), { recursive: true });
  const reference = { name: 'the same updater, idle', figures: figuresOf(idle) };
  return {
    what: `memory at an update of ${megabytes} MB, ${format.ending}${format.bare ? ' alone' : ''}`,
    unit: 'MB',
    measured: figuresOf(above),
    reference,
    compare: 'difference',
    goal: 40,
  };
}

export async function pipeline(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const megabytes of SIZES_MB)
    for (const format of [GZIP, ZSTD]) rows.push(await speed(megabytes, format));
  for (const format of OTHERS) rows.push(await speed(OTHERS_MB, format));
  rows.push(await smallFiles());
  for (const megabytes of SIZES_MB)
    for (const format of [GZIP, ZSTD, ...OTHERS]) rows.push(await memory(megabytes, format));
  return rows;
}
