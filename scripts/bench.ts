/**
 * Benchmarks, as ratios against a reference measured in the same run, alternating, medians of five. Machines are noisy:
 * the ratio is the figure, the times are its witnesses. Writes docs/benchmarks/results.md.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { appArchive } from '../test/support/app.ts';
import { Product } from '../test/support/product.ts';

const RUNS = 5;
const OUT = path.join(import.meta.dirname, '..', 'docs', 'benchmarks');

type Figures = { median: number; least: number; most: number };
type Row = { what: string; ours: Figures; reference: string; theirs: Figures; unit: string };

function figures(values: readonly number[]): Figures {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: sorted[sorted.length >> 1] ?? 0, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}

const shown = ({ median, least, most }: Figures) => `${median.toFixed(0)} [${least.toFixed(0)}–${most.toFixed(0)}]`;

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

/** Facts stamp the moments: from the release found to the complete tree on disk. */
async function pipelineMs(product: Product, version: string): Promise<number> {
  const events = await product.events();
  const at = (type: string) => Date.parse(events.findLast((event) => event.type === type)?.at ?? '');
  const found = events.findLast((event) => event.type === 'releaseFound');
  if (found?.type !== 'releaseFound' || found.release.version !== version) throw new Error(`${version} was not found`);
  return at('installed') - at('releaseFound');
}

async function pipeline(megabytes: number): Promise<Row> {
  await using product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_PROBATION: '0', UPDATE_KEEP: '2' } });
  const archive = (version: string) => appArchive({ version, port: product.port, padBytes: megabytes * 1_000_000 });
  await product.command(['run', '--once']);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 1; run <= RUNS; run++) {
    const version = `1.0.${run}`;
    const release = product.github.publish(`v${version}`, { 'app.tar.gz': await archive(version) });
    await product.command(['update']);
    ours.push(await pipelineMs(product, version));
    const url = `${product.github.url}/storage/${release.assets[0]?.id}`;
    const into = path.join(product.root, 'reference');
    const script = `mkdir -p ${into} && curl -sSL ${url} | tee >(sha256sum > ${product.root}/sum) | tar -xz -C ${into} && sync -f ${into}`;
    theirs.push(await timed(() => execa('bash', ['-o', 'pipefail', '-c', script])));
    rmSync(into, { recursive: true, force: true });
    product.github.releases.splice(0);
  }
  return {
    what: `${megabytes} MB archive: download, verify, unpack, sync`,
    ours: figures(ours),
    reference: 'curl \\| tee >(sha256sum) \\| tar -xz; sync',
    theirs: figures(theirs),
    unit: 'ms',
  };
}

async function main(): Promise<void> {
  const rows: Row[] = [];
  for (const megabytes of [50]) rows.push(await pipeline(megabytes));
  const table = [
    '| what | ours | reference | its figure | ratio |',
    '|---|---|---|---|---|',
    ...rows.map(
      ({ what, ours, reference, theirs, unit }) =>
        `| ${what} | ${shown(ours)} ${unit} | ${reference} | ${shown(theirs)} ${unit} | ${(ours.median / theirs.median).toFixed(2)} |`,
    ),
  ].join('\n');
  const machine = `${execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim()}, Node ${process.versions.node}`;
  mkdirSync(OUT, { recursive: true });
  writeFileSync(
    path.join(OUT, 'results.md'),
    `# Benchmarks\n\nMade by \`npm run bench\`: medians of ${RUNS} [least–most], each beside its reference in the same run. ${machine}.\n\n${table}\n`,
  );
  process.stdout.write(`${table}\n`);
}

await main();
