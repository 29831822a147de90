/**
 * Release lists of real projects, and which of their files is right: see `about` in the file of
 * names.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { chooseAsset } from '../../src/machines/asset.ts';

type Project = {
  repo: string;
  list: 'full' | 'config' | 'registry' | 'names';
  assets: string[];
  expect: Record<string, string[]>;
  /** `several` programs, none of them named like the repository: refusing is right too. */
  apps?: 'several';
  note?: string;
};
const { projects } = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'release-names.json'), 'utf8'),
) as { projects: Project[] };

const GOAL = { amd64: 0.97, arm64: 0.96 };
/** What nothing among the names could have told. */
const isUnknowable = ({ note }: Project) => note?.startsWith('unknowable') === true;

type Answer = 'right' | 'several' | 'none' | 'wrong';

function answer(
  { repo, assets, expect }: Project,
  arch: string,
): { answer: Answer; picked: string } {
  const named = assets.map((name) => ({ name }));
  const choice = chooseAsset(named, null, { os: 'linux', arch, libc: 'glibc' }, repo.split('/')[1]);
  assert.deepEqual(
    chooseAsset(named.toReversed(), null, { os: 'linux', arch, libc: 'glibc' }, repo.split('/')[1])
      .kind,
    choice.kind,
    `${repo}: order`,
  );
  if (choice.kind !== 'one') return { answer: choice.kind, picked: '' };
  return {
    answer: expect[arch]?.includes(choice.asset.name) ? 'right' : 'wrong',
    picked: choice.asset.name,
  };
}

describe('the asset of real releases', () => {
  for (const arch of ['amd64', 'arm64'] as const) {
    const answers = projects.map((project) => ({
      project,
      hasRight: (project.expect[arch]?.length ?? 0) > 0,
      ...answer(project, arch),
    }));
    const withRight = answers.filter(({ hasRight }) => hasRight);

    it(`is right for ${arch} in ${GOAL[arch] * 100} of a hundred that have one`, (t) => {
      for (const list of ['full', 'config', 'registry', 'names', 'all']) {
        const of = withRight.filter(({ project }) => list === 'all' || project.list === list);
        const count = (wanted: Answer) => of.filter((entry) => entry.answer === wanted).length;
        const share = ((100 * count('right')) / of.length).toFixed(1);
        t.diagnostic(
          `${arch}, ${list}: ${count('right')} of ${of.length} right (${share} %), ${count('several')} several, ${count('none')} none, ${count('wrong')} wrong`,
        );
        if (list === 'all' || list === 'full')
          assert.ok(count('right') / of.length >= GOAL[arch], `${list}: ${share} %`);
      }
      for (const { project, answer: given } of withRight)
        if (given === 'none' || (given === 'several' && project.apps === undefined))
          t.diagnostic(`${arch}: ${given} of ${project.repo}`);
    });

    it(`is refused for ${arch} rather than wrong`, (t) => {
      const wrong = answers.filter((entry) => entry.answer === 'wrong');
      for (const { project, picked } of wrong)
        t.diagnostic(
          `${arch}, wrong: ${picked} of ${project.repo}${isUnknowable(project) ? ' (unknowable)' : ''}`,
        );
      assert.deepEqual(
        wrong
          .filter(({ project }) => !isUnknowable(project))
          .map(({ project, picked }) => `${project.repo}: ${picked}`),
        [],
      );
    });

    it(`is never another program's for ${arch}: with the right ones taken away, what is left is a build of the same program or nothing`, () => {
      const companions = [
        'ahmetb/kubectx',
        'siderolabs/omni',
        'blacktop/ipsw',
        'kudobuilder/kuttl',
        'controlplaneio-fluxcd/flux-operator',
        'iNecas/kube-health',
        'lima-vm/lima',
      ];
      const platform = { os: 'linux', arch, libc: 'glibc' };
      for (const { repo, assets, expect } of projects.filter((project) =>
        companions.includes(project.repo),
      )) {
        const left = assets
          .filter((name) => !expect[arch]?.includes(name))
          .map((name) => ({ name }));
        const choice = chooseAsset(left, null, platform, repo.split('/')[1]);
        // `kubectx` is the same program still: its script, which is for every platform.
        if (choice.kind === 'one') assert.equal(choice.asset.name, repo.split('/')[1]);
      }
    });
  }
});
