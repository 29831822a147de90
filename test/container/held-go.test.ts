/** A Go service as its release has it (examples/hand-over/go), on a held socket of the image. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';
import { built, KINDS, lacking, releaseOf } from '../support/hand-over-apps.ts';
import { Load } from '../support/load/load.ts';
import { freePort } from '../support/product.ts';

const VERSIONS = ['0.0.2', '0.0.3', '0.0.4', '0.0.5'] as const;

for (const [title, run] of Object.entries({
  root: [],
  'one unprivileged user, hardened': [
    ...PROFILES['one unprivileged user'],
    ...HARDENED,
    ...['--tmpfs', '/run/self-update', '--tmpfs', '/tmp'],
  ],
}))
  describe(`a Go service on a held socket, ${title}`, () => {
    const skip = lacking(KINDS.go);
    it('has no request fail through three updates, new and kept connections', {
      skip,
    }, async (context) => {
      const directory = await built(KINDS.go);
      const port = await freePort();
      await using container = await Container.prepare({
        port,
        env: { UPDATE_LISTEN: `web=127.0.0.1:${port}` },
        run,
      });
      const [first, ...others] = VERSIONS;
      const publish = (version: string) =>
        container.publish(version, { files: releaseOf(KINDS.go, directory, version, port) });
      await publish(first);
      await container.create();
      await container.fact('versionBecameHealthy', ({ version }) => version === first);
      await using load = new Load(
        (['new', 'kept'] as const).map((connections) => ({ port, rate: 100, connections })),
      );
      await load.answers(first);
      for (const version of others) {
        await publish(version);
        await container.signal('HUP');
        await container.fact('versionBecameHealthy', (fact) => fact.version === version);
        await load.answers(version);
      }
      for (const { asked, reasons, bodies, retried, longestMs } of await load.stop()) {
        context.diagnostic(
          `${asked} requests, ${retried} of them sent twice; the longest took ${Math.round(longestMs)} ms`,
        );
        assert.deepEqual(reasons, {});
        assert.deepEqual(Object.keys(bodies), [...VERSIONS]);
      }
    });
  });
