/** One program on a held socket (UPDATE_LISTEN) of the real product, updated under load. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { archive } from './app.ts';
import { built, type Kind, lacking, releaseOf } from './hand-over-apps.ts';
import { Load } from './load/load.ts';
import { freePort, Product } from './product.ts';

/** Node has no datagram sockets of Unix: prints each that comes, on one line. */
const RECEIVER = String.raw`
  $| = 1;
  socket S, AF_UNIX, SOCK_DGRAM, 0 or die $!;
  bind S, sockaddr_un $ARGV[0] or die $!;
  print "bound\n";
  while (defined recv S, $_, 4096, 0) { tr/\n/ /; print "$_\n" }
`;

/** The lines that were said to NOTIFY_SOCKET until now. */
async function notifySocket(file: string): Promise<{ said: string[] } & AsyncDisposable> {
  const receiver = execa('perl', ['-MSocket', '-e', RECEIVER, file], {
    reject: false,
    buffer: false,
  });
  const said: string[] = [];
  const lines = createInterface({ input: receiver.stdout });
  const bound = once(lines, 'line');
  await bound;
  lines.on('line', (line) => said.push(line));
  return {
    said,
    async [Symbol.asyncDispose]() {
      receiver.kill('SIGKILL');
      await receiver;
    },
  };
}

/** The first time, a busy machine takes minutes to compile what the registries have. */
const BUILD_MS = 1_500_000;

const PROMISE = {
  none: 'and no request fails through two updates',
  kept: 'and no request over a new connection fails through two updates',
  any: 'and serves through two updates, with requests cut at its own stop',
} as const;

export function describeOnHeldSocket(kind: Kind): void {
  const reason = lacking(kind);
  const words = [
    'takes it',
    kind.saysReady ? 'says READY=1' : 'does not say READY=1',
    PROMISE[kind.cuts],
  ];
  describe(`a held socket and ${kind.title}`, () => {
    it(words.join(', '), { skip: reason, timeout: BUILD_MS }, async (context) => {
      const directory = await built(kind);
      const port = await freePort();
      await using product = await Product.create({
        baked: null,
        env: {
          UPDATE_LISTEN: `web=0.0.0.0:${port}`,
          UPDATE_STRATEGY: 'download-then-kill',
          ...(kind.command && {
            UPDATE_APP_COMMAND: kind.command(directory).replaceAll('8080', String(port)),
          }),
          ...kind.env,
        },
      });
      const file = path.join(product.root, 'notify');
      await using notify = await notifySocket(file);
      const publish = async (version: string) =>
        product.github.publish(`v${version}`, {
          'app.tar.gz': await archive(releaseOf(kind, directory, version, port)),
        });
      await publish('0.0.1');
      product.start([], { extraEnv: { NOTIFY_SOCKET: file } });
      await product.fact('versionBecameHealthy');
      await using load = new Load(
        (['new', 'kept'] as const).map((connections) => ({ port, rate: 100, connections })),
      );
      await load.answers('0.0.1');
      for (const version of ['0.0.2', '0.0.3']) {
        await publish(version);
        assert.equal((await product.command(['update'])).exitCode, 0);
        await load.answers(version);
      }
      const [fresh, kept] = await load.stop();
      assert.ok(fresh && kept);
      context.diagnostic(
        `new connections: ${fresh.failed} of ${fresh.asked} failed; kept ones: ${kept.failed} of ${kept.asked}, ${kept.retried} sent twice; the longest took ${Math.round(fresh.longestMs)} ms`,
      );
      // Those that are cut are at most what is under way at two stops.
      if (kind.cuts === 'any') assert.ok(fresh.failed < 20, JSON.stringify(fresh.reasons));
      else assert.deepEqual(fresh.reasons, {});
      if (kind.cuts === 'none') assert.deepEqual(kept.reasons, {});
      assert.deepEqual(Object.keys(fresh.bodies), ['0.0.1', '0.0.2', '0.0.3']);
      assert.equal(
        notify.said.some((line) => /^READY=1\b/.test(line)),
        kind.saysReady,
      );
      // By its own stop: servers that write over their environment (nginx) are not found by it.
      product.updaters[0]?.kill('SIGTERM');
      await product.updaters[0];
    });
  });
}
