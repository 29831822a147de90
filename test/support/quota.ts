/** Pollers that share GitHub's quota: hours pass on a clock of their own, the requests are real. */
import { type CheckDependencies, check } from '../../src/effects/check.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { nextPollAt, type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import { randomFrom } from './chaos/cases.ts';
import { FakeGitHub } from './github/server.ts';
import { policy } from './machine.ts';

const BEGAN_MS = Date.UTC(2026, 0, 1);
export const LIMIT = 60;
export const WINDOW_MS = 3_600_000;
export const WINDOWS = 4;
const SLEEP_MS = 300_000;

export type Asked = { container: number; atMs: number; refused: boolean };

type Follower = { index: number; notes: PollNote[]; random: () => number };

/** Polls of so many containers, as their own notes ask for them. */
export async function simulate(containers: number): Promise<Asked[]> {
  const asked: Asked[] = [];
  const github = await new FakeGitHub().listen();
  try {
    let nowMs = BEGAN_MS;
    github.now = () => nowMs;
    github.rateLimit = {
      limit: LIMIT,
      remaining: LIMIT,
      resetAt: nowMs + WINDOW_MS,
      windowMs: WINDOW_MS,
    };
    github.publish('v1.0.0', { 'app_linux_amd64.tar.gz': Buffer.from('bytes') });
    const random = randomFrom('quota', containers);
    const notes: PollNote[] = Array.from({ length: containers }, () => pollNoteSchema.parse({}));
    const dependencies = notes.map((_, index) => follower(github, { index, notes, random }));
    // They were not all started in one second.
    const firstAt = notes.map(() => nowMs + random() * SLEEP_MS);
    const dueAt = (index: number) =>
      nextPollAt(notes[index] as PollNote, SLEEP_MS, nowMs) ?? firstAt[index] ?? 0;
    for (;;) {
      const container = notes
        .map((_, index) => index)
        .reduce((a, b) => (dueAt(a) <= dueAt(b) ? a : b));
      nowMs = Math.max(nowMs, dueAt(container));
      if (nowMs >= BEGAN_MS + WINDOWS * WINDOW_MS) return asked;
      const input = { policy, request: null, running: '1.0.0', fresh: false };
      const fact = await check(
        input,
        AbortSignal.timeout(10_000),
        dependencies[container] as CheckDependencies,
      );
      asked.push({
        container,
        atMs: nowMs,
        refused: fact.type === 'checkFailed' && fact.code === 'RATE_LIMITED',
      });
    }
  } finally {
    await github.close();
  }
}

function follower(github: FakeGitHub, { index, notes, random }: Follower): CheckDependencies {
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => null,
    proxyEnvironment: {},
  });
  const answers = new Map<string, { etag: string; body: string }>();
  const cache = {
    read: (key: string) => answers.get(key) ?? null,
    write: (key: string, entry: { etag: string; body: string }) => void answers.set(key, entry),
  };
  return {
    source: new GitHub({ http, repository: 'acme/app', cache, now: github.now }),
    places: {
      root: '/nonexistent',
      bakedDir: '/nonexistent',
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    },
    note: {
      read: () => notes[index] as PollNote,
      write: (note) => void notes.splice(index, 1, note),
    },
    pollIntervalMs: SLEEP_MS,
    now: github.now,
    random,
    assetPattern: null,
  };
}

export const windowOf = ({ atMs }: Asked) => Math.floor((atMs - BEGAN_MS) / WINDOW_MS);
