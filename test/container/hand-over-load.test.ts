/**
 * Updates under load: with held sockets no request fails, whatever the app and however it is
 * asked. `npm run bench -- hand-over` has 500 requests a second, ten updates of each, and the
 * times. Here it is what two cores can answer while other tests run on them too: a load beyond
 * that is lost whoever listens. HAND_OVER_RATE=500 and HAND_OVER_UPDATES=10 ask for more.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Load } from '../support/load/load.ts';
import {
  LOADED_APPS,
  type LoadedApp,
  LoadedContainer,
  loadThroughUpdates,
  type Manner,
  type StreamOfUpdates,
} from '../support/load/updates.ts';

const UPDATES = Number(process.env['HAND_OVER_UPDATES'] ?? 3);
/** Requests a second, of all streams together. */
const RATE = Number(process.env['HAND_OVER_RATE'] ?? 180);
const MANNERS: readonly Manner[] = ['download-then-kill', 'hand-over'];
const APPS: readonly LoadedApp[] = ['go', 'nodeChanged', 'nodeUnchanged'];
/** All at once, in equal parts. */
const EVERY_LOAD = { connections: ['new', 'kept'], handlerMs: [0, 50, 500] } as const;

function assertAnswered(streams: readonly StreamOfUpdates[], updates: number): void {
  const versions = Array.from({ length: updates + 1 }, (_, index) => `0.1.${index}`);
  for (const { connections, handlerMs, reasons, bodies, asked, answered } of streams) {
    const what = `${connections} connections, ${handlerMs} ms`;
    assert.deepEqual(reasons, {}, what);
    assert.equal(answered, asked, what);
    assert.deepEqual(Object.keys(bodies), versions, what);
  }
}

describe('under load no request fails', { concurrency: 1 }, () => {
  for (const manner of MANNERS)
    for (const app of APPS)
      it(`while an app with a held socket is updated (${manner}; ${LOADED_APPS[app]})`, async (t) => {
        const streams = await loadThroughUpdates({
          app,
          manner,
          updates: UPDATES,
          rate: RATE,
          startMs: 100,
          ...EVERY_LOAD,
        });
        assert.equal(streams.length, 6);
        for (const { connections, handlerMs, answered, retried, longestMs } of streams)
          t.diagnostic(
            `${connections} ${handlerMs} ms: ${answered} answered, ${retried} of them at the second try, the longest after ${Math.round(longestMs)} ms`,
          );
        assertAnswered(streams, UPDATES);
      });

  for (const manner of MANNERS)
    it(`while versions that exit at once or hang are taken back, and an older one is installed (${manner})`, async () => {
      await using app = await LoadedContainer.prepare({
        app: 'go',
        manner,
        updates: 1,
        env: {
          UPDATE_HEALTH_CMD: 'wget -q -O - "http://127.0.0.1:$PORT/"',
          UPDATE_HEALTH_TIMEOUT: '3',
          UPDATE_HEALTH_INTERVAL: '1',
          UPDATE_HEALTH_RETRIES: '2',
        },
      });
      await app.start();
      const { container } = app;
      await using load = new Load(
        EVERY_LOAD.connections.flatMap((connections) =>
          EVERY_LOAD.handlerMs.map((handlerMs) => ({
            port: app.port,
            rate: RATE / 6,
            connections,
            path: `/?ms=${handlerMs}`,
          })),
        ),
      );
      await load.answers('0.1.0');
      await app.update('0.1.1');
      for (const [version, content] of [
        ['0.1.2', '#!/bin/sh\nexit 3\n'],
        ['0.1.3', '#!/bin/sh\nexec sleep 1000000\n'],
      ] as const) {
        await container.publish(version, { files: { app: { content, mode: 0o755 } } });
        await container.signal('HUP');
        await container.until('it is denied', async () =>
          (await container.status()).denied.some((denial) => denial.version === version),
        );
        await container.answers('0.1.1');
      }
      assert.equal((await container.command('install', 'v0.1.0')).exitCode, 0);
      await container.answers('0.1.0');
      for (const { reasons, bodies } of await load.stop()) {
        assert.deepEqual(reasons, {});
        assert.deepEqual(Object.keys(bodies), ['0.1.0', '0.1.1']);
      }
    });

  it('and would, if the app bound its port itself: the load finds what is refused', async () => {
    const streams = await loadThroughUpdates({
      app: 'go',
      manner: 'binds itself',
      updates: 1,
      rate: RATE,
      ...EVERY_LOAD,
    });
    // It drains for 200 ms, and nobody listens meanwhile.
    for (const { reasons } of streams) assert.ok((reasons['ECONNREFUSED'] ?? 0) > 0);
  });
});
