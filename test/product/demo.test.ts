import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { WebSocket } from 'ws';
import { freePort } from '../support/product.ts';

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'demo.ts');

describe('the demonstration', { concurrency: 2 }, () => {
  it('shows an update and a broken download in under 30 s, and ends well', async () => {
    const { exitCode, stdout, durationMs } = await execa(process.execPath, [SCRIPT], { reject: false, timeout: 60_000 });
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /v0\.0\.2 answers\. Nobody answered for \d+ ms/);
    assert.match(stdout, /The app goes on: v0\.0\.2 answers/);
    assert.ok(durationMs < 30_000);
  });

  it('shows the machine move to an XState inspector, who speaks to its relay', async () => {
    const port = await freePort();
    const demo = execa(process.execPath, [SCRIPT, '--inspect', '--inspect-port', String(port)], { reject: false, timeout: 60_000 });
    const seen = new Set<string>();
    const states = new Set<string>();
    const listener = await connected(port, (data) => {
      const event = JSON.parse(data.toString()) as { type: string; snapshot?: { value: unknown } };
      seen.add(event.type);
      states.add(JSON.stringify(event.snapshot?.value));
    });
    const { exitCode, stdout } = await demo;
    listener.close();
    assert.equal(exitCode, 0, stdout);
    for (const type of ['@xstate.actor', '@xstate.event', '@xstate.snapshot']) assert.ok(seen.has(type), [...seen].join());
    for (const state of ['checking', 'downloading', 'stopping', 'switching', 'starting']) assert.ok(states.has(`"${state}"`), [...states].join());
  });
});

/** The relay tells a late listener at once what came before, so it has to listen from the first moment. */
async function connected(port: number, onMessage: (data: Buffer) => void): Promise<WebSocket> {
  for (;;) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`).on('message', onMessage);
    const opened = await new Promise<boolean>((resolve) => {
      socket.on('open', () => resolve(true));
      socket.on('error', () => resolve(false));
    });
    if (opened) return socket;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
