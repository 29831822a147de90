/** UPDATE_METRICS_FILE: the metrics of an updater that nobody can scrape. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

const HUNG_MOUNT = path.join(import.meta.dirname, '..', 'support', 'hung-mount.ts');
const ASSET = 'app_linux_amd64.tar.gz';

async function withFile(): Promise<{ product: Product; directory: string; file: string }> {
  const product = await Product.create();
  const directory = path.join(product.root, 'metrics');
  const file = path.join(directory, 'app.prom');
  product.env['UPDATE_METRICS_FILE'] = file;
  mkdirSync(directory);
  return { product, directory, file };
}

describe('the file of metrics', () => {
  it('is whole, readable by everybody, and says what runs when an updater has ended', async () => {
    const { product, directory, file } = await withFile();
    await using _ = product;
    const archive = await appArchive({ version: '0.0.2', port: product.port });
    product.github.publish('v0.0.2', { [ASSET]: archive });
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 0, stderr);
    const text = readFileSync(file, 'utf8');
    assert.match(text, /^self_update_app_info{version="0\.0\.2",tag="v0\.0\.2",.*} 1$/m);
    assert.match(text, /^self_update_updates_total{outcome="updated"} 1$/m);
    assert.match(text, /\n$/);
    assert.equal(statSync(file).mode & 0o777, 0o644);
    assert.deepEqual(readdirSync(directory), ['app.prom']);
  });

  it('follows a resident updater', async () => {
    const { product, file } = await withFile();
    await using _ = product;
    const tells = async (version: string) => {
      const late = AbortSignal.timeout(60_000);
      while (!(existsSync(file) && readFileSync(file, 'utf8').includes(`version="${version}"`))) {
        late.throwIfAborted();
        await product.status();
      }
    };
    product.start();
    await tells('0.0.1');
    const archive = await appArchive({ version: '0.0.2', port: product.port });
    product.github.publish('v0.0.2', { [ASSET]: archive });
    await product.command(['update']);
    await tells('0.0.2');
  });

  it('takes the place of a link, and is not written through it', async () => {
    const { product, file } = await withFile();
    await using _ = product;
    const victim = path.join(product.root, 'victim');
    writeFileSync(victim, 'mine');
    symlinkSync(victim, file);
    await product.command(['run', '--once']);
    assert.equal(readFileSync(victim, 'utf8'), 'mine');
    assert.match(readFileSync(file, 'utf8'), /self_update_app_up/);
  });

  it('that can not be written is one warning, and holds up no update', async () => {
    const { product } = await withFile();
    await using _ = product;
    product.env['UPDATE_METRICS_FILE'] = path.join(product.root, 'nowhere/app.prom');
    const archive = await appArchive({ version: '0.0.2', port: product.port });
    product.github.publish('v0.0.2', { [ASSET]: archive });
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 0, stderr);
    assert.equal(
      stderr.match(/UPDATE_METRICS_FILE: .* \(ENOENT\): look at its directory/g)?.length,
      1,
    );
    assert.equal((await product.status()).version, '0.0.2');
  });

  it('on a mount that answers no more is one warning, and holds up neither update nor end', async () => {
    await using product = await Product.create({ entry: HUNG_MOUNT });
    const mount = path.join(product.root, 'metrics');
    await execa('mkfifo', [mount]);
    product.env['UPDATE_METRICS_FILE'] = path.join(mount, 'app.prom');
    const archive = await appArchive({ version: '0.0.2', port: product.port });
    product.github.publish('v0.0.2', { [ASSET]: archive });
    const { exitCode, stdout, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^\d+$/);
    assert.equal(stderr.match(/UPDATE_METRICS_FILE: .* \(no answer within 2 s\)/g)?.length, 1);
    assert.equal((await product.status()).version, '0.0.2');
  });
});
