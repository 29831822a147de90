/** Ten containers behind one address, without a token: sixty requests an hour for all of them. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Asked, LIMIT, simulate, WINDOW_MS, WINDOWS, windowOf } from '../support/quota.ts';

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
    for (const requests of hours.values())
      assert.ok(requests.length <= 12 && requests.length >= 10, String(requests.length));
    assert.ok(asked.every(({ refused }) => !refused));
  });
});
