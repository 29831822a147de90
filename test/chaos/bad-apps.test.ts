/**
 * New versions that misbehave in every way: the old one comes back, the reason is on record, and a
 * good release after that is taken.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { appArchive, appSource, archive } from '../support/app.ts';
import { cases } from '../support/chaos/cases.ts';
import { Scenario } from '../support/chaos/scenario.ts';
import { ask } from '../support/prober.ts';
import type { Product } from '../support/product.ts';

type Files = Parameters<typeof archive>[0];
type BadApp = {
  title: string;
  files: (source: string, port: number) => Files;
  env?: (port: number) => Record<string, string>;
  /** `runs`: odd, but it does what it has to. `refused`: not even tried. */
  /** `waits`: this machine lacks something, so the release is tried again and not denied. */
  ends: 'rolledBack' | 'refused' | 'waits' | 'runs';
  code?: RegExp;
  /** It goes wrong later than probation. */
  later?: boolean;
};

const shebang = `#!${process.execPath}\n`;
const health = (port: number) => ({
  UPDATE_HEALTH_URL: `http://127.0.0.1:${port}/`,
  UPDATE_HEALTH_START_PERIOD: '0.5',
  UPDATE_HEALTH_INTERVAL: '0.1',
  UPDATE_HEALTH_TIMEOUT: '0.3',
  UPDATE_HEALTH_RETRIES: '2',
});
/** The honest app, with a few more lines. */
const also =
  (lines: string) =>
  (source: string): Files => ({ app: { content: `${source}\n${lines}`, mode: 0o755 } });
/** Nothing of the honest app. */
const only = (lines: string) => (): Files => ({ app: { content: shebang + lines, mode: 0o755 } });
const daemon = (detached: boolean) =>
  `require('node:child_process').spawn('sleep', ['1000'], { detached: ${detached}, stdio: 'ignore' }).unref();`;
const hungry = "process.on('SIGTERM', () => {});";

const apps: BadApp[] = [
  {
    title: 'ends at once, with status 0',
    files: only('process.exit(0)'),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'ends at once, with status 1',
    files: only('process.exit(1)'),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'throws',
    files: only("throw new Error('no configuration')"),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'is killed by a signal',
    files: only("process.kill(process.pid, 'SIGSEGV')"),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'answers, and ends on probation',
    files: also('setTimeout(() => process.exit(1), 150)'),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'puts itself into the background and ends',
    files: (source) => ({
      app: {
        content: `${shebang}require('node:child_process').spawn(__dirname + '/server', { detached: true, stdio: 'ignore' }).unref();`,
        mode: 0o755,
      },
      server: { content: source, mode: 0o755 },
    }),
    env: () => ({ UPDATE_APP_COMMAND: './app' }),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'never answers its health check',
    files: only('setInterval(() => {}, 1000)'),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'answers its health check with 500',
    files: (source) => ({
      app: {
        content: source.replace('response.end(', 'response.writeHead(500).end('),
        mode: 0o755,
      },
    }),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'answers its health check with a redirect',
    files: (source) => ({
      app: {
        content: source.replace(
          'response.end(',
          "response.writeHead(302, { location: 'https://example.com' }).end(",
        ),
        mode: 0o755,
      },
    }),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'takes the connection of its health check, and says nothing',
    files: (source) => ({
      app: { content: source.replace(/response\.end\([^)]*\)/, 'undefined'), mode: 0o755 },
    }),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'is healthy once, and then no more',
    files: (source) => ({
      app: {
        content: source.replace(
          'response.end(',
          'response.writeHead(process.uptime() > 0.4 ? 503 : 200).end(',
        ),
        mode: 0o755,
      },
    }),
    env: (port) => ({ ...health(port), UPDATE_PROBATION: '1.5', UPDATE_HEALTH_START_PERIOD: '0' }),
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'fails a health command',
    files: also(''),
    env: () => ({
      UPDATE_HEALTH_CMD: 'test ! -e "$HOME/sick" && exit 3',
      UPDATE_HEALTH_START_PERIOD: '0',
      UPDATE_HEALTH_INTERVAL: '0.1',
      UPDATE_HEALTH_RETRIES: '2',
    }),
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'makes a health command hang',
    files: also(''),
    env: () => ({
      UPDATE_HEALTH_CMD: 'sleep 100',
      UPDATE_HEALTH_START_PERIOD: '0',
      UPDATE_HEALTH_INTERVAL: '0.1',
      UPDATE_HEALTH_TIMEOUT: '0.2',
      UPDATE_HEALTH_RETRIES: '2',
    }),
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'is slow to start, longer than the start period',
    files: (source) => ({
      app: {
        content: source
          .replace('server.listen(', 'setTimeout(() => server.listen(')
          .replace(/(listening on .*)\);$/m, '$1), 5000);'),
        mode: 0o755,
      },
    }),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'is slow to start, but not too slow',
    files: (source) => ({
      app: {
        content: source
          .replace('server.listen(', 'setTimeout(() => server.listen(')
          .replace(/(listening on .*)\);$/m, '$1), 300);'),
        mode: 0o755,
      },
    }),
    env: (port) => ({ ...health(port), UPDATE_HEALTH_START_PERIOD: '3' }),
    ends: 'runs',
  },
  {
    title: 'crash-loops after its probation',
    files: also('setTimeout(() => process.exit(1), 300)'),
    env: () => ({ UPDATE_PROBATION: '0' }),
    ends: 'rolledBack',
    code: /CRASH_LOOP/,
    later: true,
  },
  {
    title: 'ignores TERM, and crash-loops after its probation',
    files: also(`${hungry} setTimeout(() => process.exit(1), 300)`),
    env: () => ({ UPDATE_PROBATION: '0' }),
    ends: 'rolledBack',
    code: /CRASH_LOOP/,
    later: true,
  },
  {
    title: 'fails on probation and ignores TERM',
    files: (source) => ({
      app: {
        content: `${source.replace('response.end(', 'response.writeHead(500).end(')}\n${hungry}`,
        mode: 0o755,
      },
    }),
    env: health,
    ends: 'rolledBack',
    code: /UNHEALTHY/,
  },
  {
    title: 'fails on probation and leaves a daemon',
    files: also(`${daemon(true)} setTimeout(() => process.exit(1), 100)`),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'fails on probation and keeps the port by a child',
    files: (source) => ({
      app: {
        content: `${shebang}require('node:child_process').spawn(__dirname + '/server', { stdio: 'ignore' }); setTimeout(() => process.exit(1), 150);`,
        mode: 0o755,
      },
      server: { content: source, mode: 0o755 },
    }),
    env: () => ({ UPDATE_APP_COMMAND: './app' }),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'starts fifty children and ends',
    files: only(`for (let i = 0; i < 50; i++) { ${daemon(false)} } process.exit(1);`),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'writes 50 MB to its output and ends',
    files: only("require('node:fs').writeSync(1, Buffer.alloc(50_000_000, 97)); process.exit(1);"),
    env: () => ({ UPDATE_PROBATION: '3' }),
    ends: 'rolledBack',
    code: /APP_EXITED/,
  },
  {
    title: 'has an interpreter that is not there',
    files: () => ({ app: { content: '#!/nowhere/interpreter\n', mode: 0o755 } }),
    ends: 'waits',
    code: /INTERPRETER_MISSING/,
  },
  {
    title: 'is a program for another machine',
    files: () => ({
      app: {
        content: Buffer.concat([
          Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]),
          Buffer.alloc(56, 0xff),
        ]),
        mode: 0o755,
      },
    }),
    ends: 'refused',
    code: /WRONG_PLATFORM/,
  },
  {
    title: 'removes its own tree and goes on',
    files: also(
      "try { require('node:fs').rmSync(__dirname, { recursive: true, force: true }); } catch {}",
    ),
    ends: 'runs',
  },
  {
    title: 'writes into its own tree',
    files: also(
      "try { require('node:fs').writeFileSync(__dirname + '/LICENSE', 'mine'); } catch {}",
    ),
    ends: 'runs',
  },
  { title: 'ignores TERM', files: also(hungry), ends: 'runs' },
  { title: 'starts a daemon in a session of its own', files: also(daemon(true)), ends: 'runs' },
  {
    title: 'writes 20 MB to its output',
    files: also("process.stdout.write('x'.repeat(20_000_000));"),
    ends: 'runs',
  },
  {
    title: 'is setuid',
    files: (source) => ({ app: { content: source, mode: 0o4755 } }),
    ends: 'runs',
  },
  {
    title: 'is not executable',
    files: (source) => ({ app: { content: source, mode: 0o644 } }),
    ends: 'runs',
  },
  {
    title: 'is one of two programs, none named like the repository',
    files: (source) => ({
      one: { content: source, mode: 0o755 },
      two: { content: source, mode: 0o755 },
    }),
    ends: 'refused',
    code: /ENTRY_POINT_MISSING/,
  },
  {
    title: 'is in a directory of its own',
    files: (source) => ({
      'bin/app': { content: source, mode: 0o755 },
      LICENSE: { content: 'MIT' },
    }),
    ends: 'refused',
    code: /ENTRY_POINT_MISSING/,
  },
  {
    title: 'is an empty file',
    files: () => ({ app: { content: '', mode: 0o755 } }),
    ends: 'refused',
    code: /ENTRY_POINT_MISSING/,
  },
];

const baseOf = (product: Product, version: string) => appSource({ version, port: product.port });

/** Only processes of one version, and one that leads them. */
async function oneVersion({ product }: Scenario, version: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (
    (await ask(product.port)) !== version ||
    product.apps().some(({ tree }) => !tree.includes(`${version}-`))
  ) {
    assert.ok(
      performance.now() < deadline,
      `${version} is not what runs: ${JSON.stringify(product.apps())}`,
    );
    await sleep(25);
  }
}

cases(
  'bad-apps',
  apps,
  { sample: apps.length, concurrency: 3 },
  async ({ files, env, ends, code, later }) => {
    const next = async (product: Product) =>
      archive({ ...files(baseOf(product, '0.0.2'), product.port) });
    await using scenario = await Scenario.prepare(
      { strategy: 'download-then-kill', story: 'update', mode: 'once' },
      { next },
    );
    const { product } = scenario;
    // Long enough for Node to start and fail on a busy machine.
    const settings = { UPDATE_PROBATION: '2', ...env?.(product.port) };
    if (later) {
      product.start(['--now'], { extraEnv: settings });
      await product.fact('appCrashLooped');
      await oneVersion(scenario, '0.0.1');
      await product.killUpdater();
    } else await scenario.update({ prefix: [], env: settings, ended: async () => {} });
    await oneVersion(scenario, ends === 'runs' ? '0.0.2' : '0.0.1');
    const { denied, lastError } = await product.status();
    const denial = denied.find(({ version }) => version === '0.0.2');
    if (ends === 'runs' || ends === 'waits') assert.equal(denial, undefined);
    if (ends !== 'runs')
      assert.match((ends === 'waits' ? lastError?.code : denial?.code) ?? 'nothing', code ?? /./);
    assert.equal(
      scenario.records().some(({ fact }) => fact.type === 'switchStarted' && fact.to === '0.0.2'),
      ends === 'rolledBack' || ends === 'runs',
    );
    // Whatever it left behind, the next release finds its place.
    product.github.publish('v0.0.3', {
      'app.tar.gz': await appArchive({ version: '0.0.3', port: product.port }),
    });
    const { stderr } = await product.command(['update']);
    await oneVersion(scenario, '0.0.3');
    assert.equal(product.apps().length, 1, stderr);
    const waits = `not started, 0.0.1 goes on (${lastError?.code})`;
    return {
      runs: '0.0.2 runs',
      waits,
      refused: `refused before 0.0.1 was touched (${denial?.code})`,
      rolledBack: `0.0.1 came back (${denial?.code})`,
    }[ends];
  },
);
