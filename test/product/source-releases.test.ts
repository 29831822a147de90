/**
 * What each source has to pass: attacks by name, exchanged bytes, the token said back. Its server is
 * the matter of source-servers.test.ts. One row for each is in test/support/sources/rows.ts.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { FactOf } from '../../src/machines/facts.ts';
import { Follower } from '../support/sources/follower.ts';
import { CANARY, SOURCES } from '../support/sources/rows.ts';
import { type SourceHarness, withSums } from '../support/sources/source-under-test.ts';

const NAME = 'app_linux_amd64.tar.gz';
const BYTES = randomBytes(300_000);

type Case = { harness: SourceHarness; follower: Follower };

/** Newer than what is there, if anybody took them for versions. */
const HOSTILE_TAGS = [
  'v9.0.0/../../../../tmp/x',
  '../v9.0.0',
  'v9.0.0\0',
  'v9.0.0\nv9.0.1',
  'v9.0.0\u001b[2J',
  'v9.0.0\u202e',
  '..',
  // A full-width 9, a one dot leader: no versions.
  'v\uff19.0.0',
  'v9\u20240.0',
];
const HOSTILE_NAMES = [
  'app_linux_amd64\0.tar.gz',
  'app_linux_amd64\n.tar.gz',
  'app_linux_\u001b[2Jamd64.tar.gz',
  'app_linux_amd64\u202e.tar.gz',
  '../app_linux_amd64.tar.gz',
  '/etc/app_linux_amd64.tar.gz',
  '..',
  '',
  // A Cyrillic a, a script g.
  'app_linux_\u0430md64.tar.gz',
  'app_linux_amd64.tar.\u0261z',
];

for (const { name, start } of SOURCES) {
  describe(`the source ${name}`, () => {
    const cases = (title: string, run: (given: Case) => Promise<void>) =>
      it(title, async () => {
        await using harness = await start();
        await harness.publish('v1.0.0', withSums({ [NAME]: BYTES }));
        using follower = new Follower(harness.env);
        await run({ harness, follower });
      });

    cases('finds, downloads and verifies a release', async ({ follower }) => {
      const found = await follower.find();
      assert.deepEqual([found.tag, found.asset.name], ['v1.0.0', NAME]);
      const downloaded = await follower.download(found);
      assert.ok(readFileSync(downloaded.fact.path).equals(BYTES));
      assert.equal((await follower.verify(downloaded)).type, 'verified');
      assert.equal((await follower.find('v1.0.0')).tag, 'v1.0.0');
      const { code } = (await follower.check({ tag: 'v7.7.7' })) as FactOf<'checkFailed'>;
      assert.equal(code, 'NOT_FOUND');
    });

    cases('refuses bytes that were exchanged after they were published', async (given) => {
      const found = await given.follower.find();
      const wrong = Buffer.from(BYTES);
      wrong[1000] = (wrong[1000] ?? 0) ^ 1;
      given.harness.replaceBytes('v1.0.0', NAME, wrong);
      const downloaded = await given.follower.download(found);
      await assert.rejects(given.follower.verify(downloaded), { code: 'DIGEST_MISMATCH' });
    });

    for (const as of HOSTILE_TAGS)
      cases(`takes no tag like ${JSON.stringify(as)}`, async ({ harness, follower }) => {
        await harness.publish('v8.8.8', withSums({ [NAME]: BYTES }));
        harness.disguise('v8.8.8', as);
        const fact = await follower.check();
        const told = JSON.stringify(fact);
        assert.ok(fact.type !== 'releaseFound' || fact.release.tag === 'v1.0.0', told);
        assert.doesNotMatch(told, /\p{C}|\\u00|\\n/u);
      });

    for (const as of HOSTILE_NAMES)
      cases(`takes no file like ${JSON.stringify(as)}`, async ({ harness, follower }) => {
        await harness.publish('v2.0.0', withSums({ [NAME]: BYTES, stranger: BYTES }));
        harness.disguise('stranger', as);
        const fact = await follower.check({ running: '1.0.0' });
        if (fact.type === 'releaseFound') assert.equal(fact.release.asset.name, NAME);
        else assert.ok('code' in fact, JSON.stringify(fact));
      });

    cases('takes a thousand files, and no more', async ({ harness, follower }) => {
      const many = (count: number) =>
        Object.fromEntries(
          Array.from({ length: count }, (_, n) => [`manual-${n}.txt`, Buffer.from('x')]),
        );
      await harness.publish('v2.0.0', withSums({ [NAME]: BYTES, ...many(998) }));
      assert.equal((await follower.find()).tag, 'v2.0.0');
      const tooMany = withSums({ [NAME]: BYTES, ...many(999) });
      await (async () => {
        await harness.publish('v3.0.0', tooMany);
        // Not even by its tag.
        await follower.find('v3.0.0');
      })().then(
        () => assert.fail('it was taken'),
        (error: Error) => assert.match(error.message, /ANSWER_MALFORMED|can't be listed/),
      );
    });

    cases('never has the token in what it tells, though a server says it back', async (given) => {
      await given.harness.publish('v2.0.0', withSums({ [`${CANARY}_${NAME}`]: BYTES }));
      given.harness.disguise('v2.0.0', `v2.0.0+${CANARY}`);
      const fact = await given.follower.check();
      const { note, kept } = given.follower;
      assert.ok(!JSON.stringify([fact, note, [...kept]]).includes(CANARY), JSON.stringify(fact));
    });

    cases('answers what was asked, or fails', async ({ harness, follower }) => {
      harness.disguise('v1.0.0', 'v6.6.6');
      const fact = await follower.check({ tag: 'v1.0.0' });
      if (fact.type === 'releaseFound') assert.equal(fact.release.tag, 'v1.0.0');
      else {
        const { setting: own = 'UPDATE_GH_API_URL' } = follower.source;
        const settings = ['UPDATE_GH_API_URL', 'UPDATE_SOURCE_URL'];
        const others = settings.filter((setting) => setting !== own);
        assert.ok('code' in fact && others.every((setting) => !fact.message.includes(setting)));
      }
    });

    cases('tells a repository that took the name over, or has no numbers', async (given) => {
      const { harness, follower } = given;
      assert.equal(follower.source.repositoryId === null, harness.takeOver === null);
      if (harness.takeOver === null) return;
      const id = await follower.source.repositoryId?.(AbortSignal.timeout(60_000));
      assert.ok(typeof id === 'number');
      const downloaded = await follower.download(await follower.find());
      assert.equal((await follower.verify(downloaded, id)).type, 'verified');
      harness.takeOver();
      await assert.rejects(follower.verify(downloaded, id), { code: 'REPOSITORY_REPLACED' });
    });
  });
}
