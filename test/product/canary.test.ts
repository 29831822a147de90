/**
 * Token theft: after a life with every fault, a canary is nowhere: logs, journal, files, process
 * list, environments of children, answers.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { filesOf, processesOf } from '../support/canary.ts';
import { Product, TOKEN } from '../support/product.ts';

const PASSWORD = 'canary-proxy-password';
const CANARIES = [TOKEN, PASSWORD];
const APP = 'app.tar.gz';

describe('a canary', () => {
  it('is nowhere after a full run with every fault, in text and in JSON, with VERBOSE on', {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async () => {
    await using product = await Product.create();
    const secret = path.join(product.root, 'token.secret');
    writeFileSync(secret, `${TOKEN}\n`, { mode: 0o600 });
    delete product.env['UPDATE_GH_TOKEN'];
    Object.assign(product.env, {
      UPDATE_GH_TOKEN_FILE: secret,
      // Only https goes through it, and GitHub is on loopback here.
      HTTPS_PROXY: `http://user:${PASSWORD}@127.0.0.1:9`,
      NO_PROXY: '127.0.0.1,localhost',
      VERBOSE: '1',
      SLEEP: '3600',
      UPDATE_PRE_STOP_CMD: 'env; cat /proc/self/environ | tr "\\0" "\\n"',
      UPDATE_POST_UPDATE_CMD: 'env; false',
    });
    const said: string[] = [];
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await product.command(args);
      said.push(stdout, stderr);
    };
    const { github } = product;
    github.publish('v0.0.1', { [APP]: await appArchive({ version: '0.0.1', port: product.port }) });
    product.start();
    await product.fact('versionBecameHealthy');

    // A server that says our token back to us, in every place that we might repeat.
    const echo = JSON.stringify({
      message: `Bad credentials: ${TOKEN}`,
      documentation_url: `https://x/?t=${TOKEN}`,
    });
    const echoing = async (...statuses: number[]) => {
      for (const status of statuses) {
        github.misbehave = {
          api: {
            status,
            body: echo,
            headers: { location: `http://${TOKEN}.example/${TOKEN}`, 'x-echo': TOKEN },
          },
        };
        await run('update');
        await run('check', '--json');
      }
    };
    await echoing(400, 401, 404, 500, 200);
    github.misbehave = {
      api: { status: 302, body: '', headers: { location: `http://evil.example/?token=${TOKEN}` } },
    };
    await run('update');
    github.misbehave = { api: { status: 200, body: `<html>${TOKEN}` } };
    await run('update');
    // A release that is full of it, and whose download fails in several ways.
    github.misbehave = {};
    github.publish(
      'v0.0.2',
      {
        [APP]: await appArchive({ version: '0.0.2', port: product.port }),
        [`${TOKEN}.txt`]: Buffer.from(TOKEN),
      },
      { body: TOKEN },
    );
    for (const misbehave of [
      { assetStatus: 403 },
      { cutAfterBytes: 10 },
      { redirectTo: `https://evil.example/?sig=${TOKEN}` },
      { lie: Buffer.from(TOKEN) },
    ]) {
      github.misbehave = misbehave;
      await run('update');
    }
    github.misbehave = {};
    await run('update');
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await product.fact(
      'hookFailed',
      ({ code, seq }) => code === 'POST_UPDATE_HOOK_FAILED' && seq > 20,
    );
    github.publish(`v0.0.3-${TOKEN}`, {}, { prerelease: true });
    await run('install', `v0.0.3-${TOKEN}`.slice(0, 8));
    // Limits are obeyed from here on.
    await echoing(403, 429);
    const children = processesOf(product.root);
    assert.ok(children.length > 1, 'the app and the updater are among them');
    for (const command of ['status', 'history', 'events', 'replay', 'verify']) {
      await run(command);
      await run(command, '--json');
    }
    await product.killUpdater();
    Object.assign(product.env, { UPDATE_LOG_FORMAT: 'json', UPDATE_RANGE: 'not a range' });
    await run('status');

    assert.ok(
      product.log.some((line) => line.includes('[secret]')),
      'the canary came by, and was caught',
    );
    for (const canary of CANARIES) {
      assert.ok(!product.log.join('\n').includes(canary), 'in the log');
      assert.ok(!product.output.join('\n').includes(canary), "in the app's output");
      for (const text of said)
        assert.ok(!text.includes(canary), `in what a command said: ${text.slice(0, 500)}`);
      for (const { file, content } of filesOf(product.root))
        if (file !== secret) assert.ok(!content.includes(canary), `in ${file}`);
      for (const { pid, text } of children)
        if (canary === TOKEN) assert.ok(!text.includes(canary), `in process ${pid}`);
    }
    const strangers = github.requests.filter(({ path: asked }) => asked.startsWith('/storage/'));
    assert.ok(strangers.length > 0);
    assert.ok(
      strangers.every(({ headers }) => headers.authorization === undefined),
      'another origin was given the token',
    );
  });

  it('that a server says back in a tag is in no fact, status, file or answer: such a release is not followed', async () => {
    await using product = await Product.create({
      env: { SLEEP: '3600', UPDATE_PRERELEASE: '1', UPDATE_STRATEGY: 'download-then-kill' },
    });
    const api = new URL(product.github.url);
    Object.assign(product.env, {
      UPDATE_GH_API_URL: `http://ops:canary-api-password@${api.host}`,
      UPDATE_HEALTH_INTERVAL: '0.1',
      UPDATE_HEALTH_URL: `http://ops:hunter2xyz@127.0.0.1:${product.port}/`,
      VERBOSE: '1',
    });
    const said: string[] = [];
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await product.command(args);
      said.push(stdout, stderr);
    };
    product.start();
    await product.fact('versionBecameHealthy');
    for (const tag of [
      `v0.0.3-${TOKEN}`,
      `v0.0.4-${Buffer.from(TOKEN).toString('hex')}`,
      'v0.0.5-hunter2xyz',
    ])
      product.github.publish(
        tag,
        { [`app_${tag}.tar.gz`]: await appArchive({ version: '0.0.3', port: product.port }) },
        { prerelease: true },
      );
    for (const command of ['check', 'update', 'status', 'events', 'history', 'replay']) {
      await run(command);
      await run(command, '--json');
    }
    await run('install', `v0.0.3-${TOKEN}`);
    await run('deny', `0.0.3-${TOKEN}`);
    await run('status', '--json');
    await run('events', '--json');
    // Plain http to elsewhere, and no address at all, are complained of.
    for (const url of [
      'http://ops:canary-api-password@github.corp/',
      'ops:canary-api-password@github.corp',
    ]) {
      product.env['UPDATE_GH_API_URL'] = url;
      await run('status');
    }
    const everything = [
      ...said,
      product.log.join('\n'),
      ...[...filesOf(product.root)].map(({ content }) => content),
    ];
    for (const canary of [
      TOKEN,
      Buffer.from(TOKEN).toString('hex'),
      'canary-api-password',
      'hunter2xyz',
    ])
      for (const text of everything)
        assert.ok(
          !text.includes(canary),
          `${canary} in ${text.slice(Math.max(0, text.indexOf(canary) - 200), text.indexOf(canary) + 100)}`,
        );
    assert.match(said.join('\n'), /\[secret\]/, 'the canary came by, and was caught');
  });
});
