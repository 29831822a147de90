/**
 * Names of real releases, served by each source: the file that is chosen is the one that chooseAsset
 * chooses of the names themselves. SOURCES_SEED=<seed> takes the same sample again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { chooseAsset } from '../../src/machines/asset.ts';
import { randomFrom, shuffled } from '../support/chaos/cases.ts';
import { Follower, PLATFORM } from '../support/sources/follower.ts';
import { SOURCES } from '../support/sources/rows.ts';
import { withSums } from '../support/sources/source-under-test.ts';

const SAMPLE = 40;
const seed = process.env['SOURCES_SEED'] ?? String(Date.now() % 1_000_000);
const { projects } = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'release-names.json'), 'utf8'),
) as { projects: { repo: string; assets: string[] }[] };

/** Characters that mean something in addresses, sums, JSON or XML. */
const isOdd = ({ assets }: { assets: string[] }) => assets.some((name) => /[^\w.-]/.test(name));
const sample = [
  ...projects.filter(isOdd),
  ...shuffled(projects, randomFrom(seed, 'names')).slice(0, SAMPLE),
  // As desktop programs and Windows' tools have them.
  {
    repo: 'acme/app',
    assets: [
      'My App (x64) v1.0.0+build.5.zip',
      "it's 100% <app> & more_linux_amd64.tar.gz",
      'app#1_linux_arm64.tar.gz',
      'приложение_darwin_arm64.zip',
      'app?_windows_amd64.zip',
    ],
  },
];

describe(`the names of ${sample.length} real releases, seed ${seed}`, () => {
  for (const { name, start } of SOURCES)
    it(`lead to the same file by ${name}`, async () => {
      await using harness = await start();
      using follower = new Follower(harness.env);
      let chosen = 0;
      for (const [index, { repo, assets }] of sample.entries()) {
        const tag = `v1.0.${index}`;
        const named = [...assets, 'checksums.txt'].map((asset) => ({ name: asset }));
        const expected = chooseAsset(named, null, PLATFORM, 'app');
        const right = expected.kind === 'one' ? expected.asset.name : '';
        const bytesOf = (asset: string) => Buffer.from(asset === right ? asset : 'another');
        const files = Object.fromEntries(assets.map((asset) => [asset, bytesOf(asset)]));
        await harness.publish(tag, withSums(files));
        const fact = await follower.check({ tag });
        const told =
          fact.type === 'releaseFound'
            ? fact.release.asset.name
            : 'code' in fact
              ? fact.code
              : fact.type;
        assert.equal(told, expected.kind === 'one' ? right : codeOf(expected), repo);
        if (fact.type !== 'releaseFound') continue;
        chosen += 1;
        // Nothing of its name was lost on the way to its bytes.
        const { fact: downloaded } = await follower.download(fact.release);
        assert.equal(readFileSync(downloaded.path, 'utf8'), told);
      }
      assert.ok(chosen > sample.length / 2, `${chosen} were found`);
    });
});

const codeOf = ({ kind }: { kind: 'none' | 'several' }) =>
  kind === 'none' ? 'ASSET_MISSING' : 'ASSET_AMBIGUOUS';
