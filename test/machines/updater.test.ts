import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Candidate } from '../../src/machines/context.ts';
import { shownState } from '../../src/machines/shown.ts';
import {
  baked,
  facts,
  release,
  running,
  Story,
  tree,
  updatedTo,
  world,
} from '../support/machine.ts';

describe('at boot', () => {
  it('checks before it starts anything', () => {
    const story = new Story().when(facts.foundDown());
    assert.equal(story.name, 'checking');
    assert.deepEqual(story.effects, ['check']);
  });

  it('starts the baked version when there is nothing newer', () => {
    const story = new Story().when(facts.foundDown()).when({ type: 'nothingNewer' });
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.equal(story.name, 'running');
    assert.deepEqual(story.effects, ['observeProbation']);
  });
});

describe('kill-then-download', () => {
  it('follows the order of its name', () => {
    const story = running();
    const names = [story.when(facts.found('2.0.0')).name];
    for (const fact of [
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.downloaded('2.0.0'),
      facts.verified(),
      facts.installed('2.0.0'),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ]) {
      names.push(story.when(fact).name);
    }
    assert.deepEqual(names, [
      'preparing',
      'stopping',
      'downloading',
      'verifying',
      'extracting',
      'switching',
      'starting',
      'running',
    ]);
  });

  it('brings the old version up at once when the download fails, and downloads first the next time', () => {
    const story = running()
      .when(facts.found('2.0.0'))
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped())
      .when(facts.failed('downloadFailed'));
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 1000 }]);
    story.after(1000).when({ type: 'retryDue' });
    assert.equal(story.name, 'downloading');
    assert.equal(story.context.app, 'up');
  });
});

describe('download-then-kill', () => {
  it('stops the app only when the new tree is complete', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } });
    const names = [story.when(facts.found('2.0.0')).name];
    for (const fact of [
      facts.downloaded('2.0.0'),
      facts.verified(),
      facts.installed('2.0.0'),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ]) {
      names.push(story.when(fact).name);
    }
    assert.deepEqual(names, [
      'downloading',
      'verifying',
      'extracting',
      'preparing',
      'stopping',
      'switching',
      'starting',
      'running',
    ]);
  });
});

describe('another release right after a switch that failed', () => {
  const failed = () => {
    const story = running({ policy: { strategy: 'download-then-kill', retryBaseMs: 300_000 } });
    for (const fact of [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.allowed(),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.failed('switchFailed', 'DISK_ERROR'),
      // `current` can't be moved back either; what it names is started.
      facts.failed('switchFailed', 'DISK_ERROR'),
      facts.started('1.0.0'),
    ])
      story.when(fact);
    return story;
  };

  it('is taken, and waits until the app has run for a minute', () => {
    const story = failed().after(3000).when(facts.found('2.1.0'));
    assert.equal(story.name, 'waiting');
    assert.equal(story.context.candidate?.release.version, '2.1.0');
    assert.deepEqual(story.effects, []);
    const [timer] = story.timers;
    assert.ok(timer !== undefined && timer.inMs > 50_000 && timer.inMs <= 57_000);
    story.after(5000).when(facts.found('2.2.0'));
    assert.deepEqual([story.name, story.effects], ['waiting', []], 'a third one waits as well');
    assert.deepEqual(
      story.timers.map(({ inMs }) => inMs),
      [timer.inMs - 5000],
      'and no longer',
    );
    story.after(timer.inMs - 5000).when({ type: 'retryDue' });
    assert.equal(story.name, 'downloading');
    assert.equal(story.context.candidate?.release.version, '2.2.0');
  });

  it('is tried at once when the operator says so', () => {
    const story = failed().after(3000).when(facts.found('2.1.0'));
    assert.equal(story.name, 'waiting');
    story.when({ type: 'updateRequested', force: false });
    assert.equal(story.name, 'downloading');
  });
});

describe('a release that keeps failing', () => {
  it('is paced, then given up after the last try, with the reason on record', () => {
    const story = running({ policy: { strategy: 'download-then-kill', maxAttempts: 3 } }).when(
      facts.found('2.0.0'),
    );
    const pauses: number[] = [];
    for (let attempt = 1; attempt < 3; attempt++) {
      story.when(facts.failed('downloadFailed'));
      assert.equal(story.name, 'waiting');
      pauses.push(story.timers[0]?.inMs ?? 0);
      story.after(pauses.at(-1) ?? 0).when({ type: 'retryDue' });
    }
    assert.deepEqual(pauses, [1000, 2000]);
    story.when(facts.failed('downloadFailed', 'DOWNLOAD_CUT'));
    assert.equal(story.name, 'running');
    assert.deepEqual(
      story.context.denied.map(({ version, code }) => [version, code]),
      [['2.0.0', 'DOWNLOAD_CUT']],
    );
    assert.match(
      story.context.lastError?.message ?? '',
      /given up after 3 tries.*self-update retry 2\.0\.0/,
    );
    assert.equal(story.when(facts.found('2.0.0')).name, 'running');
  });

  it("is not given up because others behind the same address have used up GitHub's quota", () => {
    const story = running({ policy: { strategy: 'download-then-kill' } }).when(
      facts.found('2.0.0'),
    );
    for (let attempt = 1; attempt <= 5; attempt++) {
      story.when(facts.failed('downloadFailed', 'RATE_LIMITED'));
      story.after(3_600_000).when({ type: 'retryDue' });
    }
    story.when(facts.downloaded('2.0.0')).when(facts.failed('verificationFailed', 'RATE_LIMITED'));
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.context.denied, []);
  });

  it('gets a new chance by the operator, by other bytes under the same tag, and by a newer release', () => {
    const givenUp = () =>
      running({ policy: { strategy: 'download-then-kill' } })
        .when(facts.found('2.0.0'))
        .when(facts.failed('downloadFailed', 'ASSET_TOO_LARGE'));
    assert.equal(givenUp().when(facts.found('2.0.0')).name, 'running');
    assert.equal(
      givenUp().when({ type: 'versionRetried', version: '2.0.0' }).when(facts.found('2.0.0')).name,
      'downloading',
    );
    const replaced = { asset: { ...release('2.0.0').asset, digest: 'f'.repeat(64) } };
    assert.equal(givenUp().when(facts.found('2.0.0', replaced)).name, 'downloading');
    assert.equal(givenUp().when(facts.found('3.0.0')).name, 'downloading');
  });

  it('counts no try for trouble of this machine', () => {
    const story = running({ policy: { strategy: 'download-then-kill', maxAttempts: 2 } }).when(
      facts.found('2.0.0'),
    );
    for (let i = 0; i < 10; i++)
      story
        .when(facts.failed('downloadFailed', 'NO_SPACE'))
        .after(10_000_000)
        .when({ type: 'retryDue' });
    assert.equal(story.context.candidate?.attempt, 1);
  });
});

describe('never backwards by itself', () => {
  it('takes no older release, also when GitHub calls it the latest', () => {
    assert.equal(updatedTo('2.0.0').when(facts.found('1.5.0')).name, 'running');
  });

  it('remembers the highest healthy version after the operator went back', () => {
    const story = updatedTo('2.0.0').when({ type: 'installRequested', tag: 'v1.0.0', file: null });
    for (const fact of [
      facts.found('1.0.0'),
      facts.installed('1.0.0'),
      facts.switchStarted('1.0.0'),
      facts.stopped(),
    ])
      story.when(fact);
    for (const fact of [
      facts.switched(tree('1.0.0')),
      facts.started('1.0.0'),
      facts.healthy('1.0.0'),
      facts.tidied(),
    ])
      story.when(fact);
    assert.equal(story.context.hold?.version, '1.0.0');
    assert.equal(story.when(facts.found('3.0.0')).name, 'running', 'a held version stays');
    story.when({ type: 'holdReleased' });
    assert.equal(
      story.when(facts.found('1.5.0')).name,
      'running',
      'newer than what runs, but below what was healthy here',
    );
    assert.equal(story.when(facts.found('3.0.0')).name, 'downloading');
  });

  it('does not follow an asset that was replaced under the same tag', () => {
    const replaced = { asset: { ...release('2.0.0').asset, digest: 'f'.repeat(64) } };
    assert.equal(updatedTo('2.0.0').when(facts.found('2.0.0', replaced)).name, 'running');
  });

  it('does nothing while paused', () => {
    const story = updatedTo('2.0.0').when({ type: 'paused' });
    assert.equal(story.when(facts.found('3.0.0')).name, 'running');
    assert.equal(story.when({ type: 'resumed' }).when(facts.found('3.0.0')).name, 'downloading');
  });
});

describe('probation', () => {
  const started = (rollback: 'auto' | 'manual' = 'auto') =>
    [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ].reduce(
      (story, fact) => story.when(fact),
      running({ policy: { strategy: 'download-then-kill', rollback } }),
    );

  it('is followed by the last good version and a denial when it fails', () => {
    const story = started().when(facts.failed('probationFailed', 'UNHEALTHY'));
    assert.equal(story.name, 'rollingBack');
    story.when(facts.stopped());
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
    assert.deepEqual(
      story.context.denied.map(({ version, code }) => [version, code]),
      [['2.0.0', 'UNHEALTHY']],
    );
  });

  it('only raises the alarm where rollback is manual', () => {
    const story = started('manual').when(facts.failed('probationFailed', 'UNHEALTHY'));
    assert.equal(story.name, 'running');
    assert.equal(story.context.lastError?.code, 'UNHEALTHY');
  });
});

describe("the operator's word", () => {
  it('restart stops and starts the same version, and leaves a waiting release waiting', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } })
      .when(facts.found('2.0.0'))
      .when(facts.failed('downloadFailed'));
    story.when({ type: 'restartRequested' });
    assert.equal(story.name, 'stopping');
    story.when(facts.stopped());
    assert.equal(story.name, 'starting');
    story.when(facts.started('1.0.0'));
    assert.equal(story.name, 'waiting');
    assert.equal(story.context.candidate?.attempt, 2);
  });

  it('deny ends the update to that very version at once', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } }).when(
      facts.found('2.0.0'),
    );
    story.when({ type: 'versionDenied', version: '2.0.0' });
    assert.equal(story.name, 'running');
    assert.equal(story.when(facts.found('2.0.0')).name, 'running');
  });

  it('another repository ends what was under way, and binds nothing that was learnt of the first one', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } }).when(
      facts.found('2.0.0'),
    );
    story.when({
      type: 'configurationChanged',
      policy: { ...story.context.policy, repository: 'acme/other' },
    });
    assert.equal(story.name, 'running');
    assert.equal(story.context.candidate as unknown, null);
    assert.equal(story.context.highestHealthy, null);
  });

  const awaited = {
    type: 'assetsAwaited',
    tag: 'v2.0.0',
    version: '2.0.0',
    code: 'ASSET_MISSING',
    message: 'still uploading',
  } as const;
  const waits: [string, string, () => Story][] = [
    [
      'forRetry',
      'a failed download',
      () =>
        running({ policy: { strategy: 'download-then-kill' } })
          .when(facts.found('2.0.0'))
          .when(facts.failed('downloadFailed')),
    ],
    ['forAssets', 'assets', () => running().when(awaited)],
    [
      'forPermission',
      'its moment',
      () =>
        running()
          .when(facts.found('2.0.0'))
          .when(facts.busy())
          .when(facts.installed('2.0.0'))
          .when(facts.busy()),
    ],
  ];
  for (const [phase, what, begin] of waits)
    it(`another repository leaves nothing to wait for where the app runs and ${what} was waited for`, () => {
      const story = begin();
      assert.deepEqual(shownState(story.state.snapshot), { state: 'waiting', phase });
      story.when({
        type: 'configurationChanged',
        policy: { ...story.context.policy, repository: 'acme/other' },
      });
      assert.deepEqual([shownState(story.state.snapshot).state, story.timers], ['running', []]);
    });

  it('a new rule that the release at hand does not meet leaves nothing to wait for, and one that says nothing of it changes nothing', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } })
      .when(facts.found('2.0.0'))
      .when(facts.failed('downloadFailed'));
    const { timers } = story;
    story.when({ type: 'configurationChanged', policy: { ...story.context.policy, minAgeMs: 5 } });
    assert.deepEqual(
      [shownState(story.state.snapshot), story.timers],
      [{ state: 'waiting', phase: 'forRetry' }, timers],
    );
    story.when({ type: 'configurationChanged', policy: { ...story.context.policy, range: '<2' } });
    assert.deepEqual([story.name, story.timers], ['running', []]);
  });

  it('another repository is looked at after the same pause where nothing runs', () => {
    const story = new Story({ world: world({ baked: null }) })
      .when(facts.foundDown(world({ baked: null })))
      .when({ type: 'nothingNewer' });
    const { timers } = story;
    assert.deepEqual(
      [shownState(story.state.snapshot), timers.length],
      [{ state: 'waiting', phase: 'forVersion' }, 1],
    );
    story.when({
      type: 'configurationChanged',
      policy: { ...story.context.policy, repository: 'acme/other' },
    });
    assert.deepEqual(
      [shownState(story.state.snapshot), story.timers],
      [{ state: 'waiting', phase: 'forVersion' }, timers],
    );
  });
});

describe('assets that are not there yet', () => {
  it('are waited for without counting a try, and fetched when they come', () => {
    const awaited = {
      type: 'assetsAwaited',
      tag: 'v2.0.0',
      version: '2.0.0',
      code: 'ASSET_MISSING',
      message: 'still uploading',
    } as const;
    const story = running().when(awaited);
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.context.candidate, null);
    const before = story.state;
    assert.equal(story.when(awaited).state, before, 'the same news is no news');
    assert.equal(
      story.when({ ...awaited, message: 'another text at each poll' }).state,
      before,
      'nor is it in other words',
    );
    story.when(facts.found('2.0.0'));
    assert.equal(story.name, 'preparing');
    assert.equal((story.context.candidate as Candidate | null)?.attempt, 1);
  });
});

describe('a newer image over an older volume', () => {
  it('wins at boot, unless an operator holds a version', () => {
    const seen = world({ baked: baked('3.0.0'), current: tree('2.0.0'), lastGood: tree('2.0.0') });
    const story = updatedTo('2.0.0').when(facts.foundDown(seen)).when({ type: 'nothingNewer' });
    assert.equal(story.context.target?.version, '3.0.0');
    const held = updatedTo('2.0.0');
    held.when({ type: 'installRequested', tag: 'v2.0.0', file: null }).when(facts.found('2.0.0'));
    assert.equal(held.name, 'running', 'what runs already is held without a restart');
    held.when(facts.foundDown(seen)).when({ type: 'nothingNewer' });
    assert.equal(held.context.target?.version, '2.0.0');
  });
});

describe('a crash loop of a version that was trusted', () => {
  it('brings back what was good before, and denies it', () => {
    const story = updatedTo('2.0.0').when(facts.crashLooped('2.0.0'));
    assert.equal(story.name, 'rollingBack');
    story
      .when(facts.stopped())
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'));
    assert.equal(story.context.current?.version, '1.0.0');
    assert.deepEqual(
      story.context.denied.map(({ version, code }) => [version, code]),
      [['2.0.0', 'CRASH_LOOP']],
    );
    assert.deepEqual(
      story.effects,
      ['observeProbation'],
      'what comes back has to prove itself again',
    );
    story.when(facts.healthy('1.0.0')).when(facts.found('2.0.0'));
    assert.equal(story.name, 'running', 'it is not taken again by itself');
    assert.equal(story.when(facts.found('2.0.1')).name, 'downloading', 'a newer one is');
  });

  it('of the only version there is, is reported once, and nothing oscillates', () => {
    const story = running().when(facts.crashLooped('1.0.0'));
    assert.equal(story.name, 'running');
    assert.equal(story.context.lastError?.code, 'CRASH_LOOP');
    const before = story.state;
    assert.equal(story.when(facts.crashLooped('1.0.0')).state, before);
  });

  it('of the version that was fallen back to does not lead back to the denied one', () => {
    const story = updatedTo('2.0.0')
      .when(facts.crashLooped('2.0.0'))
      .when(facts.stopped())
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'));
    story.when(facts.healthy('1.0.0')).when(facts.crashLooped('1.0.0'));
    assert.equal(story.name, 'running');
    assert.equal(story.context.current?.version, '1.0.0');
  });

  it('only raises the alarm under UPDATE_ROLLBACK=manual, and for a held version', () => {
    const manual = updatedTo('2.0.0', {
      policy: { strategy: 'download-then-kill', rollback: 'manual' },
    }).when(facts.crashLooped('2.0.0'));
    assert.equal(manual.name, 'running');
    assert.equal(manual.context.lastError?.code, 'CRASH_LOOP');
    const held = updatedTo('2.0.0')
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null })
      .when(facts.found('2.0.0'))
      .when(facts.tidied());
    assert.equal(held.context.hold?.version, '2.0.0');
    held.when(facts.crashLooped('2.0.0'));
    assert.equal(held.name, 'running');
    assert.deepEqual([held.context.lastError?.code, held.context.denied], ['CRASH_LOOP', []]);
  });
});

describe('an updater that is killed in the middle of the work', () => {
  const killed = { type: 'workInterrupted', effect: 'extract' } as const;
  const extracting = () =>
    running({ policy: { strategy: 'download-then-kill' } })
      .when(facts.found('2.0.0'))
      .when(facts.downloaded('2.0.0'))
      .when(facts.verified());

  it('begins once more, ten times, and then gives the release up; the app runs on', () => {
    const story = extracting();
    for (let i = 0; i < 10; i++) assert.equal(story.when(killed).name, 'extracting');
    assert.equal(story.when(killed).name, 'running');
    assert.equal(story.context.candidate, null);
    assert.match(story.context.denied[0]?.reason ?? '', /out of memory/);
    assert.equal(story.when(facts.found('2.0.0')).name, 'running');
    assert.equal(
      story.when({ type: 'versionRetried', version: '2.0.0' }).when(facts.found('2.0.0')).name,
      'downloading',
    );
  });

  it('starts the old version at once when that happens with the app stopped', () => {
    const story = running()
      .when(facts.found('2.0.0'))
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped());
    for (let i = 0; i < 10; i++) story.when(killed);
    assert.equal(story.when(killed).name, 'switching');
    assert.equal(story.context.target?.version, '1.0.0');
  });
});

describe('trouble of this machine', () => {
  it('is looked at again less and less often, and the release is never given up', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } }).when(
      facts.found('2.0.0'),
    );
    const pauses: number[] = [];
    for (let i = 0; i < 20; i++) {
      story.when(facts.failed('downloadFailed', 'NO_SPACE'));
      const [timer] = story.timers;
      pauses.push(timer?.inMs ?? 0);
      story.after(timer?.inMs ?? 0).when({ type: 'retryDue' });
    }
    assert.deepEqual(pauses.slice(0, 4), [1000, 2000, 4000, 8000]);
    assert.equal(pauses.at(-1), 60 * 60 * 1000);
    assert.equal(story.name, 'downloading');
    assert.equal(story.context.candidate?.attempt, 1);
  });
});

describe('a start that fails for trouble of this machine', () => {
  it('brings the old version back, denies nothing, and is tried again', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } });
    for (const fact of [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
    ])
      story.when(fact);
    story.when(facts.failed('startFailed', 'TOO_MANY_FILES')).when(facts.stopped());
    assert.equal(story.context.target?.version, '1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.deepEqual(story.context.denied, []);
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 1000 }]);
  });
});

describe('a version that passed probation on a disk that could not record it', () => {
  it('runs on, is not denied, and proves itself once more', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } });
    for (const fact of [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
    ])
      story.when(fact);
    story.when(facts.started('2.0.0')).when(facts.failed('probationFailed', 'NO_SPACE'));
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.context.denied, []);
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 1000 }]);
    story.after(1000).when({ type: 'retryDue' });
    assert.deepEqual(story.effects, ['observeProbation']);
    story.when(facts.healthy('2.0.0'));
    assert.equal(story.context.lastGood?.version, '2.0.0');
  });
});

describe('a release that waits for its next try', () => {
  it('is fetched from where it is by then, when it was uploaded anew', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } })
      .when(facts.found('2.0.0'))
      .when(facts.failed('downloadFailed'));
    const { asset } = release('2.0.0');
    story.when(
      facts.found('2.0.0', { asset: { ...asset, id: 7, url: 'https://api.github.com/a/7' } }),
    );
    assert.equal(story.name, 'waiting');
    assert.equal(story.context.candidate?.attempt, 2);
    story.after(1000).when({ type: 'retryDue' });
    assert.equal(story.context.candidate?.release.asset.id, 7);
    assert.equal(story.name, 'downloading');
  });
});

describe('a journal that begins anew', () => {
  it('installs nothing older than the trees on disk, whatever is linked', () => {
    const seen = world({ current: tree('1.5.0'), lastGood: tree('1.5.0') });
    const story = new Story({
      policy: { strategy: 'download-then-kill' },
      world: seen,
      floor: '2.0.0',
    }).when(facts.foundUp(seen));
    assert.equal(story.when(facts.found('1.9.0')).name, 'running');
    assert.equal(story.when(facts.found('2.0.0')).name, 'downloading');
  });

  it('counts the last good version too, be it one of the image that is newer than every tree', () => {
    const seen = world({ baked: baked('3.0.0'), current: tree('1.5.0'), lastGood: baked('3.0.0') });
    const story = new Story({
      policy: { strategy: 'download-then-kill' },
      world: seen,
      floor: '2.0.0',
    }).when(facts.foundUp(seen));
    assert.equal(story.when(facts.found('2.5.0')).name, 'running');
  });
});

describe('the tree of a version that failed', () => {
  it('is not kept', () => {
    const story = updatedTo('2.0.0');
    for (const fact of [
      facts.found('3.0.0'),
      facts.installed('3.0.0'),
      facts.switchStarted('3.0.0'),
      facts.stopped(),
      facts.switched(tree('3.0.0')),
    ])
      story.when(fact);
    story
      .when(facts.started('3.0.0'))
      .when(facts.failed('probationFailed', 'UNHEALTHY'))
      .when(facts.stopped());
    story.when(facts.switched(tree('2.0.0'))).when(facts.started('2.0.0'));
    const request = story.state.effects.get('removeOldVersions')?.request;
    assert.deepEqual(request?.input, {
      keep: ['/d/releases/2.0.0'],
      reject: ['/d/releases/3.0.0'],
    });
  });
});
