import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { WebSocket } from 'ws';
import { appArchive } from '../support/app.ts';
import { freePort, Product } from '../support/product.ts';

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'demo.ts');

const INSPECTED = path.join(path.dirname(SCRIPT), 'inspected.ts');

describe('the demonstration', { concurrency: 2 }, () => {
  it('shows an update and a broken download, and ends well', async () => {
    const { exitCode, stdout } = await execa(process.execPath, [SCRIPT], { reject: false });
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /v0\.0\.2 answers\. Downtime: \d+ ms/);
    assert.match(stdout, /The app keeps running: v0\.0\.2 answers/);
  });

  it('shows the machine move to an XState inspector, who speaks to its relay', async () => {
    const port = await freePort();
    const demo = execa(process.execPath, [SCRIPT, '--inspect', '--inspect-port', String(port)], {
      reject: false,
    });
    const seen = new Set<string>();
    const states = new Set<string>();
    const listener = await connected(port, (data) => {
      const event = JSON.parse(data.toString()) as { type: string; snapshot?: { value: unknown } };
      seen.add(event.type);
      if (event.snapshot !== undefined) states.add(JSON.stringify(event.snapshot.value) ?? '');
    });
    const { exitCode, stdout } = await demo;
    listener.close();
    assert.equal(exitCode, 0, stdout);
    for (const type of ['@xstate.actor', '@xstate.event', '@xstate.snapshot'])
      assert.ok(seen.has(type), [...seen].join());
    for (const state of ['checking', 'downloading', 'forUpdate', 'switching', 'starting'])
      assert.ok(
        [...states].some((value) => value.includes(`"${state}"`)),
        [...states].join(),
      );
  });

  it('shows an XState inspector how a journal led to where the machine is, before what is new', async () => {
    const port = await freePort();
    await using product = await Product.create({
      env: { UPDATE_STRATEGY: 'download-then-kill', INSPECT_PORT: String(port) },
      entry: INSPECTED,
    });
    product.github.publish('v0.0.2', {
      'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
    });
    await product.command(['run', '--once'], { INSPECT_PORT: String(await freePort()) });
    const journaled = (await product.events()).map(({ type }) => type);
    assert.ok(journaled.includes('versionBecameHealthy'));
    const seen: string[] = [];
    product.start();
    const live = Promise.withResolvers<void>();
    const listener = await connected(port, (data) => {
      const { type, event } = JSON.parse(data.toString()) as {
        type: string;
        event?: { type: string };
      };
      if (type === '@xstate.event' && event !== undefined) seen.push(event.type);
      if (seen.at(-1) === 'paused') live.resolve();
    });
    await product.command(['pause']);
    await live.promise;
    listener.close();
    assert.deepEqual(seen.slice(0, journaled.length), journaled);
    assert.equal(seen.at(-1), 'paused');
  });
});

/**
 * The relay tells a late listener at once what came before, so it has to listen from the first
 * moment.
 */
async function connected(port: number, onMessage: (data: Buffer) => void): Promise<WebSocket> {
  for (;;) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`).on('message', onMessage);
    const opened = await new Promise<boolean>((resolve) => {
      socket.on('open', () => resolve(true));
      socket.on('error', () => resolve(false));
    });
    if (opened) return socket;
    await sleep(20);
  }
}
