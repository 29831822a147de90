/** Variables that are meant for the app act on the app, and not on the updater beside it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

/** Each acts on a Node that it reaches. */
const FOR_THE_APP: Record<string, string> = {
  NODE_OPTIONS: '--no-deprecation --max-old-space-size=111',
  NODE_DEBUG: 'http,https,net,module',
  NODE_PATH: '/nonexistent',
  NODE_TLS_REJECT_UNAUTHORIZED: '0',
  NODE_ENV: 'production',
  UV_THREADPOOL_SIZE: '1',
  LD_LIBRARY_PATH: '/nonexistent',
  OPENSSL_CONF: '/dev/null',
};
/** The shell of a command drops it; an app that is no shell has it. */
const ODD = { 'spring.datasource.url': 'jdbc:x\ny' };

const environOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));

describe("the app's variables", { concurrency: 2 }, () => {
  it('do not reach a resident updater, which keeps its pid; the app and its health command get them as they were', async () => {
    await using product = await Product.create();
    const seen = path.join(product.root, 'seen');
    const updater = product.start([], {
      extraEnv: { ...FOR_THE_APP, ...ODD, UPDATE_HEALTH_CMD: `env -0 > ${seen}` },
    });
    await using prober = new Prober(product.port).start();
    await prober.answers('0.0.1');
    const names = environOf(updater.pid ?? 0).map(nameOf);
    assert.deepEqual(
      names.filter((name) => name in FOR_THE_APP),
      [],
    );
    const [app] = product.apps();
    const given = [environOf(app?.pid ?? 0)];
    assert.ok(given[0]?.includes(`spring.datasource.url=${ODD['spring.datasource.url']}`));
    await product.fact('versionBecameHealthy');
    given.push(readFileSync(seen, 'utf8').split('\0'));
    for (const variables of given) {
      for (const [name, value] of Object.entries(FOR_THE_APP))
        assert.ok(
          variables.includes(`${name}=${value}`),
          `${name} in ${variables.map(nameOf).join()}`,
        );
      assert.deepEqual(
        variables
          .map(nameOf)
          .filter((name) => name.startsWith('SELF_UPDATE_KEPT_') || name === 'UPDATE_GH_TOKEN'),
        [],
      );
    }
    // The app writes such lines to the same stream.
    const debug = product.log.filter((line) =>
      new RegExp(`^(?:HTTPS?|NET) ${updater.pid}:`).test(line),
    );
    assert.deepEqual(debug, []);
  });

  it('that name files to be written are not obeyed by a command', async () => {
    await using product = await Product.create();
    const at = (name: string): string => path.join(product.root, name);
    const { stdout, stderr, exitCode } = await product.command(['status', '--json'], {
      NODE_REDIRECT_WARNINGS: at('warnings'),
      NODE_PENDING_DEPRECATION: '1',
      NODE_DEBUG: 'http',
      SSLKEYLOGFILE: at('keys'),
    });
    assert.equal(exitCode, 0, stderr);
    assert.equal(stderr.split('\n').filter((line) => /^HTTP /.test(line)).length, 0, stderr);
    assert.ok(JSON.parse(stdout));
    for (const name of ['warnings', 'keys']) assert.ok(!existsSync(at(name)), name);
  });

  it('may name a module to be loaded first, which is not in the updater that works', async () => {
    await using product = await Product.create();
    const module = path.join(product.root, 'preload.cjs');
    // The process that starts anew by execve(2) has no end of its own.
    writeFileSync(
      module,
      "process.on('exit', () => require('node:fs').appendFileSync(__dirname + '/loaded', process.argv.join(' ') + '\\n'));\n",
    );
    await product.command(['check'], { NODE_OPTIONS: `--require=${module}` });
    assert.ok(
      !existsSync(path.join(product.root, 'loaded')),
      'the process that worked had loaded it',
    );
  });
});
