/**
 * When versions don't start, or don't stay up: what is tried, in which order, and after which
 * pauses.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextOutage } from '../../src/machines/pacing.ts';
import { deserializeState, replay, serializeState } from '../../src/runtime/fold.ts';
import { baked, facts, running, Story, tree, updatedTo, world } from '../support/machine.ts';

const endedEarly = (version: string) =>
  ({ type: 'appExitedEarly', version, code: 'APP_EXITED', message: 'the reason' }) as const;
const ended = () => facts.failed('probationFailed', 'APP_EXITED');
const denied = (story: Story) => story.context.denied.map(({ version, code }) => [version, code]);

/** 2.0.0 has just been started in the place of 1.0.0. */
function started(): Story {
  const story = running({ policy: { strategy: 'download-then-kill' } });
  const update = [
    facts.found('2.0.0'),
    facts.installed('2.0.0'),
    facts.allowed(),
    facts.switchStarted('2.0.0'),
    facts.stopped(),
    facts.switched(tree('2.0.0')),
  ];
  return [...update, facts.started('2.0.0')].reduce((told, fact) => told.when(fact), story);
}

/** 2.0.0 ended twice, and 1.0.0 is back. */
function tookBack(): Story {
  return started()
    .when(endedEarly('2.0.0'))
    .when(ended())
    .when(facts.stopped())
    .when(facts.switched(baked('1.0.0')))
    .when(facts.started('1.0.0'));
}

/** Two versions are known, and the files of both are gone. */
function lostBoth(): Story {
  const story = updatedTo('2.0.0')
    .when(facts.found('3.0.0'))
    .when(facts.installed('3.0.0'))
    .when(facts.allowed())
    .when(facts.switchStarted('3.0.0'));
  story
    .when(facts.stopped())
    .when(facts.switched(tree('3.0.0')))
    .when(facts.started('3.0.0'))
    .when(facts.healthy('3.0.0'))
    .when(facts.tidied());
  return story.when({ ...facts.crashLooped('3.0.0'), code: 'TREE_MISSING' } as never);
}

describe('a version that ends early', () => {
  it('is started once more by its supervisor, and trusted if it stays up then', () => {
    const story = started().when(endedEarly('2.0.0'));
    assert.equal(story.name, 'running');
    assert.deepEqual(denied(story), []);
    const request = story.state.effects.get('observeProbation')?.request;
    assert.equal(request?.name === 'observeProbation' && request.input.again, true);
    story.when(facts.healthy('2.0.0'));
    assert.equal(story.context.lastGood?.version, '2.0.0');
    assert.deepEqual(story.context.restarted, []);
  });

  it('is judged when it ends again, and the version before it comes back at once', () => {
    const story = started().when(endedEarly('2.0.0')).when(ended());
    assert.equal(story.name, 'rollingBack');
    assert.deepEqual(denied(story), [['2.0.0', 'APP_EXITED']]);
    assert.equal(story.when(facts.stopped()).context.target?.version, '1.0.0');
    assert.deepEqual(story.timers, []);
  });

  it('stays denied when what came back stays up', () => {
    const story = tookBack();
    assert.deepEqual(story.effects, ['observeProbation'], 'its fate decides about the denial');
    story.when(facts.healthy('1.0.0'));
    assert.equal(story.name, 'running');
    assert.deepEqual(denied(story), [['2.0.0', 'APP_EXITED']]);
    assert.equal(story.context.lastError?.code, 'APP_EXITED', 'why it was denied is still told');
    assert.deepEqual([story.context.verdict, story.context.restarted], [null, []]);
  });

  it('stays denied when what came back fails in another way, and that one is not given up for it', () => {
    const story = tookBack().when(facts.failed('probationFailed', 'UNHEALTHY'));
    assert.equal(story.name, 'running');
    assert.equal(story.context.current?.version, '1.0.0');
    assert.deepEqual(denied(story), [['2.0.0', 'APP_EXITED']]);
  });

  it('is denied no longer when what came back ends alike: after a pause of seconds it is tried first', () => {
    const story = tookBack().when(endedEarly('1.0.0')).when(ended());
    assert.deepEqual(denied(story), []);
    assert.match(
      story.context.lastError?.message ?? '',
      /2\.0\.0 and 1\.0\.0 both ended early.*a port may still be in use/,
    );
    story.when(facts.stopped());
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 4000 }]);
    story
      .after(4000)
      .when({ type: 'retryDue' })
      .when(facts.allowed())
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped());
    assert.equal(story.context.target?.version, '2.0.0');
    story
      .when(facts.switched(tree('2.0.0')))
      .when(facts.started('2.0.0'))
      .when(facts.healthy('2.0.0'));
    assert.equal(story.context.lastGood?.version, '2.0.0');
    assert.deepEqual(denied(story), []);
  });

  it('is denied for good after so many tries, and what came back is kept', () => {
    const story = tookBack().when(endedEarly('1.0.0'));
    const pauses: number[] = [];
    for (let round = 0; round < 2; round++) {
      story.when(ended()).when(facts.stopped());
      pauses.push(story.timers[0]?.inMs ?? 0);
      story
        .after(pauses.at(-1) ?? 0)
        .when({ type: 'retryDue' })
        .when(facts.allowed())
        .when(facts.switchStarted('2.0.0'))
        .when(facts.stopped());
      story
        .when(facts.switched(tree('2.0.0')))
        .when(facts.started('2.0.0'))
        .when(ended())
        .when(facts.stopped());
      story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    }
    assert.deepEqual(pauses, [4000, 8000]);
    story.when(ended());
    assert.deepEqual(denied(story), [['2.0.0', 'APP_EXITED']]);
    assert.deepEqual(
      [story.name, story.context.current?.version, story.context.app],
      ['running', '1.0.0', 'up'],
    );
  });

  it('keeps the pauses of an outage in mind, also while what could not be proven waits for longer', () => {
    const before = { pauses: 4, until: 0 };
    const at = 1_700_000_000_000;
    const hour = 3_600_000;
    const next = (untilMs: number) =>
      nextOutage({ ...before, until: at + untilMs }, at, 300_000, 0.5).pauses;
    assert.deepEqual(
      [-601_000, -600_000, 0, 1.25 * hour, 1.25 * hour + 1].map(next),
      [1, 5, 5, 5, 1],
    );
  });

  it('is the same after a replay, also from the middle', () => {
    const { records, state } = tookBack()
      .when(endedEarly('1.0.0'))
      .when(ended())
      .when(facts.stopped());
    const whole = replay(records);
    assert.ok(whole);
    assert.equal(serializeState(whole), serializeState(state));
    const before = replay(records.slice(0, -3));
    assert.ok(before);
    assert.equal(
      serializeState(replay(records.slice(-3), deserializeState(serializeState(before))) ?? before),
      serializeState(state),
    );
  });
});

describe('a version that is killed on probation by a signal that nobody here sent', () => {
  const killed = () => facts.failed('probationFailed', 'APP_KILLED');
  /** 2.0.0 was killed, and 1.0.0 is back. */
  const cameBack = (story: Story) =>
    story
      .when(killed())
      .when(facts.stopped())
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'));
  /** The pause is over, and 2.0.0 runs again. Resolves to the pause. */
  function retried(story: Story): number {
    const [timer] = story.timers;
    const pauseMs = timer?.inMs ?? 0;
    story
      .after(pauseMs)
      .when({ type: 'retryDue' })
      .when(facts.installed('2.0.0'))
      .when(facts.allowed())
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped())
      .when(facts.switched(tree('2.0.0')))
      .when(facts.started('2.0.0'));
    assert.equal(story.context.current?.version, '2.0.0');
    return pauseMs;
  }

  it('gives way to the one before, and is not denied: it is tried again after a pause', () => {
    const story = cameBack(started());
    assert.deepEqual(
      [story.name, story.context.current?.version, story.context.app, denied(story)],
      ['waiting', '1.0.0', 'up', []],
    );
    assert.equal(story.context.lastError?.code, 'APP_KILLED');
    assert.equal(retried(story), 1000);
    story.when(facts.healthy('2.0.0'));
    assert.deepEqual(
      [story.context.lastGood?.version, denied(story), story.context.lastError],
      ['2.0.0', [], null],
    );
  });

  it('is given up after so many tries, with pauses that grow, and the one before runs on', () => {
    const story = cameBack(started());
    const pauses = [retried(story), retried(cameBack(story))];
    cameBack(story);
    assert.deepEqual(pauses, [1000, 2000]);
    assert.deepEqual(denied(story), [['2.0.0', 'APP_KILLED']]);
    assert.match(
      story.context.lastError?.message ?? '',
      /given up after 3 tries; `self-update retry 2\.0\.0`/,
    );
    assert.deepEqual(
      [story.name, story.context.current?.version, story.timers],
      ['running', '1.0.0', []],
    );
  });

  it('an operator named it: his hold stands while it is tried, and falls when it is given up', () => {
    const story = running({ policy: { strategy: 'download-then-kill', maxAttempts: 2 } });
    const install = [
      { type: 'installRequested', tag: 'v2.0.0', file: null } as const,
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.allowed(),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ];
    cameBack(install.reduce((told, fact) => told.when(fact), story));
    assert.equal(story.context.hold?.version, '2.0.0');
    retried(story);
    cameBack(story);
    assert.deepEqual([story.context.hold, denied(story)], [null, [['2.0.0', 'APP_KILLED']]]);
  });

  it('gives way to a newer release at once', () => {
    const story = cameBack(started()).when(facts.found('3.0.0'), null);
    assert.equal(story.context.candidate?.release.version, '3.0.0');
  });

  it('runs on where nothing else is there, or the operator rolls back', () => {
    const story = running({ policy: { strategy: 'download-then-kill', rollback: 'manual' } });
    const update = [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      facts.allowed(),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
    ];
    update
      .reduce((told, fact) => told.when(fact), story)
      .when(facts.switched(tree('2.0.0')))
      .when(facts.started('2.0.0'))
      .when(killed());
    assert.deepEqual(
      [story.name, story.context.current?.version, denied(story)],
      ['running', '2.0.0', []],
    );
  });
});

describe('trees that vanished', () => {
  it('are told once, and give way to the next that is there', () => {
    const story = lostBoth();
    assert.equal(story.name, 'rollingBack');
    assert.equal(story.context.current, null);
    assert.deepEqual(denied(story), [], 'the machine is to blame');
    story.when(facts.stopped());
    assert.equal(story.context.target?.version, '2.0.0');
    story.when(facts.failed('switchFailed', 'TREE_MISSING'));
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
  });

  it('are fetched anew: what was lost is news again', () => {
    const story = lostBoth()
      .when(facts.stopped())
      .when(facts.failed('switchFailed', 'TREE_MISSING'))
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'))
      .when(facts.healthy('1.0.0'));
    assert.equal(story.when(facts.found('3.0.0')).name, 'downloading');
  });

  it('are looked for within seconds where nothing is left to run', () => {
    const seen = world({ baked: null, current: tree('2.0.0'), lastGood: tree('2.0.0') });
    const story = new Story({ policy: { retryBaseMs: 300_000 }, world: seen }).when(
      facts.foundUp(seen),
    );
    story
      .when({ ...facts.crashLooped('2.0.0'), code: 'TREE_MISSING' } as never)
      .when(facts.stopped());
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 4000 }]);
    story.after(4000).when({ type: 'retryDue' });
    assert.deepEqual(story.effects, ['check']);
    assert.equal(story.when(facts.found('2.0.0')).name, 'downloading');
  });

  it('are fetched by the tag that an operator holds', () => {
    const seen = world({ baked: null, current: tree('2.0.0'), lastGood: tree('2.0.0') });
    const story = new Story({ policy: { strategy: 'download-then-kill' }, world: seen })
      .when(facts.foundUp(seen))
      .when(facts.tidied());
    story
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null })
      .when(facts.found('2.0.0'))
      .when(facts.tidied());
    assert.equal(story.context.hold?.tag, 'v2.0.0');
    story
      .when({ ...facts.crashLooped('2.0.0'), code: 'TREE_MISSING' } as never)
      .when(facts.stopped())
      .after(4000)
      .when({ type: 'retryDue' });
    const request = story.state.effects.get('check')?.request;
    assert.deepEqual(request?.name === 'check' && request.input.request, {
      tag: 'v2.0.0',
      file: null,
    });
  });
});

describe('a crash loop while no version is linked', () => {
  /** The link could not be moved; what the image brought was started all the same. */
  const unlinked = () =>
    new Story()
      .when(facts.foundDown())
      .when({ type: 'nothingNewer' })
      .when(facts.failed('switchFailed', 'CROSS_DEVICE'))
      .when(facts.started('1.0.0'))
      .when(facts.tidied());

  it('is told once', () => {
    const story = unlinked().when(facts.crashLooped(null));
    assert.deepEqual(
      [story.name, story.context.current, story.context.app],
      ['running', null, 'up'],
    );
    assert.equal(story.context.lastError?.code, 'CRASH_LOOP');
    const before = story.state;
    assert.equal(story.when(facts.crashLooped(null)).state, before);
  });

  it('stops nothing for files that are gone: there is no version to forget, and the same one would be started again', () => {
    const story = unlinked().when({ ...facts.crashLooped(null), code: 'TREE_MISSING' } as never);
    assert.deepEqual([story.name, story.context.lastError?.code], ['running', 'TREE_MISSING']);
  });
});

describe('while nothing runs', () => {
  const nothing = world({ baked: null });
  const failed = {
    type: 'checkFailed',
    code: 'SERVER_FAILED',
    message: 'GitHub answered 502',
  } as const;

  it('a check that failed is made again after seconds, then less and less often, up to SLEEP', () => {
    const story = new Story({ policy: { retryBaseMs: 300_000 }, world: nothing })
      .when(facts.foundDown(nothing))
      .when(failed);
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      const [timer] = story.timers;
      pauses.push((timer?.inMs ?? 0) / 1000);
      story.after(timer?.inMs ?? 0).when({ type: 'retryDue' });
      assert.equal(story.name, 'checking');
      story.when(failed);
    }
    assert.deepEqual(pauses, [4, 8, 16, 32, 64, 128, 256, 300, 300]);
  });

  it('a download that failed is tried again after seconds, and no release is given up for that', () => {
    const story = new Story({ policy: { retryBaseMs: 300_000, maxAttempts: 3 }, world: nothing })
      .when(facts.foundDown(nothing))
      .when(facts.found('2.0.0'));
    for (let i = 0; i < 6; i++) {
      story.when(facts.failed('downloadFailed', 'NETWORK_FAILED'));
      story.after(story.timers[0]?.inMs ?? 0).when({ type: 'retryDue' });
    }
    assert.equal(story.name, 'downloading');
    assert.deepEqual([story.context.candidate?.attempt, denied(story)], [1, []]);
  });

  it('once the app runs, checks keep to SLEEP again', () => {
    const story = running().when(failed);
    assert.deepEqual([story.name, story.timers], ['running', []]);
  });
});

describe('a version of which nothing can be started', () => {
  it('is tried again at pauses that double, up to five minutes', () => {
    const story = new Story({ policy: { retryBaseMs: 60_000 } })
      .when(facts.foundDown())
      .when({ type: 'nothingNewer' });
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      story.when(facts.switched(baked('1.0.0'))).when(facts.failed('startFailed', 'START_FAILED'));
      const [timer] = story.timers;
      pauses.push((timer?.inMs ?? 0) / 1000);
      story.after(timer?.inMs ?? 0).when({ type: 'retryDue' });
    }
    assert.deepEqual(pauses, [4, 8, 16, 32, 64, 128, 256, 300, 300]);
  });
});
