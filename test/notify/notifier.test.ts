import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JournalRecord } from '../../src/journal/record.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import type { Notice } from '../../src/notify/notice.ts';
import { Notifier, type NotifierOptions } from '../../src/notify/notifier.ts';
import type { Channel } from '../../src/notify/outbox.ts';
import { replay } from '../../src/runtime/fold.ts';
import { baked, facts, running, type Story, tree } from '../support/machine.ts';

type Told = { channel: Channel; notice: Notice };

class Setting {
  readonly story: Story;
  note: string | null = null;
  poll: PollNote = pollNoteSchema.parse({});
  now = Date.UTC(2026, 0, 1);
  told: Told[] = [];
  fails = false;
  readonly torn: string[] = [];
  readonly warnings: string[] = [];

  /** What the journal has before notifications are thought of. */
  constructor(story: Story = running(DOWNLOAD_FIRST)) {
    this.story = story;
  }

  get records(): readonly JournalRecord[] {
    return this.story.records;
  }

  notifier(options: Partial<NotifierOptions> = {}): Notifier {
    return new Notifier({
      channels: ['url'],
      deliver: async (channel, notice) => {
        if (this.fails) throw new Error('nobody answers');
        this.told.push({ channel, notice });
      },
      store: {
        read: () => this.note,
        write: (text) => {
          const { failingTold, pending } = JSON.parse(text) as {
            failingTold: boolean;
            pending: unknown[];
          };
          // What a kill right here would leave: it counts as told, and is neither told nor waiting.
          if (failingTold && pending.length === 0 && !this.events().includes('checksFailing'))
            this.torn.push(text);
          this.note = text;
        },
      },
      readFacts: (after) => this.records.slice(after),
      stateAfter: (seq) => replay(this.records.slice(0, seq)),
      lastSeq: () => this.records.length,
      pollNote: () => this.poll,
      repository: 'acme/app',
      failingAfterMs: 3_600_000,
      secrets: () => ['hunter2-hunter2'],
      now: () => this.now,
      log: { info() {}, debug() {}, warn: (text) => this.warnings.push(text) },
      ...options,
    });
  }

  /** A notifier as an updater has it that starts now. */
  started(options: Partial<NotifierOptions> = {}): Notifier {
    const notifier = this.notifier(options);
    notifier.begin(this.story.state);
    return notifier;
  }

  /** Journals facts, telling the notifier of each unless it has died. */
  play(notifier: Notifier | null, ...more: readonly Fact[]): void {
    for (const fact of more) {
      this.story.when(fact);
      const record = this.records.at(-1);
      if (record !== undefined) notifier?.observe(record, this.story.state);
    }
  }

  events(): string[] {
    return this.told.map(({ notice }) => notice.event);
  }
}

const DOWNLOAD_FIRST = { policy: { strategy: 'download-then-kill' } } as const;
const upTo = (version: string): Fact[] => [
  facts.found(version),
  facts.installed(version),
  facts.allowed(),
];
const switchTo = (version: string): Fact[] => [
  facts.switchStarted(version),
  facts.stopped(),
  facts.switched(tree(version)),
  facts.started(version),
];
const update = (version: string): Fact[] => [
  ...upTo(version),
  ...switchTo(version),
  facts.healthy(version),
  facts.tidied(),
];
const isTooLarge = (version: string): Fact[] => [
  facts.found(version),
  { type: 'downloadFailed', code: 'ASSET_TOO_LARGE', message: 'too large', jitter: 0.5 },
];

describe('a notification', () => {
  it('says that an update is done once the version is healthy, and not before', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(notifier, ...upTo('2.0.0'), ...switchTo('2.0.0'));
    await notifier.end(1000);
    assert.deepEqual(setting.events(), []);
    const later = setting.started();
    setting.play(later, facts.healthy('2.0.0'));
    await later.end(1000);
    const [{ notice }] = setting.told as [Told];
    assert.deepEqual(
      [notice.event, notice.from, notice.to, notice.text],
      ['updated', '1.0.0', '2.0.0', 'acme/app: updated, 1.0.0 → 2.0.0'],
    );
    assert.equal(notice.content, notice.text);
  });

  it('says that a version was rolled back once the old one is back, with the reason, and once', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(
      notifier,
      ...upTo('2.0.0'),
      ...switchTo('2.0.0'),
      facts.failed('probationFailed', 'APP_EXITED'),
    );
    await notifier.end(1000);
    assert.deepEqual(setting.events(), [], 'nothing is back yet');
    const later = setting.started();
    setting.play(
      later,
      facts.stopped(),
      facts.switched(baked('1.0.0')),
      facts.started('1.0.0'),
      facts.tidied(),
    );
    await later.end(1000);
    assert.deepEqual(setting.events(), ['rolledBack']);
    const [{ notice }] = setting.told as [Told];
    assert.deepEqual(
      [notice.from, notice.to, notice.code, notice.reason],
      ['2.0.0', '1.0.0', 'APP_EXITED', 'the reason'],
    );
  });

  it('says that a version is denied, and that one is given up', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(
      notifier,
      ...isTooLarge('2.0.0'),
      facts.found('3.0.0'),
      facts.failed('downloadFailed'),
    );
    for (let i = 0; i < 2; i++)
      setting.play(notifier, { type: 'retryDue' }, facts.failed('downloadFailed'));
    await notifier.end(1000);
    assert.deepEqual(
      setting.told.map(({ notice }) => [notice.event, notice.from, notice.to]),
      [
        ['denied', '1.0.0', '2.0.0'],
        ['gaveUp', '1.0.0', '3.0.0'],
      ],
    );
  });

  it('is not made of what the operator said', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(
      notifier,
      { type: 'versionDenied', version: '2.0.0' },
      { type: 'paused' },
      { type: 'resumed' },
      { type: 'restartRequested' },
      facts.stopped(),
      facts.started('1.0.0'),
    );
    await notifier.end(1000);
    assert.deepEqual(setting.events(), []);
  });

  it('says once that a version waits for approval, however often it is asked', async () => {
    const setting = new Setting(
      running({ policy: { strategy: 'download-then-kill', approval: true } }),
    );
    const notifier = setting.started();
    setting.play(notifier, ...upTo('2.0.0'));
    for (let i = 0; i < 3; i++)
      setting.play(notifier, { type: 'updateRequested' }, facts.found('2.0.0'), facts.allowed());
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['approvalNeeded']);
    assert.equal(setting.told[0]?.notice.to, '2.0.0');
  });

  it('says that nothing could be started', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(
      notifier,
      { type: 'restartRequested' },
      facts.stopped(),
      facts.failed('startFailed', 'START_FAILED'),
    );
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['appDown']);
  });

  it('says that a version is unhealthy, and stays where nobody may roll back', async () => {
    const setting = new Setting(
      running({ policy: { strategy: 'download-then-kill', rollback: 'manual' } }),
    );
    const notifier = setting.started();
    setting.play(
      notifier,
      ...upTo('2.0.0'),
      ...switchTo('2.0.0'),
      facts.failed('probationFailed', 'UNHEALTHY'),
    );
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['unhealthy']);
  });

  const inFleet = {
    strategy: 'download-then-kill',
    fleet: { id: 'app-0', group: 'default', keepsOnFailure: true },
  } as const;

  it('says that a version failed and holds the fleet, beside that it was rolled back', async () => {
    const setting = new Setting(running({ policy: inFleet }));
    const notifier = setting.started();
    setting.play(
      notifier,
      ...upTo('2.0.0'),
      facts.locked(),
      ...switchTo('2.0.0'),
      facts.failed('probationFailed', 'UNHEALTHY'),
      facts.stopped(),
      facts.switched(baked('1.0.0')),
      facts.started('1.0.0'),
    );
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['fleetHeld', 'rolledBack']);
    assert.match(setting.told[0]?.notice.text ?? '', /no other takes it: the reason/);
    assert.equal(new Set(setting.told.map(({ notice }) => notice.id)).size, 2);
  });

  it("says once that the fleet's lock fails for long, and not that others hold it", async () => {
    for (const [code, events] of [
      ['FLEET_LOCK_FAILED', ['fleetLockFailing']],
      ['FLEET_LOCK_HELD', []],
    ] as const) {
      const setting = new Setting(running({ policy: inFleet }));
      const notifier = setting.started();
      setting.play(notifier, ...upTo('2.0.0'), facts.failed('fleetLockRefused', code));
      for (let minutes = 0; minutes < 180; minutes += 5) {
        setting.story.after(5 * 60_000);
        setting.play(notifier, { type: 'retryDue' }, facts.allowed());
        setting.play(notifier, facts.failed('fleetLockRefused', code));
      }
      await notifier.end(1000);
      assert.deepEqual(setting.events(), events, code);
    }
  });

  it("says once that the fleet's lock can't be given back for long", async () => {
    const setting = new Setting(running({ policy: inFleet }));
    const notifier = setting.started();
    for (let minutes = 0; minutes < 180; minutes += 5) {
      setting.play(notifier, facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'));
      setting.story.after(5 * 60_000);
    }
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['fleetLockFailing']);
  });

  it('says that checks fail for long, once, and that they succeed again', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    const failure = (at: number) => ({
      ...setting.poll,
      lastCheckAt: at,
      lastSuccessAt: Date.UTC(2026, 0, 1),
      lastError: { code: 'NETWORK_FAILED', message: 'no network', at },
    });
    for (let minutes = 5; minutes <= 180; minutes += 5) {
      setting.now = Date.UTC(2026, 0, 1, 0, minutes);
      setting.poll = failure(setting.now);
      notifier.look();
    }
    setting.poll = {
      ...setting.poll,
      lastSuccessAt: setting.now,
      lastCheckAt: setting.now,
      lastError: null,
    };
    notifier.look();
    await notifier.end(1000);
    assert.deepEqual(setting.events(), ['checksFailing', 'checksRecovered']);
    assert.deepEqual(setting.torn, [], 'no kill between two writes loses one');
    assert.match(
      setting.told[0]?.notice.text ?? '',
      /checks fail for long, 1\.0\.0 runs on: no network/,
    );
  });

  it('does not call a refused release a failing check', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.now += 10 * 3_600_000;
    setting.poll = {
      ...setting.poll,
      lastCheckAt: setting.now,
      lastSuccessAt: setting.now,
      lastError: { code: 'ASSET_MISSING', message: 'x', at: setting.now },
    };
    notifier.look();
    await notifier.end(1000);
    assert.deepEqual(setting.events(), []);
  });

  it('is told by the next updater when this one is killed before it could', async () => {
    const setting = new Setting();
    setting.now = setting.story.at;
    const first = setting.started();
    setting.play(first, ...upTo('2.0.0'), ...switchTo('2.0.0'));
    await first.end(1000);
    // Killed between the fact and the note.
    setting.play(null, facts.healthy('2.0.0'));
    const second = setting.started();
    await second.end(1000);
    assert.deepEqual(setting.events(), ['updated']);
    const third = setting.started();
    await third.end(1000);
    assert.deepEqual(setting.events(), ['updated'], 'and once');
  });

  it('is no news once it is old: notifications were off for a while', async () => {
    const setting = new Setting();
    setting.now = setting.story.at;
    await setting.started().end(1000);
    setting.play(null, ...update('2.0.0'));
    setting.now += 48 * 3_600_000;
    await setting.started().end(1000);
    assert.deepEqual(setting.events(), []);
  });

  it('is no news where notifications are new', async () => {
    const setting = new Setting();
    setting.play(null, ...update('2.0.0'));
    await setting.started().end(1000);
    assert.deepEqual(setting.events(), []);
  });

  it('is tried again, later and later, then dropped with a warning', async () => {
    const setting = new Setting();
    setting.fails = true;
    const notifier = setting.started();
    setting.play(notifier, ...update('2.0.0'));
    await notifier.end(1000);
    const pauses: number[] = [];
    for (let next = notifier.nextAt(); next !== null; ) {
      pauses.push(next - setting.now);
      setting.now = next;
      const again = setting.started();
      await again.end(1000);
      next = again.nextAt();
    }
    assert.deepEqual(
      pauses.map((ms) => ms / 1000),
      [10, 60, 300, 900, 3600, 10_800, 21_600, 43_200],
    );
    assert.equal(setting.warnings.length, 9);
    assert.match(setting.warnings.at(-1) ?? '', /is dropped \[NOTIFY_FAILED\]/);
  });

  it('goes to each channel by itself: one that fails holds up no other', async () => {
    const setting = new Setting();
    const notifier = setting.started({
      channels: ['url', 'command'],
      deliver: async (channel, notice) => {
        if (channel === 'url') throw new Error('nobody answers');
        setting.told.push({ channel, notice });
      },
    });
    setting.play(notifier, ...update('2.0.0'));
    await notifier.end(1000);
    assert.deepEqual(
      setting.told.map(({ channel }) => channel),
      ['command'],
    );
    assert.ok(notifier.nextAt() !== null);
  });

  it('waits for no receiver that never answers', async () => {
    const setting = new Setting();
    const notifier = setting.started({ deliver: () => new Promise(() => {}) });
    setting.play(notifier, ...update('2.0.0'));
    await notifier.end(50);
    assert.match(setting.note ?? '', /"event":"updated"/, 'the next updater tells it');
  });

  it('is never in the way: what goes wrong with it is said, and goes no further', async () => {
    const setting = new Setting();
    setting.now = setting.story.at;
    await setting.started().end(1000);
    setting.play(null, facts.found('2.0.0'));
    const broken = (): never => {
      throw new Error('broken');
    };
    const notifier = setting.started({ stateAfter: broken, pollNote: broken });
    setting.play(notifier, facts.installed('2.0.0'));
    notifier.look();
    await notifier.end(1000);
    assert.deepEqual(
      setting.warnings,
      Array(3).fill('a notification may be missing: broken [NOTIFY_FAILED]'),
    );
  });

  it('carries no secret', async () => {
    const setting = new Setting();
    const notifier = setting.started();
    setting.play(notifier, facts.found('2.0.0'), {
      type: 'downloadFailed',
      code: 'ASSET_TOO_LARGE',
      message: 'at https://x/hunter2-hunter2',
      jitter: 0.5,
    });
    await notifier.end(1000);
    assert.ok(!JSON.stringify(setting.told).includes('hunter2'));
    assert.ok(!(setting.note ?? '').includes('hunter2'));
  });

  it('is bounded: what a receiver that is away misses does not grow', async () => {
    const setting = new Setting();
    setting.fails = true;
    const notifier = setting.started();
    for (let i = 0; i < 120; i++) setting.play(notifier, ...isTooLarge(`2.0.${i}`));
    await notifier.end(1000);
    assert.equal((JSON.parse(setting.note ?? '{}') as { pending: unknown[] }).pending.length, 50);
  });
});
