/** UPDATE_STRATEGY=hand-over without a container: no request fails, and a bad version never serves. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { archive } from '../support/app.ts';
import { freePort, Product } from '../support/product.ts';

const SERVES = `
if (Number(process.env.LISTEN_PID) !== process.pid) throw new Error('not for this process');
const server = require('node:http').createServer((q, r) => r.setHeader('connection', 'close').end(VERSION));
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;
/** What a version does instead. */
const BAD: Readonly<Record<string, { program: string; code: string }>> = {
  'exits at once': { program: 'process.exit(3);', code: 'APP_EXITED' },
  'exits after a while': {
    program: 'setTimeout(() => process.exit(3), 300);',
    code: 'APP_EXITED',
  },
  'is never ready': { program: 'setInterval(() => {}, 1000);', code: 'UNHEALTHY' },
  'ignores TERM and is never ready': {
    program: "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);",
    code: 'UNHEALTHY',
  },
};

const app = (version: string, program: string) =>
  archive({
    app: {
      mode: 0o755,
      content: `#!${process.execPath}\nconst VERSION = '${version}';\n${program}\n`,
    },
  });

function ask(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
}

/** New connections, one every 10 ms, until it is stopped. */
function load(port: number) {
  const answers: string[] = [];
  const failures: string[] = [];
  const stop = new AbortController();
  const done = (async () => {
    const asked: Promise<unknown>[] = [];
    while (!stop.signal.aborted) {
      asked.push(
        ask(port).then(
          (text) => answers.push(text),
          (error: Error) => failures.push(error.message),
        ),
      );
      await sleep(10);
    }
    await Promise.all(asked);
  })();
  return {
    answers,
    failures,
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

async function eventsOf(product: Product): Promise<{ type: string }[]> {
  const { stdout } = await product.command(['events', '--json']);
  return stdout.split('\n').map((line) => JSON.parse(line));
}

async function serving(env: Record<string, string> = {}) {
  const port = await freePort();
  const product = await Product.create({
    baked: null,
    env: {
      UPDATE_LISTEN: `127.0.0.1:${port}`,
      UPDATE_STRATEGY: 'hand-over',
      UPDATE_PROBATION: '1',
      ...env,
    },
  });
  const publish = async (version: string, program = SERVES) =>
    product.github.publish(`v${version}`, { 'app.tar.gz': await app(version, program) });
  await publish('0.0.1');
  product.start();
  await product.fact('versionBecameHealthy');
  return { product, port, publish };
}

describe('a hand-over, embedded', () => {
  it('loses no request through two updates, and ends with one copy', async () => {
    const { product, port, publish } = await serving();
    await using _ = product;
    const { answers, failures, end } = load(port);
    for (const version of ['0.0.2', '0.0.3']) {
      await publish(version);
      assert.equal((await product.command(['update'])).exitCode, 0);
    }
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
    assert.equal(await ask(port), '0.0.3');
    await end();
    assert.deepEqual(failures, []);
    assert.deepEqual([...new Set(answers)], ['0.0.1', '0.0.2', '0.0.3']);
    const told = (await eventsOf(product)).map(({ type }) => type);
    assert.equal(told.filter((type) => type === 'otherCopyStopped').length, 2);
    assert.equal(told.filter((type) => type === 'appStopped').length, 1);
  });

  for (const [what, { program, code }] of Object.entries(BAD)) {
    it(`a version that ${what} is denied, and nobody noticed`, async () => {
      const { product, port, publish } = await serving({
        UPDATE_HEALTH_CMD: '! ls -l /proc/$UPDATE_APP_PID/cwd | grep -q 0.0.2',
      });
      await using _ = product;
      const { answers, failures, end } = load(port);
      await publish('0.0.2', program);
      await product.command(['update']);
      await product.fact('otherCopyStopped');
      await end();
      assert.deepEqual(failures, []);
      assert.deepEqual([...new Set(answers)], ['0.0.1']);
      const { denied, version } = JSON.parse((await product.command(['status', '--json'])).stdout);
      assert.equal(version, '0.0.1');
      assert.deepEqual(
        denied.map((one: { version: string; code: string }) => [one.version, one.code]),
        [['0.0.2', code]],
      );
    });
  }
});
