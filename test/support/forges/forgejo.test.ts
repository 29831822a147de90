import assert from 'node:assert/strict';
import { it } from 'node:test';
import { forgejoApi } from 'forgejo-js';
import { FakeForgejo } from './forgejo.ts';

it("the stand-in for Forgejo serves the stock client made from Forgejo's description", async () => {
  await using forgejo = await new FakeForgejo({ token: 'secret' }).listen();
  forgejo.publish('v1.0.0', { 'app.tar.gz': Buffer.from('bytes') });
  forgejo.publish('v1.1.0-rc.1', {}, { prerelease: true });
  const { repos } = forgejoApi(forgejo.url, { token: 'secret' });
  const { data: latest } = await repos.repoGetLatestRelease('acme', 'app');
  assert.equal(latest.tag_name, 'v1.0.0');
  assert.equal(latest.assets?.[0]?.size, 5);
  const { data: tagged } = await repos.repoGetReleaseByTag('acme', 'app', 'v1.1.0-rc.1');
  assert.equal(tagged.prerelease, true);
  const { data: all } = await repos.repoListReleases('acme', 'app', { limit: 1, page: 2 });
  assert.deepEqual(
    all.map(({ tag_name }) => tag_name),
    ['v1.0.0'],
  );
});
