import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import type { Notice } from '../../src/notify/notice.ts';
import { appArchive, archive } from '../support/app.ts';
import { Product } from '../support/product.ts';
import { validatorOf } from '../support/schema.ts';

/** A receiver as Slack, Discord or anybody has one. */
class Receiver implements AsyncDisposable {
  readonly notices: Notice[] = [];
  /** What it answers; null: nothing, ever. */
  status: number | null = 200;
  readonly #server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      if (this.status === null) return;
      if (this.status === 200) this.notices.push(JSON.parse(body) as Notice);
      response
        .writeHead(this.status, this.status === 302 ? { location: 'http://127.0.0.1:1/' } : {})
        .end('ok');
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  });
  readonly #waiting: (() => void)[] = [];

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/services/T000/secret-of-the-address`;
  }

  async until(event: string): Promise<Notice> {
    for (;;) {
      const found = this.notices.find((notice) => notice.event === event);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const ASSET = 'app.tar.gz';
async function publish({ github, port }: Product, version: string): Promise<void> {
  github.publish(`v${version}`, { [ASSET]: await appArchive({ version, port }) });
}
const broken = () => archive({ app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } });

describe('the recipe for Matrix', () => {
  it('sends a message to the room, with the id of the notification as transaction', async () => {
    const asked: {
      method?: string | undefined;
      path?: string | undefined;
      authorization?: string | undefined;
      body: string;
    }[] = [];
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        asked.push({
          method: request.method,
          path: request.url,
          authorization: request.headers.authorization,
          body,
        });
        response.end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const directory = mkdtempSync(path.join(os.tmpdir(), 'matrix-'));
    try {
      const file = path.join(directory, 'matrix.json');
      writeFileSync(
        file,
        JSON.stringify({
          server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
          room: '!abc:example.com',
          token: 't',
        }),
      );
      const recipe = path.join(import.meta.dirname, '..', '..', 'examples', 'recipes', 'matrix.js');
      await execa(process.execPath, [recipe], {
        input: JSON.stringify({ id: 'acme/app/57', text: 'updated' }),
        env: { MATRIX_FILE: file },
      });
      assert.deepEqual(asked, [
        {
          method: 'PUT',
          path: '/_matrix/client/v3/rooms/!abc%3Aexample.com/send/m.room.message/acme%2Fapp%2F57',
          authorization: 'Bearer t',
          body: '{"msgtype":"m.text","body":"updated"}',
        },
      ]);
    } finally {
      server.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe('notifications', { concurrency: 2 }, () => {
  it('come when a version was updated and when one was rolled back, in the documented shape, without the token', async () => {
    await using receiver = new Receiver();
    await using product = await Product.create({
      env: { UPDATE_NOTIFY_URL: await receiver.listen(), UPDATE_STRATEGY: 'download-then-kill' },
    });
    await publish(product, '0.0.1');
    const updater = product.start();
    await product.fact('versionBecameHealthy');
    await publish(product, '0.0.2');
    updater.kill('SIGHUP');
    const updated = await receiver.until('updated');
    assert.deepEqual(
      [updated.repository, updated.from, updated.to],
      ['acme/app', '0.0.1', '0.0.2'],
    );
    product.github.publish('v0.0.3', { [ASSET]: await broken() });
    updater.kill('SIGHUP');
    const back = await receiver.until('rolledBack');
    assert.deepEqual([back.from, back.to, back.code], ['0.0.3', '0.0.2', 'APP_EXITED']);
    const schema = JSON.parse(
      readFileSync(
        path.join(import.meta.dirname, '..', '..', 'docs', 'notification.schema.json'),
        'utf8',
      ),
    ) as object;
    const fits = validatorOf(schema);
    for (const notice of receiver.notices) assert.ok(fits(notice), JSON.stringify(fits.errors));
    assert.deepEqual(
      receiver.notices.map(({ event }) => event),
      ['updated', 'rolledBack'],
      'and nothing else: the first start is no news',
    );
  });

  it('are tried again by the next run when the receiver was away, and its address is in no log', async () => {
    await using receiver = new Receiver();
    const address = await receiver.listen();
    await using product = await Product.create({
      env: { UPDATE_NOTIFY_URL: address, UPDATE_STRATEGY: 'download-then-kill' },
    });
    await publish(product, '0.0.1');
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    await publish(product, '0.0.2');
    receiver.status = 503;
    const { stdout, stderr } = await product.command(['run', '--once', '--now']);
    assert.match(stderr, /127\.0\.0\.1:\d+ answered 503 to a notification.*NOTIFY_FAILED/);
    assert.ok(Number(stdout) <= 10, `it wants to run again soon: ${stdout}`);
    receiver.status = 200;
    // Bounded by the test's time limit.
    while (receiver.notices.length === 0) await product.command(['run', '--once']);
    assert.deepEqual(
      receiver.notices.map(({ event, to }) => [event, to]),
      [['updated', '0.0.2']],
    );
    const events = JSON.stringify(await product.events());
    for (const text of [stderr, events, JSON.stringify(await product.status())])
      assert.ok(!text.includes('secret-of-the-address'));
  });

  for (const [how, status] of [
    ['never answers', null],
    ['redirects elsewhere', 302],
  ] as const) {
    it(`keep nobody waiting when the receiver ${how}`, async () => {
      await using receiver = new Receiver();
      receiver.status = status;
      await using product = await Product.create({
        env: { UPDATE_NOTIFY_URL: await receiver.listen(), UPDATE_STRATEGY: 'download-then-kill' },
      });
      await publish(product, '0.0.1');
      const updater = product.start();
      await product.fact('versionBecameHealthy');
      for (const version of ['0.0.2', '0.0.3']) {
        await publish(product, version);
        updater.kill('SIGHUP');
        const healthy = await product.fact(
          'versionBecameHealthy',
          (fact) => fact.version === version,
        );
        const found = await product.fact(
          'releaseFound',
          ({ release }) => release.version === version,
        );
        assert.ok(
          Date.parse(healthy.at) - Date.parse(found.at) < 5000,
          'no update waits for the 10 s that a receiver has',
        );
      }
    });
  }

  it('count a command that never ends as failed, and are not tried for ever', async () => {
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_NOTIFY_CMD: 'sleep 60', SLEEP: '3600' },
    });
    await publish(product, '0.0.1');
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    const { stdout, stderr } = await product.command(['run', '--once', '--now']);
    assert.match(
      stderr,
      /took longer than 10 s and was killed; it is tried again \[NOTIFY_FAILED\]/,
    );
    const next = await product.command(['run', '--once']);
    assert.equal(next.stderr, '', 'it is not yet time for the next try');
    assert.ok(Number(stdout) > 0 && Number(stdout) <= 10, `${stdout} s until the next run`);
  });

  it('wait for nothing that a command left in the background', async () => {
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_NOTIFY_CMD: 'sleep 60 & echo told' },
    });
    await publish(product, '0.0.1');
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    const { stderr } = await product.command(['run', '--once', '--now']);
    assert.match(stderr, /notify command: told/);
    // Whoever waited would have ended the command after ten seconds, and said so.
    assert.doesNotMatch(stderr, /NOTIFY_FAILED/);
  });

  it('leave alone what an address has in common with the words of a release', async () => {
    await using receiver = new Receiver();
    const { origin } = new URL(await receiver.listen());
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_NOTIFY_URL: `${origin}/releases` },
    });
    await publish(product, '0.0.1');
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    await product.command(['run', '--once', '--now']);
    await receiver.until('updated');
    assert.equal((await product.status()).version, '0.0.2');
  });

  it('reach a command: the notice on its standard input, nothing of ours in its environment', async () => {
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', UPDATE_HTTP_TOKEN: 'canary-of-http' },
    });
    const script = path.join(product.root, 'notify.sh');
    writeFileSync(
      script,
      `#!/bin/sh\n{ cat; env; } >> "$HOME/told"\necho "told of $UPDATE_NOTICE"\n`,
    );
    chmodSync(script, 0o755);
    product.env['UPDATE_NOTIFY_CMD'] = script;
    await publish(product, '0.0.1');
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    const { stderr } = await product.command(['run', '--once', '--now']);
    assert.match(stderr, /notify command: told of updated/);
    const [line = '', ...environment] = readFileSync(path.join(product.root, 'told'), 'utf8').split(
      '\n',
    );
    assert.equal((JSON.parse(line) as Notice).event, 'updated');
    assert.deepEqual(
      environment.filter((variable) => variable.startsWith('UPDATE_')),
      ['UPDATE_NOTICE=updated'],
    );
    assert.ok(!environment.join().includes('canary'));
  });
});
