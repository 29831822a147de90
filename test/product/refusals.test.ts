/**
 * Whatever is wrong with a release or a server: one clear message, the app untouched, the reason in
 * `status`.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { appArchive, archive } from '../support/app.ts';
import { Product } from '../support/product.ts';

type Case = {
  title: string;
  code: string;
  message: RegExp;
  break: (product: Product, good: Buffer) => void | Promise<void>;
  env?: Record<string, string>;
};

const NAME = 'app_0.0.2_linux_amd64.tar.gz';
/** The machine's own platform decides; an explicit pattern keeps the cases independent of it. */
const ANY = { UPDATE_ASSET: 'app_*.tar.gz' };

const cases: Case[] = [
  {
    title: 'an unknown repository',
    code: 'NOT_FOUND',
    message: /acme\/nowhere.*check GH_USER and GH_REPO/,
    break: () => {},
    env: { GH_REPO: 'nowhere' },
  },
  {
    title: 'no asset for this platform, in a release of last week',
    code: 'ASSET_MISSING',
    message: /v0\.0\.2 has no asset.*app_0\.0\.2_plan9_mips\.tar\.gz/,
    env: { UPDATE_ASSET: '' },
    break: ({ github }, good) =>
      void github.publish(
        'v0.0.2',
        { 'app_0.0.2_plan9_mips.tar.gz': good },
        { publishedAt: new Date(Date.now() - 7 * 86_400_000).toISOString() },
      ),
  },
  {
    title: 'only an archive of another kind for this platform, in a release of this minute',
    code: 'ASSET_FORMAT_UNSUPPORTED',
    message:
      /its asset is app-linux-\w+\.7z, of a format that this program can't unpack\. Publish a \.tar\.gz/,
    env: { UPDATE_ASSET: '' },
    break: ({ github }, good) =>
      void github.publish('v0.0.2', {
        'app-linux-x64.7z': good,
        'app-linux-arm64.7z': good,
        'app-darwin-arm64.tar.gz': good,
      }),
  },
  {
    title: 'only a package for this platform',
    code: 'ASSET_FORMAT_UNSUPPORTED',
    message: /its asset is app_0\.0\.2_\w+\.deb, of a format/,
    env: { UPDATE_ASSET: '' },
    break: ({ github }, good) =>
      void github.publish('v0.0.2', { 'app_0.0.2_amd64.deb': good, 'app_0.0.2_arm64.deb': good }),
  },
  {
    title: 'a pattern that fits an archive of another kind',
    code: 'ASSET_FORMAT_UNSUPPORTED',
    message: /its asset is app\.rar, of a format/,
    env: { UPDATE_ASSET: '*.rar' },
    break: ({ github }, good) => void github.publish('v0.0.2', { 'app.rar': good }),
  },
  {
    title: 'sums in the form of BSD that contradict each other',
    code: 'DIGEST_MISMATCH',
    message: /SHASUMS256\.txt says 0{64}/,
    break: ({ github }, good) => {
      const sums = `SHA256 (${NAME}) = ${createHash('sha256').update(good).digest('hex')}\r\nSHA256 (./dist/${NAME}) = ${'0'.repeat(64)}\r\n`;
      github.publish(
        'v0.0.2',
        { [NAME]: good, 'SHASUMS256.txt': Buffer.from(sums) },
        { digests: false },
      );
    },
  },
  {
    title: 'several assets that fit',
    code: 'ASSET_AMBIGUOUS',
    message: /several assets.*app_a\.tar\.gz, app_b\.tar\.gz.*Set UPDATE_ASSET/,
    break: ({ github }, good) =>
      void github.publish('v0.0.2', { 'app_a.tar.gz': good, 'app_b.tar.gz': good }),
  },
  {
    title: 'an answer that is not JSON',
    code: 'ANSWER_MALFORMED',
    message: /is not JSON/,
    break: ({ github }) => {
      github.misbehave = {
        api: { status: 200, body: '<html>Sign in to the hotel network</html>' },
      };
    },
  },
  {
    title: 'an answer that is JSON, but no release',
    code: 'ANSWER_MALFORMED',
    message: /is not a release/,
    break: ({ github }) => {
      github.misbehave = { api: { status: 200, body: '{"tag_name": 7}' } };
    },
  },
  {
    title: 'a bomb of metadata',
    code: 'ANSWER_TOO_LARGE',
    message: /more than 3145728 bytes/,
    break: ({ github }) => {
      const body = gzipSync(Buffer.alloc(50_000_000, ' '));
      github.misbehave = { api: { status: 200, body, headers: { 'content-encoding': 'gzip' } } };
    },
  },
  {
    title: 'a token that is rejected',
    code: 'TOKEN_REJECTED',
    message: /rejected the token \(401\).*UPDATE_GH_TOKEN/,
    break: () => {},
    env: { UPDATE_GH_TOKEN: 'of-yesterday' },
  },
  {
    title: 'a server in trouble',
    code: 'SERVER_FAILED',
    message: /failed \(502\)/,
    break: ({ github }) => {
      github.misbehave = { api: { status: 502, body: 'bad gateway' } };
    },
  },
  {
    title: 'other bytes than were announced',
    code: 'DIGEST_MISMATCH',
    message: /has sha256 .* and its source says/,
    break: ({ github }, good) => {
      const lie = Buffer.from(good);
      lie[lie.length >> 1] = (lie[lie.length >> 1] ?? 0) ^ 1;
      github.publish('v0.0.2', { [NAME]: good });
      github.misbehave = { lie };
    },
  },
  {
    title: 'a checksums file that says otherwise',
    code: 'DIGEST_MISMATCH',
    message: /checksums\.txt says 0{64}/,
    break: ({ github }, good) =>
      void github.publish('v0.0.2', {
        [NAME]: good,
        'checksums.txt': Buffer.from(`${'0'.repeat(64)}  ${NAME}\n`),
      }),
  },
  {
    title: 'no digest at all',
    code: 'DIGEST_MISSING',
    message: /no digest.*UPDATE_VERIFY=none/,
    break: ({ github }, good) =>
      void github.publish('v0.0.2', { [NAME]: good }, { digests: false }),
  },
  {
    title: 'a truncated archive',
    code: 'ARCHIVE_CORRUPT',
    message: /can't be read/,
    break: ({ github }, good) =>
      void github.publish('v0.0.2', { [NAME]: good.subarray(0, good.length - 40) }),
  },
  {
    title: 'something that is no archive',
    code: 'ARCHIVE_CORRUPT',
    message: /unknown format/,
    break: ({ github }) => void github.publish('v0.0.2', { [NAME]: Buffer.from('not found') }),
  },
  {
    title: 'an archive without an entry point',
    code: 'ENTRY_POINT_MISSING',
    message: /no executable file.*Set UPDATE_APP_COMMAND/,
    break: async ({ github }) =>
      void github.publish('v0.0.2', {
        [NAME]: await archive({ 'server.js': { content: '1' }, README: { content: '2' } }),
      }),
  },
  {
    title: 'an asset that is gone',
    code: 'DOWNLOAD_REFUSED',
    message: /answered 404/,
    break: ({ github }, good) => {
      github.publish('v0.0.2', { [NAME]: good });
      github.misbehave = { assetStatus: 404 };
    },
  },
  {
    title: 'a redirect to a host that is not allowed',
    code: 'REDIRECT_REFUSED',
    message: /mirror\.example.*UPDATE_ASSET_HOSTS/,
    break: ({ github }, good) => {
      github.publish('v0.0.2', { [NAME]: good });
      github.misbehave = { redirectTo: 'https://mirror.example/app.tar.gz' };
    },
  },
  {
    title: 'an asset beyond the bound',
    code: 'ASSET_TOO_LARGE',
    message: /at most 100 are accepted: raise UPDATE_MAX_ASSET_BYTES/,
    env: { UPDATE_MAX_ASSET_BYTES: '100' },
    break: ({ github }, good) => void github.publish('v0.0.2', { [NAME]: good }),
  },
  {
    title: 'a program that ends at once',
    code: 'APP_EXITED',
    message: /version 0\.0\.2 exited during probation|version 0\.0\.2 exited during probation/,
    env: { UPDATE_PROBATION: '1' },
    break: async ({ github }) =>
      void github.publish('v0.0.2', {
        [NAME]: await archive({
          app: { content: Buffer.from('#!/bin/sh\nexit 1\n'), mode: 0o755 },
        }),
      }),
  },
  {
    title: 'an executable of another platform',
    code: 'WRONG_PLATFORM',
    message: /app is a program for .*this machine is/,
    break: async ({ github }) =>
      void github.publish('v0.0.2', {
        [NAME]: await archive({
          app: {
            content: Buffer.from('\u007fELF\u0002\u0001 of another planet', 'latin1'),
            mode: 0o755,
          },
        }),
      }),
  },
];

for (const strategy of ['kill-then-download', 'download-then-kill']) {
  describe(`refusals, ${strategy}`, { concurrency: 3 }, () => {
    for (const { title, code, message, env, break: spoil } of cases) {
      it(`${title}: ${code}, and the app goes on`, async () => {
        await using product = await Product.create({
          env: { UPDATE_STRATEGY: strategy, UPDATE_PROBATION: '0', ...ANY },
        });
        const good = await appArchive({ version: '0.0.2', port: product.port });
        product.github.publish('v0.0.1', {
          'app_0.0.1.tar.gz': await appArchive({ version: '0.0.1', port: product.port }),
        });
        assert.equal((await product.command(['run', '--once'])).exitCode, 0);
        const [before] = product.apps();
        await spoil(product, good);
        const { exitCode, stderr } = await product.command(['update'], env);
        assert.equal(exitCode, 1, stderr);
        const said = stderr.split('\n').filter((line) => line.includes(`[${code}]`));
        assert.ok(
          said.some((line) => message.test(line)),
          stderr,
        );
        assert.ok(
          said.every((line) => line.length < 500),
          'a message is a line or two',
        );
        const status = JSON.parse((await product.command(['status', '--json'], env)).stdout);
        assert.equal(status.lastError?.code, code);
        assert.match(status.lastError.message, message);
        assert.equal(status.version, '0.0.1');
        const apps = product.apps();
        assert.equal(apps.length, 1);
        if (strategy === 'download-then-kill' && code !== 'APP_EXITED')
          assert.deepEqual(apps, [before], 'the very same process');
      });
    }
  });
}
