import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Gitlab } from '@gitbeaker/rest';
import { FakeGitLab } from './gitlab.ts';

it('the stand-in for GitLab serves a stock client', async () => {
  const project = 'acme/tools/app';
  await using gitlab = await new FakeGitLab({ token: 'secret', project }).listen();
  gitlab.publish('v1.0.0', { 'app.tar.gz': Buffer.from('bytes') });
  gitlab.publish('v1.1.0', {});
  for (const auth of [{ token: 'secret' }, { oauthToken: 'secret' }]) {
    const { ProjectReleases } = new Gitlab({ host: gitlab.url, ...auth });
    const tagged = await ProjectReleases.show(project, 'v1.0.0');
    assert.equal(tagged.assets.links?.[0]?.name, 'app.tar.gz');
    assert.equal((await ProjectReleases.showLatest(project)).tag_name, 'v1.1.0');
    const all = await ProjectReleases.all(project, { perPage: 1 });
    assert.deepEqual(
      all.map(({ tag_name }) => tag_name),
      ['v1.1.0', 'v1.0.0'],
    );
  }
  const { ProjectReleases } = new Gitlab({ host: gitlab.url, token: 'wrong' });
  await assert.rejects(ProjectReleases.all(project), /401 Unauthorized/);
});
