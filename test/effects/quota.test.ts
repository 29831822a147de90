/** Ten containers behind one address, without a token: sixty requests an hour for all of them. Hours pass on a clock of the test's; the requests are real. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type CheckDependencies, check, nextPollAt, type PollNote, pollNoteSchema } from '../../src/effects/check.ts';
import { GitHub } from '../../src/effects/github/client.ts';
import { Http } from '../../src/effects/github/http.ts';
import { randomFrom } from '../support/chaos/cases.ts';
import { StandIn } from '../support/github/server.ts';
import { policy } from '../support/machine.ts';

const BEGAN_MS = Date.UTC(2026, 0, 1);
const LIMIT = 60;
const WINDOW_MS = 3_600_000;
const WINDOWS = 4;
const SLEEP_MS = 300_000;

type Asked = { container: number; atMs: number; refused: boolean };

type Follower = { index: number; notes: PollNote[]; random: () => number };

/** Polls of so many containers, as their own notes ask for them. */
async function simulate(containers: number): Promise<Asked[]> {
  const asked: Asked[] = [];
  const github = await new StandIn().listen();
  try {
    let nowMs = BEGAN_MS;
    github.now = () => nowMs;
    github.rateLimit = { limit: LIMIT, remaining: LIMIT, resetAt: nowMs + WINDOW_MS, windowMs: WINDOW_MS };
    github.publish('v1.0.0', { 'app_linux_amd64.tar.gz': Buffer.from('bytes') });
    const random = randomFrom('quota', containers);
    const notes: PollNote[] = Array.from({ length: containers }, () => pollNoteSchema.parse({}));
    const dependencies = notes.map((_, index) => follower(github, { index, notes, random }));
    // They were not all started in one second.
    const firstAt = notes.map(() => nowMs + random() * SLEEP_MS);
    const dueAt = (index: number) => nextPollAt(notes[index] as PollNote, SLEEP_MS, nowMs) ?? firstAt[index] ?? 0;
    for (;;) {
      const container = notes.map((_, index) => index).reduce((a, b) => (dueAt(a) <= dueAt(b) ? a : b));
      nowMs = Math.max(nowMs, dueAt(container));
      if (nowMs >= BEGAN_MS + WINDOWS * WINDOW_MS) return asked;
      const input = { policy, request: null, running: '1.0.0', fresh: false };
      const fact = await check(input, AbortSignal.timeout(10_000), dependencies[container] as CheckDependencies);
      asked.push({ container, atMs: nowMs, refused: fact.type === 'checkFailed' && fact.code === 'RATE_LIMITED' });
    }
  } finally {
    await github.close();
  }
}

function follower(github: StandIn, { index, notes, random }: Follower): CheckDependencies {
  const http = new Http({ userAgent: 'test', apiUrl: github.url, assetHosts: ['127.0.0.1'], mayBePlain: () => true, token: () => null, proxyEnvironment: {} });
  const answers = new Map<string, { etag: string; body: string }>();
  const cache = {
    read: (key: string) => answers.get(key) ?? null,
    write: (key: string, entry: { etag: string; body: string }) => void answers.set(key, entry),
  };
  return {
    github: new GitHub({ http, repository: 'acme/app', cache, now: github.now }),
    places: { root: '/nonexistent', bakedDir: '/nonexistent', repository: 'acme/app', versioning: 'semver', tagPrefix: '' },
    note: { read: () => notes[index] as PollNote, write: (note) => void notes.splice(index, 1, note) },
    pollIntervalMs: SLEEP_MS,
    now: github.now,
    random,
    assetPattern: null,
  };
}

const windowOf = ({ atMs }: Asked) => Math.floor((atMs - BEGAN_MS) / WINDOW_MS);

describe('ten containers behind one address', () => {
  let asked: Asked[];
  before(async () => {
    asked = await simulate(10);
  });

  it('are refused once a window at most, each', () => {
    const refusals = Map.groupBy(
      asked.filter(({ refused }) => refused),
      (request) => `container ${request.container} in window ${windowOf(request)}`,
    );
    assert.deepEqual(
      [...refusals].filter(([, requests]) => requests.length > 1),
      [],
    );
  });

  it('spread what is left until the reset: in no quarter of an hour nobody is answered', () => {
    const answered = asked.filter(({ refused }) => !refused).map(({ atMs }) => atMs);
    const gaps = answered.slice(1).map((atMs, index) => atMs - (answered[index] ?? 0));
    assert.ok(Math.max(...gaps) < WINDOW_MS / 4, `${Math.max(...gaps) / 60_000} minutes`);
  });

  it('each get answers in every window, and use most of it', () => {
    for (let window = 0; window < WINDOWS; window++) {
      const answers = asked.filter((request) => !request.refused && windowOf(request) === window);
      assert.equal(new Set(answers.map(({ container }) => container)).size, 10, `window ${window}`);
      assert.ok(answers.length > LIMIT * 0.6, `${answers.length} answers in window ${window}`);
    }
  });
});

describe('a container alone', () => {
  it('asks twelve times an hour at most, and each time it is answered', async () => {
    const asked = await simulate(1);
    const hours = Map.groupBy(asked, windowOf);
    assert.deepEqual([...hours.keys()], [0, 1, 2, 3]);
    for (const requests of hours.values()) assert.ok(requests.length <= 12 && requests.length >= 10, String(requests.length));
    assert.ok(asked.every(({ refused }) => !refused));
  });
});
