/** A Go service as its release has it (examples/hand-over/go), on a held socket of the image. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';
import { built, KINDS, lacking, releaseOf } from '../support/hand-over-apps.ts';
import { Load } from '../support/load.ts';
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
      await using load = new Load(port);
      await load.answersAs(first);
      for (const version of others) {
        await publish(version);
        await container.signal('HUP');
        await container.fact('versionBecameHealthy', (fact) => fact.version === version);
        await load.answersAs(version);
      }
      await load.stop();
      const { answers, failures, longestMs } = load;
      context.diagnostic(
        `${answers.new.length} over new connections, ${answers.kept.length} over kept ones; the longest took ${longestMs} ms`,
      );
      assert.deepEqual(failures, { new: [], kept: [] });
      assert.deepEqual([...new Set(answers.new)], [...VERSIONS]);
    });
  });
