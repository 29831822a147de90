/** Names of links, by the shapes in which projects on gitlab.com publish. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assetsOf, type Link } from '../../../src/effects/sources/gitlab-links.ts';
import { chooseAsset, chooseChecksums } from '../../../src/machines/asset.ts';

type Shape = { label: string; url: string; direct?: string; type?: string };
const assets = (...shapes: Shape[]) =>
  assetsOf(
    shapes.map(
      ({ label, url, direct, type = 'other' }, index): Link => ({
        id: index + 1,
        name: label,
        url,
        direct_asset_url: direct ?? url,
        link_type: type,
      }),
    ),
  );
const names = (...shapes: Shape[]) => assets(...shapes).map(({ name }) => name);
const PLATFORM = { os: 'linux', arch: 'amd64', libc: 'glibc' };

const RUNNER = 'https://gitlab-runner-downloads.s3.amazonaws.com/v16.8.0';
const PAGES = 'https://gitlab.com/gitlab-org';
const PACKAGES = 'https://gitlab.com/api/v4/projects';

const runner = (label: string, file: string): Shape => ({
  label,
  url: `${RUNNER}/${file}`,
  direct: `${PAGES}/gitlab-runner/-/releases/v16.8.0/downloads/${file}`,
});
const glab = (name: string): Shape => ({
  label: name,
  url: `${PACKAGES}/34675721/packages/generic/glab/1.115.0/${name}`,
  direct: `${PAGES}/cli/-/releases/v1.115.0/downloads/${name}`,
  type: 'package',
});

describe('links of a GitLab release', () => {
  it("are called by their files: GitLab Runner's labels are free text", () => {
    const found = assets(
      runner('package: DEB amd64', 'deb/gitlab-runner_amd64.deb'),
      runner('binary: Linux arm64', 'binaries/gitlab-runner-linux-arm64'),
      runner('binary: Linux amd64', 'binaries/gitlab-runner-linux-amd64'),
      runner('checksums', 'release.sha256'),
    );
    const choice = chooseAsset(found, null, PLATFORM, 'gitlab-runner');
    assert.equal(choice.kind === 'one' && choice.asset.name, 'gitlab-runner-linux-amd64');
    assert.equal(found.at(-1)?.name, 'release.sha256');
    assert.equal(found[0]?.url, `${RUNNER}/deb/gitlab-runner_amd64.deb`);
  });

  it("GoReleaser's are called alike everywhere, and their sums fit", () => {
    const found = assets(
      ...['glab_1.115.0_linux_amd64.tar.gz', 'glab_1.115.0_darwin_amd64.tar.gz'].map(glab),
      glab('checksums.txt'),
    );
    const choice = chooseAsset(found, null, PLATFORM, 'cli');
    assert.equal(choice.kind === 'one' && choice.asset.name, 'glab_1.115.0_linux_amd64.tar.gz');
    assert.equal(chooseChecksums(found, 'glab_1.115.0_linux_amd64.tar.gz')?.name, 'checksums.txt');
  });

  const cases: [title: string, shape: Shape, name: string][] = [
    [
      'a package whose label leaves out the ending (sg-physics-2d)',
      {
        label: 'godot3-linux-v1.0.0-alpha13',
        url: `${PACKAGES}/30360443/packages/generic/precompiled-binaries/v1.0.0-alpha13/sg-physics-2d-godot3-linux-v1.0.0-alpha13.zip`,
      },
      'sg-physics-2d-godot3-linux-v1.0.0-alpha13.zip',
    ],
    [
      'a file of a job (fp-appimage-updater)',
      {
        label: 'fp-appimage-updater.x64',
        url: 'https://gitlab.com/fpsys/fp-appimage-updater/-/jobs/artifacts/main/raw/build/fp-appimage-updater.x64?job=build-and-compress',
        direct:
          'https://gitlab.com/fpsys/fp-appimage-updater/-/releases/v1.2.2/downloads/bin/fp-appimage-updater.x64',
      },
      'fp-appimage-updater.x64',
    ],
    [
      'an upload (AdBlock)',
      {
        label: 'adblock-chrome-44f3b275-mv3.zip',
        url: 'https://gitlab.com/-/project/62936800/uploads/95b0eb135ef57360456df1fe79702719/adblock-chrome-44f3b275-mv3.zip',
      },
      'adblock-chrome-44f3b275-mv3.zip',
    ],
    [
      'a package file by its number',
      { label: 'app_linux_amd64.tar.gz', url: `${PAGES}/app/-/package_files/123/download` },
      'app_linux_amd64.tar.gz',
    ],
    [
      'such a file with a permanent path',
      {
        label: 'Linux binary',
        url: `${PAGES}/app/-/package_files/123/download`,
        direct: `${PAGES}/app/-/releases/v1/downloads/bin/app-linux-amd64`,
      },
      'app-linux-amd64',
    ],
    [
      'the archive of a job, of which nothing tells a name',
      { label: 'Linux binary', url: `${PAGES}/app/-/jobs/artifacts/v1.0/download?job=build` },
      'Linux binary',
    ],
    [
      'a mirror with a page behind the name',
      { label: 'Download', url: 'https://sourceforge.net/projects/x/files/app.tar.gz/download' },
      'app.tar.gz',
    ],
    [
      'an address that is a number',
      { label: 'app-1.2.3.tar.gz', url: 'https://dl.example.com/98123' },
      'app-1.2.3.tar.gz',
    ],
    [
      'a script that sends files',
      { label: 'app.tar.gz', url: 'https://dl.example.com/get.php?id=7' },
      'app.tar.gz',
    ],
    [
      'an escaped name',
      { label: 'build', url: 'https://dl.example.com/app%20one%2B1.zip' },
      'app one+1.zip',
    ],
    [
      'a name that would lead elsewhere',
      { label: 'app', url: 'https://dl.example.com/..%2f..%2fapp.zip' },
      'app',
    ],
    ['a name that is no UTF-8', { label: 'app', url: 'https://dl.example.com/%ff' }, 'app'],
    ['a host alone', { label: 'Web site', url: 'https://example.com' }, 'Web site'],
  ];
  for (const [title, shape, name] of cases) it(title, () => assert.deepEqual(names(shape), [name]));

  it('go by their labels where two files are called the same', () => {
    const base = 'https://dl.example.com';
    assert.deepEqual(
      names(
        { label: 'app-linux', url: `${base}/linux/app` },
        { label: 'app-darwin', url: `${base}/darwin/app` },
        { label: 'sums', url: `${base}/checksums.txt` },
      ),
      ['app-linux', 'app-darwin', 'checksums.txt'],
    );
  });

  it('of whose label no file can be called, and that have no other name, are none', () => {
    const url = 'https://dl.example.com/1/download';
    assert.deepEqual(names({ label: '../app', url }, { label: '..', url: `${url}?2` }), []);
  });

  it('to a runbook or to an image in a registry are none', () => {
    assert.deepEqual(
      names(
        { label: 'How to run it', url: 'https://example.com/run.zip', type: 'runbook' },
        { label: 'Image', url: 'https://registry.gitlab.com/acme/app:1.2.3', type: 'image' },
        { label: 'Disk', url: 'https://example.com/disk.img.gz', type: 'image' },
      ),
      ['disk.img.gz'],
    );
  });
});
