/**
 * A running app is interrupted only when nothing says "not now": every condition alone, every two,
 * and all at once, by generated stories.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Policy } from '../../src/machines/model.ts';
import { CONDITIONS, type Condition, Moment } from '../support/conditions.ts';
import { baked, facts, running, Story, tree, world } from '../support/machine.ts';

const ALONE = CONDITIONS.map((condition) => [condition]);
const PAIRS = CONDITIONS.flatMap((one, i) => CONDITIONS.slice(i + 1).map((other) => [one, other]));
const STRATEGIES = ['download-then-kill', 'kill-then-download', 'hand-over'] as const;

/** What is asked only once nothing else speaks against it. */
const LAST: readonly Condition[] = ['fleet', 'hook'];
const askedLast = (conditions: readonly Condition[]): Condition[] => {
  const first = conditions.filter((condition) => !LAST.includes(condition));
  return first.length > 0 ? first : LAST.filter((one) => conditions.includes(one)).slice(0, 1);
};

describe('conditions', () => {
  for (const strategy of STRATEGIES) {
    for (const conditions of [...ALONE, ...PAIRS, [...CONDITIONS]]) {
      it(`${conditions.join(' and ')} under ${strategy}: the app runs on until the last one ends, and the release is on disk by then`, () => {
        const moment = new Moment(conditions, { strategy }).find();
        assert.equal(moment.story.name, 'waiting');
        assert.deepEqual(
          moment.story.context.candidate?.deferral?.inhibitors.map(({ reason }) => reason),
          askedLast(conditions),
        );
        // A hook is not asked twice for that: under kill-then-download the next try downloads
        // first.
        if (askedLast(conditions)[0] !== 'hook')
          assert.notEqual(moment.story.context.installed, null, 'the time is used');
        for (const [i, condition] of conditions.entries()) {
          assert.deepEqual(moment.interruptions, [], `interrupted before ${condition} ended`);
          moment.end(condition);
          assert.equal(
            moment.interruptions.length,
            i === conditions.length - 1 ? 1 : 0,
            `after ${condition} ended: ${moment.story.name}`,
          );
        }
        assert.deepEqual(moment.interruptions, [[]]);
        assert.equal(moment.holdsLock, false, 'given back once it is healthy');
        assert.equal(moment.story.context.current?.version, '2.0.0');
        assert.equal(moment.story.name, 'running');
      });
    }

    it(`none under ${strategy}: the update is made at once`, () => {
      const moment = new Moment([], { strategy }).find();
      assert.deepEqual(
        [moment.interruptions, moment.story.context.current?.version],
        [[[]], '2.0.0'],
      );
    });
  }

  it('no path interrupts a running app while any of them forbids it, and from everywhere a path ends them all', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('end' as const), condition: fc.constantFrom(...CONDITIONS) }),
      fc.record({
        kind: fc.constant('begin' as const),
        condition: fc.constantFrom(
          'window' as const,
          'busy' as const,
          'hook' as const,
          'paused' as const,
          'fleet' as const,
        ),
      }),
      fc.record({
        kind: fc.constantFrom('tick' as const, 'poll' as const, 'ask' as const, 'boot' as const),
        condition: fc.constant('busy' as const),
      }),
    );
    const told = fc.record({
      strategy: fc.constantFrom(...STRATEGIES),
      first: fc.subarray([...CONDITIONS]),
      steps: fc.array(step, { maxLength: 25 }),
    });
    fc.assert(
      fc.property(told, ({ strategy, first, steps }) => {
        const moment = new Moment(first, { strategy }).find();
        for (const { kind, condition } of steps) play(moment, kind, condition);
        for (const condition of CONDITIONS) moment.end(condition);
        moment.poll();
        assert.deepEqual(moment.interruptions.flat(), [], 'forbidden');
        assert.equal(moment.interruptions.length, 1);
        assert.equal(moment.holdsLock, false);
        assert.equal(moment.story.context.current?.version, '2.0.0');
      }),
      { numRuns: 3000 },
    );
  });
});

function play(
  moment: Moment,
  kind: 'end' | 'begin' | 'tick' | 'poll' | 'ask' | 'boot',
  condition: Condition,
): void {
  switch (kind) {
    case 'end':
      moment.end(condition);
      break;
    case 'begin':
      if (condition !== 'approval' && condition !== 'minAge' && condition !== 'rollout')
        moment.begin(condition);
      break;
    case 'tick':
      moment.tick();
      break;
    case 'poll':
      moment.poll();
      break;
    case 'ask':
      moment.story.when({ type: 'updateRequested' });
      moment.drive();
      break;
    case 'boot':
      moment.boot();
      break;
    default:
      kind satisfies never;
  }
}

describe('the operator', () => {
  for (const condition of CONDITIONS.filter((one) => one !== 'paused')) {
    it(`goes past ${condition} by --force, also for a release that is found after it`, () => {
      const waiting = new Moment([condition]).find();
      waiting.story.when({ type: 'updateRequested', force: true });
      assert.equal(waiting.drive().story.context.current?.version, '2.0.0');
      const early = new Moment([condition]);
      early.story.when({ type: 'updateRequested', force: true });
      assert.equal(early.find().story.context.current?.version, '2.0.0');
    });

    it(`is not taken at an old word: --force of an hour ago does not go past ${condition}`, () => {
      const moment = new Moment([condition]);
      moment.story.when({ type: 'updateRequested', force: true }).after(60 * 60 * 1000);
      assert.deepEqual(moment.find().interruptions, []);
    });
  }

  it('who paused has to resume: --force does not', () => {
    const moment = new Moment(['paused']).find();
    moment.story.when({ type: 'updateRequested', force: true });
    assert.deepEqual(moment.drive().interruptions, []);
  });

  it('who names a version by install is asked for nothing but the app', () => {
    const moment = new Moment(['approval', 'minAge', 'window']);
    moment.story
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null })
      .when(facts.found('2.0.0'), 'check');
    assert.equal(moment.drive().story.context.hold?.version, '2.0.0');
    const busy = new Moment(['busy']);
    busy.story
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null })
      .when(facts.found('2.0.0'), 'check');
    assert.equal(busy.drive().story.name, 'waiting');
    assert.equal(busy.end('busy').story.context.hold?.version, '2.0.0');
    const forced = new Moment(['busy']);
    forced.story
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null, force: true })
      .when(facts.found('2.0.0'), 'check');
    assert.equal(forced.drive().story.context.hold?.version, '2.0.0');
  });

  it('approves the bytes at hand: an asset that is replaced afterwards waits again', () => {
    const moment = new Moment(['approval', 'busy']).find();
    moment.story.when({ type: 'versionApproved', version: '2.0.0' });
    const other = facts.found('2.0.0');
    assert.ok(other.type === 'releaseFound');
    const { asset } = other.release;
    moment.forbidding.delete('busy');
    moment.story.when({
      type: 'releaseFound',
      release: {
        ...other.release,
        publishedAt: '2020-01-01T00:00:00Z',
        asset: { ...asset, digest: 'f'.repeat(64) },
      },
    });
    assert.deepEqual(moment.drive().interruptions, []);
    assert.equal(moment.story.name, 'waiting');
  });

  it('may approve a version before it is found', () => {
    const moment = new Moment(['approval']);
    moment.story.when({ type: 'versionApproved', version: '2.0.0' });
    moment.forbidding.delete('approval');
    assert.deepEqual(moment.find().interruptions, [[]]);
  });

  it('who denies what waits ends the wait', () => {
    const moment = new Moment(['window']).find();
    moment.story.when({ type: 'versionDenied', version: '2.0.0' });
    assert.equal(moment.story.context.candidate, null);
    assert.equal(moment.drive().poll().story.name, 'running');
  });

  it('whose environment denies a version is not disobeyed, whatever the journal says', () => {
    const moment = new Moment([], { denied: ['2.0.0'] }).find();
    assert.deepEqual([moment.interruptions, moment.story.context.candidate], [[], null]);
  });
});

describe('an urgent release', () => {
  const urgent = { urgentAllowed: true };
  it('goes past window and minimum age where that is allowed', () => {
    assert.deepEqual(
      new Moment(['window', 'minAge'], urgent).find({ urgent: true }).interruptions,
      [['window', 'minAge']],
    );
  });

  for (const condition of ['paused', 'approval', 'busy', 'hook'] as const)
    it(`does not go past ${condition}`, () =>
      assert.deepEqual(new Moment([condition], urgent).find({ urgent: true }).interruptions, []));

  it('is like any other where it is not allowed', () => {
    assert.deepEqual(new Moment(['window']).find({ urgent: true }).interruptions, []);
  });
});

describe('a minimum age', () => {
  it('is never reached by a release whose time is not known', () => {
    const moment = new Moment(['minAge']);
    moment.story.when(facts.found('2.0.0', { publishedAt: null }));
    assert.equal(moment.drive().story.name, 'waiting');
    moment.story.after(10 * 365 * 86_400_000);
    assert.deepEqual(moment.drive().tick().interruptions, []);
  });

  it('protects from a release that its maintainer takes back', () => {
    const moment = new Moment(['minAge']).find();
    moment.story.when(facts.found('1.0.0'));
    assert.equal(moment.story.context.candidate, null);
    assert.equal(moment.story.name, 'running');
    const gone = new Moment(['minAge']).find();
    gone.story.when({ type: 'nothingNewer' });
    assert.equal(gone.story.context.candidate, null);
  });
});

describe('a boot', () => {
  const conditions: Partial<Policy> = {
    window: { text: '02:00-05:00', timeZone: 'UTC', spans: [] },
    strategy: 'download-then-kill',
  };
  const closed = {
    type: 'conditionsObserved',
    window: { isOpen: false, changesAt: 9_000_000 },
    busy: null,
  } as const;

  it('outside the window starts nothing new: the old version is started, and the new one is fetched behind it', () => {
    const story = new Story({ policy: conditions })
      .when(facts.foundDown())
      .when(facts.found('2.0.0'));
    assert.deepEqual(story.effects, ['observeConditions']);
    story.when(closed);
    assert.deepEqual([story.name, story.context.target?.version], ['switching', '1.0.0']);
    story
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'))
      .when(facts.healthy('1.0.0'));
    assert.deepEqual([story.name, story.timers[0]?.inMs], ['waiting', 0]);
    story.when({ type: 'retryDue' });
    assert.equal(story.name, 'downloading');
  });

  it('inside the window takes the new version before it starts anything', () => {
    const story = new Story({ policy: conditions })
      .when(facts.foundDown())
      .when(facts.found('2.0.0'));
    story.when({ ...closed, window: { isOpen: true, changesAt: null } });
    assert.equal(story.name, 'downloading');
  });

  it('with nothing to run waits for no window', () => {
    const empty = world({ baked: null });
    const story = new Story({ policy: conditions, world: empty })
      .when(facts.foundDown(empty))
      .when(facts.found('2.0.0'))
      .when(closed);
    assert.equal(story.name, 'downloading');
  });

  it('whose own version does not start waits for no window', () => {
    const story = new Story({ policy: conditions })
      .when(facts.foundDown())
      .when(facts.found('2.0.0'))
      .when(closed)
      .when(facts.switched(baked('1.0.0')))
      .when(facts.failed('startFailed'));
    assert.equal(story.name, 'waiting');
    story.when({ type: 'retryDue' }).when(facts.installed('2.0.0')).when(closed);
    assert.deepEqual(story.effects, ['prepareSwitch']);
  });

  it('in the middle of a download that only used the time of a wait does not wait for it', () => {
    const { story } = new Moment(['window'], { strategy: 'kill-then-download' });
    story.when(facts.found('2.0.0')).when(closed);
    assert.equal(story.name, 'downloading');
    story.when(facts.foundDown(world({ current: baked('1.0.0') })));
    assert.equal(story.name, 'switching');
  });
});

describe('an app that does not stay up while an update waits for its window', () => {
  it('goes back to what was good, or else does not have to be asked', () => {
    const back = new Moment(['window']).find();
    back.story.when(facts.crashLooped('1.0.0'));
    // The baked version is all there is, so what waits is taken.
    assert.deepEqual(back.story.effects, ['observeConditions']);
    assert.equal(back.drive().story.context.current?.version, '2.0.0');
  });
});

describe('the wait for a busy app', () => {
  it('lets a version that was just started prove itself first', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } })
      .when(facts.found('2.0.0'))
      .when(facts.installed('2.0.0'))
      .when(facts.busy());
    assert.equal(story.name, 'waiting');
    story
      .when(facts.foundDown(world({ current: tree('1.5.0'), lastGood: baked('1.0.0') })))
      .when({ type: 'checkFailed', code: 'NETWORK_FAILED', message: 'reason' });
    story.when(facts.switched(tree('1.5.0'))).when(facts.started('1.5.0'));
    assert.deepEqual([story.name, story.effects], ['running', ['observeProbation']]);
    story.when(facts.healthy('1.5.0'));
    assert.deepEqual([story.name, story.context.candidate?.release.version], ['waiting', '2.0.0']);
  });
});

describe('a release that waits', () => {
  const closed = {
    type: 'conditionsObserved',
    window: { isOpen: false, changesAt: 9_000_000 },
    busy: null,
  } as const;
  const seen = world({ current: baked('1.0.0'), lastGood: baked('1.0.0') });

  for (const [what, change] of [
    ['denied by the environment', { denied: ['2.0.0'] as string[] }],
    ['beside the pinned tag', { tag: 'v1.0.0' }],
    ['out of the range', { range: '<2' }],
  ] as const)
    it(`is dropped when a new configuration has it ${what}`, () => {
      const moment = new Moment(['window']).find();
      moment.story.when({
        type: 'configurationChanged',
        policy: { ...moment.story.context.policy, ...change },
      });
      moment.forbidding.clear();
      assert.equal(moment.story.context.candidate, null);
      assert.deepEqual(moment.drive().tick().interruptions, []);
    });

  it('is not run though it was denied while its data was being prepared', () => {
    const story = new Story({
      policy: {
        strategy: 'download-then-kill',
        hooks: { preStop: false, preStart: true, postUpdate: false },
      },
    });
    story.when(facts.foundDown()).when({ type: 'hookSucceeded', hook: 'preStart', durationMs: 1 });
    story
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'))
      .when(facts.healthy('1.0.0'))
      .when(facts.tidied());
    story
      .when(facts.found('2.0.0'))
      .when(facts.installed('2.0.0'))
      .when(facts.allowed())
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped());
    assert.equal(story.name, 'migrating');
    story.when({ type: 'versionDenied', version: '2.0.0' });
    assert.deepEqual(
      [story.name, story.context.target?.version, story.context.change?.reason],
      ['migrating', '1.0.0', 'rollback'],
    );
  });

  it('and is taken back is not run after a boot either, nor when its assets are gone', () => {
    for (const gone of [facts.found('1.0.0'), { type: 'nothingNewer' }] as const) {
      const { story } = new Moment(['window']).find();
      story.when(facts.foundDown(seen)).when(gone);
      assert.equal(story.context.candidate, null);
    }
    for (const [code, candidate] of [
      ['NOT_FOUND', null],
      ['NETWORK_FAILED', '2.0.0'],
    ] as const) {
      const { story } = new Moment(['window']).find();
      story.when({ type: 'checkFailed', code, message: 'reason' }, null);
      assert.equal(story.context.candidate?.release.version ?? null, candidate);
    }
    const refused = new Moment(['window']).find().story;
    refused.when({
      type: 'releaseRefused',
      tag: 'v2.0.0',
      version: '2.0.0',
      code: 'ASSET_MISSING',
      message: 'reason',
    });
    assert.equal(refused.context.candidate, null);
  });

  it('leaves nothing behind that would stop it again once it runs', () => {
    const story = running().when(facts.found('2.0.0')).when(facts.busy());
    assert.equal(story.name, 'downloading');
    story
      .when(facts.installed('2.0.0'))
      .when(facts.allowed())
      .when({ type: 'hookSucceeded', hook: 'preStop', durationMs: 1 });
    story
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped())
      .when(facts.switched(tree('2.0.0')))
      .when(facts.started('2.0.0'));
    assert.deepEqual([story.name, story.effects], ['running', ['observeProbation']]);
  });

  it('goes on when the operator gives his word while something else is going on', () => {
    const moment = new Moment(['approval']).find();
    moment.story
      .when(facts.foundDown(seen))
      .when({ type: 'versionApproved', version: '2.0.0' })
      .when({ type: 'checkFailed', code: 'NETWORK_FAILED', message: 'reason' });
    moment.forbidding.clear();
    assert.equal(moment.drive().story.context.current?.version, '2.0.0');
  });

  it('still has its time when the version that runs fails its probation and there is no other', () => {
    const story = new Story({
      policy: {
        strategy: 'download-then-kill',
        window: { text: '02:00-05:00', timeZone: 'UTC', spans: [] },
      },
    });
    story.when(facts.foundDown()).when(facts.found('2.0.0')).when(closed);
    story
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'))
      .when(facts.failed('probationFailed', 'APP_EXITED'));
    assert.deepEqual([story.name, story.timers.length], ['waiting', 1]);
  });

  it('tells after a failure what it waits for then, and fails no faster for a crash loop', () => {
    const { story } = new Moment(['window']).find();
    story
      .when({ type: 'retryDue' })
      .when(facts.allowed())
      .when({ type: 'hookSucceeded', hook: 'preStop', durationMs: 1 });
    story.when(facts.failed('preparationFailed', 'NO_SPACE'));
    assert.equal(story.context.candidate?.deferral, null);
    const before = story.context.retryAt;
    story.when(facts.crashLooped('1.0.0'));
    assert.deepEqual([story.name, story.context.retryAt], ['waiting', before]);
  });
});
