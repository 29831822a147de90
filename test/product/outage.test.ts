/**
 * Trouble of the machine's, with real apps: files that vanish, a port that is still taken, an API
 * that fails for a moment.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive, archive } from '../support/app.ts';
import { type Event, Product } from '../support/product.ts';
import { missing } from '../support/tools.ts';

const APP = 'app_linux_amd64.tar.gz';

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, {
    [APP]: await appArchive({ version, port: product.port }),
  });
}

/**
 * A server that does not set SO_REUSEADDR, as C, Perl and Python have it by default. What is still
 * connected when it ends is closed by it first, and so the kernel keeps its port: for a minute, or
 * for less where the other end resets the connection.
 */
function plainServer(version: string, port: number): string {
  return `#!/usr/bin/perl
use strict; use IO::Socket::INET;
$SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => ${port}, Listen => 50, Proto => 'tcp') or die "bind: $!\\n";
while (my $client = $server->accept) { print $client "${version}\\n"; my $request = <$client>; }
`;
}

describe('the directory of trees that is emptied under a running updater', () => {
  it('is told once, and what is lost is fetched anew; log and journal stay small', async () => {
    await using product = await Product.create({ baked: null });
    await publish(product, '0.0.2');
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await publish(product, '0.0.3');
    assert.equal((await product.command(['update'])).exitCode, 0);
    const lines = product.log.length;
    const journal = () =>
      readdirSync(path.join(product.dir, 'state')).reduce(
        (sum, name) => sum + statSync(path.join(product.dir, 'state', name)).size,
        0,
      );
    const bytes = journal();
    rmSync(path.join(product.dir, 'releases'), { recursive: true });
    mkdirSync(path.join(product.dir, 'releases'));
    const before = (await product.events()).at(-1)?.seq ?? 0;
    const [app] = product.apps();
    process.kill(app?.pid ?? 0, 'SIGKILL');
    await product.fact(
      'versionBecameHealthy',
      ({ version, seq }) => version === '0.0.3' && seq > before,
    );
    const told = (await product.events()).filter((event) => event.seq > before);
    assert.ok(told.length <= 40, told.map(({ type }) => type).join());
    assert.equal(told.filter(({ type }) => type === 'appCrashLooped').length, 1);
    assert.ok(product.log.length - lines <= 80, product.log.slice(lines).join('\n'));
    assert.ok(journal() - bytes < 256 * 1024);
    assert.deepEqual((await product.status()).denied, []);
    assert.equal(product.apps().length, 1);
  });
});

describe('a server that does not set SO_REUSEADDR', { skip: missing('perl') }, () => {
  it('is updated: the port that is still taken is not blamed on the new version', async () => {
    await using product = await Product.create({
      baked: null,
      env: { UPDATE_PROBATION: '2', UPDATE_STRATEGY: 'download-then-kill' },
    });
    const publishPlain = async (version: string) =>
      product.github.publish(`v${version}`, {
        [APP]: await archive({ app: { content: plainServer(version, product.port), mode: 0o755 } }),
      });
    await publishPlain('0.0.2');
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    // The server's end is closed and this one is not, until the port has been seen taken.
    const user = connect({ port: product.port, host: '127.0.0.1', allowHalfOpen: true });
    user.on('error', () => {});
    assert.equal(String((await once(user, 'data'))[0]).trim(), '0.0.2');
    await publishPlain('0.0.3');
    const seen: Event[] = [];
    const follower = product.follow();
    for await (const line of follower.iterable()) {
      const event = JSON.parse(line as string) as Event;
      seen.push(event);
      // Both versions have met the taken port by then: the denial of the newer one is withdrawn.
      if (seen.filter(({ type }) => type === 'probationFailed').length === 2)
        user.resetAndDestroy();
      // The iteration ends with the process.
      if (event.type === 'versionBecameHealthy' && event.version === '0.0.3')
        follower.kill('SIGTERM');
    }
    const types = seen.map(({ type }) => type);
    assert.ok(types.includes('appExitedEarly'), 'the port was not taken, so this tells nothing');
    assert.deepEqual((await product.status()).denied, []);
    assert.equal((await product.status()).version, '0.0.3', product.log.join('\n'));
    assert.ok(types.length < 130, types.join());
  });
});

describe('an API that fails for a moment while nothing runs', () => {
  it('is asked again within seconds, whatever SLEEP says', async () => {
    await using product = await Product.create({ baked: null, env: { SLEEP: '3600' } });
    await publish(product, '0.0.2');
    product.github.misbehave = { api: { status: 502 } };
    product.start();
    await product.fact('checkFailed');
    product.github.misbehave = {};
    const { version } = await product.fact('versionBecameHealthy');
    assert.equal(version, '0.0.2');
  });
});
