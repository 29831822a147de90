/**
 * A real container updates itself, for people to watch: typed commands and their real output,
 * against a local server that speaks GitHub's API. `scripts/record` makes docs/demo.cast and
 * docs/demo.svg of it. Needs Docker; leaves nothing behind.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { execa } from 'execa';
import { Container } from '../test/support/docker/container.ts';
import { IMAGES } from '../test/support/docker/images.ts';
import { globalSetup, globalTeardown } from '../test/support/docker/setup.ts';
import { Prober } from '../test/support/prober.ts';

/** As somebody who knows what to type. */
const KEYSTROKE_MS = 18;
const READING_MS = 1200;
const BYTES_A_SECOND = 9_000_000;

const paint = (style: Parameters<typeof styleText>[0], text: string) =>
  styleText(style, text, { validateStream: false });

async function type(command: string): Promise<void> {
  process.stdout.write(paint('green', '$ '));
  for (const character of command) {
    process.stdout.write(character);
    await sleep(KEYSTROKE_MS);
  }
  process.stdout.write('\n');
}

async function tell(text: string): Promise<void> {
  process.stdout.write(`\n${paint(['bold', 'cyan'], `# ${text}`)}\n`);
  await sleep(READING_MS);
}

async function show(shown: string, command: readonly string[]): Promise<void> {
  await type(shown);
  const { stdout } = await execa('docker', [...command], {
    env: { FORCE_COLOR: '1' },
    stdin: 'ignore',
  });
  process.stdout.write(`${stdout}\n`);
  await sleep(READING_MS);
}

async function main(): Promise<void> {
  await using container = await Container.prepare({
    image: IMAGES.product,
    env: { UPDATE_PROBATION: '2', STOP_MS: '300', UPDATE_ASSET: 'app_*' },
  });
  const { name, github, port } = container;
  // An image that brings v0.0.1, and a release page that knows no newer one yet.
  await container.publish('0.0.1');
  process.stdout.write('\u001b[2J\u001b[H');
  await tell('An image that brings v0.0.1 of an app, and follows the releases of acme/app');
  await type(
    'docker run -d --name app -p 8080:8080 -v data:/data -e GH_USER=acme -e GH_REPO=app IMAGE',
  );
  const prober = new Prober(port).start();
  await container.create();
  process.stdout.write(`${paint('dim', `${name.slice(-8)}…`)}\n`);
  await prober.answers('0.0.1\n');
  await container.fact('versionBecameHealthy');
  await type('curl localhost:8080');
  process.stdout.write(`${(await container.ask())?.trim()}\n`);

  await tell('v0.0.2 is released on GitHub, 15 MB. Somebody asks the app every 5 ms.');
  github.misbehave = { throttle: BYTES_A_SECOND };
  await container.publish('0.0.2', { padBytes: 15_000_000 });
  await type('docker logs -f --tail 0 app');
  const logs = execa('docker', ['logs', '--follow', '--tail', '0', name], {
    reject: false,
    buffer: false,
    stdin: 'ignore',
  });
  for (const stream of [logs.stdout, logs.stderr])
    if (stream)
      createInterface({ input: stream }).on('line', (line) => process.stdout.write(`${line}\n`));
  await container.signal('HUP');
  await prober.answers('0.0.2');
  await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  await sleep(READING_MS);
  logs.kill('SIGKILL');
  await prober.stop();

  process.stdout.write('\n');
  await type('curl localhost:8080');
  process.stdout.write(
    `${(await container.ask())?.trim()}      ${paint('dim', `# nobody answered for ${prober.longestGapMs()} ms, of which the app took 300 ms to stop`)}\n\n`,
  );
  await show('docker exec app self-update status', [
    'exec',
    '--env',
    'FORCE_COLOR=1',
    name,
    'self-update',
    'status',
  ]);
  process.stdout.write('\n');
  await show('docker exec app self-update history', [
    'exec',
    '--env',
    'FORCE_COLOR=1',
    name,
    'self-update',
    'history',
  ]);
  await sleep(2 * READING_MS);
}

await globalSetup();
try {
  await main();
} finally {
  await globalTeardown();
}
process.exit();
