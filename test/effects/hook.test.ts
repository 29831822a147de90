import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type HookDependencies, runHook } from '../../src/effects/hook.ts';

const INPUT = {
  hook: 'postUpdate',
  from: '1.0.0',
  to: '2.0.0',
  reason: 'update',
  tree: null,
} as const;

function saying(command: string): { deps: HookDependencies; said: string[] } {
  const said: string[] = [];
  const hooks = {
    commands: { preStop: null, preStart: null, postUpdate: command },
    timeoutMs: 20_000,
    directory: '/nonexistent',
    say: (line: string) => void said.push(line),
    keepAppDown: () => {},
  };
  const supervisor = { stop: () => Promise.reject(new Error('the app runs on under this hook')) };
  const environment = { PATH: process.env['PATH'] ?? '' };
  return {
    said,
    deps: {
      hooks,
      supervisor,
      stop: { signalName: 'TERM', waitMs: 0 },
      environment,
      random: () => 0.5,
    },
  };
}

describe('what a hook says', () => {
  it('is heard to its last word, also from a child that outlives it for a moment', async () => {
    const { deps, said } = saying(
      '(while kill -0 $$ 2> /dev/null; do :; done; printf "the last word") & echo first',
    );
    await runHook(INPUT, AbortSignal.timeout(20_000), deps);
    assert.deepEqual(said, ['post-update hook: first', 'post-update hook: the last word']);
  });

  it('is not waited for when somebody else holds its output open', async () => {
    const { deps, said } = saying('echo done; sleep 1000 &');
    const fact = await runHook(INPUT, AbortSignal.timeout(100_000), deps);
    assert.deepEqual([fact.type, said], ['hookSucceeded', ['post-update hook: done']]);
  });
});
