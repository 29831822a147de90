/** Trouble of the machine's, with real apps: files that vanish, a port that is still taken, an API that fails for a moment. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive, archive } from '../support/app.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

const APP = 'app_linux_amd64.tar.gz';

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, { [APP]: await appArchive({ version, port: product.port }) });
}

/** A server that does not set SO_REUSEADDR, as C, Perl and Python have it by default. It closes each connection first, and so its port stays taken. */
function plainServer(version: string, port: number): string {
  return `#!/usr/bin/perl
use strict; use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => ${port}, Listen => 50, Proto => 'tcp') or die "bind: $!\\n";
$SIG{TERM} = sub { exit 0 };
while (my $client = $server->accept) {
  my $request = <$client>;
  print $client "HTTP/1.1 200 OK\\r\\nContent-Length: ${version.length}\\r\\nConnection: close\\r\\n\\r\\n${version}";
  $client->shutdown(2); close $client;
}
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
    const journal = () => readdirSync(path.join(product.dir, 'state')).reduce((sum, name) => sum + statSync(path.join(product.dir, 'state', name)).size, 0);
    const bytes = journal();
    rmSync(path.join(product.dir, 'releases'), { recursive: true });
    mkdirSync(path.join(product.dir, 'releases'));
    const before = (await product.events()).at(-1)?.seq ?? 0;
    const [app] = product.apps();
    process.kill(app?.pid ?? 0, 'SIGKILL');
    await product.fact('versionBecameHealthy', ({ version, seq }) => version === '0.0.3' && seq > before);
    const told = (await product.events()).filter((event) => event.seq > before);
    assert.ok(told.length <= 40, told.map(({ type }) => type).join());
    assert.equal(told.filter(({ type }) => type === 'appCrashLooped').length, 1);
    assert.ok(product.log.length - lines <= 80, product.log.slice(lines).join('\n'));
    assert.ok(journal() - bytes < 256 * 1024);
    assert.deepEqual((await product.status()).denied, []);
    assert.equal(product.apps().length, 1);
  });
});

describe('a server that does not set SO_REUSEADDR', () => {
  it('is updated: the port that is still taken is not blamed on the new version', async () => {
    await using product = await Product.create({ baked: null, env: { UPDATE_PROBATION: '2', SLEEP: '5' } });
    for (const version of ['0.0.2', '0.0.3']) {
      product.github.publish(`v${version}`, { [APP]: await archive({ app: { content: plainServer(version, product.port), mode: 0o755 } }) });
      if (version === '0.0.2') {
        product.start();
        await product.fact('versionBecameHealthy', (fact) => fact.version === '0.0.2');
        // Users: each leaves a connection behind that the server closed first.
        const prober = new Prober(product.port).start();
        await prober.answers('0.0.2');
        await prober.stop();
      }
    }
    const before = (await product.events()).at(-1)?.seq ?? 0;
    const deadline = Date.now() + 150_000;
    let status = await product.status();
    while (status.version !== '0.0.3' || status.state !== 'running' || status.lastGood?.version !== '0.0.3') {
      assert.ok(Date.now() < deadline, product.log.join('\n'));
      await new Promise((resolve) => setTimeout(resolve, 1000));
      status = await product.status();
    }
    assert.deepEqual(status.denied, []);
    const told = (await product.events()).filter((event) => event.seq > before);
    assert.ok(told.some(({ type }) => type === 'appExitedEarly'));
    assert.ok(told.length < 120, told.map(({ type }) => type).join());
    console.log(product.log.join('\n'));
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
