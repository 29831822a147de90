/**
 * A 15-second demo against a local server that speaks GitHub's API: an app at v0.0.1 is updated to
 * v0.0.2 while a client sends requests, then the download of v0.0.3 fails and the app keeps
 * running. Leaves nothing behind. With --inspect the XState inspector is attached.
 */
import path from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { folded } from '../src/cli/table.ts';
import { appArchive } from '../test/support/app.ts';
import { Prober } from '../test/support/prober.ts';
import { Product } from '../test/support/product.ts';

const { values } = parseArgs({
  options: { inspect: { type: 'boolean' }, 'inspect-port': { type: 'string', default: '8080' } },
});
const startedAt = performance.now();
const ASSET = (version: string) => `app_${version}_linux_amd64.tar.gz`;
/** As wide as the time before each line. */
const MARGIN = '         ';
const STOP_MS = 400;
/** Slow enough to see, fast enough to wait for. */
const BYTES_A_SECOND = 6_000_000;

function say(text: string): void {
  const time = styleText(
    'dim',
    `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s`,
  );
  process.stdout.write(`${folded(`${time}  ${text}`, MARGIN.length, process.stdout.columns)}\n`);
}

function heading(text: string): void {
  say(styleText('bold', text));
}

async function main(): Promise<void> {
  const inspected = path.join(import.meta.dirname, 'inspected.ts');
  const env: Record<string, string> = {
    UPDATE_STRATEGY: 'download-then-kill',
    UPDATE_PROBATION: '2',
    UPDATE_ASSET: 'app_*.tar.gz',
    INSPECT_PORT: values['inspect-port'],
  };
  await using product = await Product.create({
    baked: '0.0.1',
    stopMs: STOP_MS,
    env,
    ...(values.inspect ? { entry: inspected } : {}),
  });
  const { github, port } = product;
  const stop = () => void product.dispose().then(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);

  heading(
    'The image contains v0.0.1 of an app that takes 0.4 s to stop. A client sends a request every 5 ms.',
  );
  github.publish('v0.0.1', {
    [ASSET('0.0.1')]: await appArchive({ version: '0.0.1', port, stopMs: STOP_MS }),
  });
  const prober = new Prober(port).start();
  const updater = product.start([], { onLine: (line) => say(line) });
  await prober.answers('0.0.1');
  await product.fact('versionBecameHealthy');

  heading('v0.0.2 is released, 6 MB.');
  github.misbehave = { throttle: BYTES_A_SECOND };
  github.publish('v0.0.2', {
    [ASSET('0.0.2')]: await appArchive({
      version: '0.0.2',
      port,
      stopMs: STOP_MS,
      padBytes: 6_000_000,
    }),
  });
  updater.kill('SIGHUP');
  await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  await prober.answers('0.0.2');
  const downtimeMs = prober.longestGapMs();
  say(
    styleText(
      'green',
      `v0.0.2 answers. Downtime: ${downtimeMs} ms, of which the app took ${STOP_MS} ms to stop.`,
    ),
  );

  heading('v0.0.3 is released, and the connection is cut during its download.');
  const brokenAt = performance.now();
  github.misbehave = { throttle: BYTES_A_SECOND, cutAfterBytes: 2_000_000 };
  github.publish('v0.0.3', {
    [ASSET('0.0.3')]: await appArchive({ version: '0.0.3', port, padBytes: 6_000_000 }),
  });
  updater.kill('SIGHUP');
  await product.fact('downloadFailed');
  const status = await product.status();
  const gapMs = prober.longestGapMs(brokenAt);
  say(
    styleText(
      'green',
      `The app keeps running: v${prober.version} answers, longest pause ${gapMs} ms. Why not now: ${status.waitingFor?.message ?? 'unknown'}.`,
    ),
  );

  updater.kill('SIGTERM');
  await updater;
  await prober.stop();
  const { stdout } = await product.command(['history']);
  heading('What the journal says:');
  const reasonAt = stdout.indexOf('reason') + MARGIN.length;
  for (const line of stdout.split('\n'))
    process.stdout.write(`${folded(`${MARGIN}${line}`, reasonAt, process.stdout.columns)}\n`);
  heading(
    `Done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s: v0.0.1 → v0.0.2, down for ${downtimeMs} ms; v0.0.3 will be retried.`,
  );
  if (
    prober.versions.at(-1)?.version !== '0.0.2' ||
    status.version !== '0.0.2' ||
    product.apps().length > 0
  )
    throw new Error('the demonstration did not go as told above');
}

await main();
// An inspector may hold the loop open.
process.exit(0);
