/**
 * Terminal injection: what a release, a server, an app, a hook or a request says, through every
 * command, in text and in JSON, and over HTTP.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { submit } from '../../src/runtime/inbox.ts';
import { archive } from '../support/app.ts';
import { Served } from '../support/http.ts';

/** Sets the title, clears, rings, turns the direction round; in 7 and in 8 bits. */
const HOSTILE = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\u202egpj\u2066\u2028\u200f';
const COLOURS_AND_LINES = /\u001b\[[0-9;]*m|\n/g;
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

function assertHarmless(what: string, output: string): void {
  const rest = output.replace(COLOURS_AND_LINES, '');
  assert.doesNotMatch(rest, OBEYED, `${what}: ${JSON.stringify(OBEYED.exec(rest))}`);
  assert.doesNotMatch(rest, /\u001b/, what);
}

describe('what a terminal would obey', () => {
  let served: Served;
  before(async () => {
    served = await Served.create({
      env: {
        UPDATE_PRE_STOP_CMD: `printf 'hook %b\\n' '\\033]0;owned\\007\\302\\233'`,
        UPDATE_NOTIFY_CMD: 'cat',
        UPDATE_PROBATION: '0.3',
      },
    });
    const { product } = served;
    await served.publish('0.0.1');
    product.start();
    await product.fact('versionBecameHealthy');
    // An asset of a hostile name is no release (ANSWER_MALFORMED); the last words of an app are its
    // own, and what it ends with is ours.
    const words = `#!/bin/sh\nprintf '\\033]0;owned\\007\\302\\233' >&2\nexit 3\n`;
    product.github.publish('v0.0.2', {
      'app_0.0.2.tar.gz': await archive({ app: { content: words, mode: 0o755 } }),
    });
    await served.act('check');
    await product.fact('probationFailed');
    // The command line takes no such names; whoever may write into the inbox can leave any, and it
    // is others who look at them.
    const inbox = path.join(product.dir, 'inbox');
    submit(inbox, { type: 'versionDenied', version: `9.9.9${HOSTILE}\nforged line` });
    submit(inbox, { type: 'installRequested', tag: `v8${HOSTILE}`, file: null });
    await product.fact('versionDenied', ({ version }) => version.startsWith('9.9.9'));
    await product.fact('installRequested');
  });
  after(() => served[Symbol.asyncDispose]());

  for (const command of ['status', 'history', 'events', 'replay', 'verify', 'check'])
    for (const args of [[], ['--json']])
      it(`is in no output of ${command} ${args}`, async () => {
        const env: Record<string, string> = args.length > 0 ? {} : { FORCE_COLOR: '1' };
        const { stdout, stderr } = await served.product.command([command, ...args], env);
        assertHarmless('stdout', stdout);
        assertHarmless('stderr', stderr);
        if (args.length > 0 && command !== 'events') assert.ok(JSON.parse(stdout));
      });

  it('makes no line of its own in events', async () => {
    const { stdout } = await served.product.command(['events']);
    assert.match(stdout, /9\.9\.9\\u001b\]0;owned\\u0007/);
    assert.doesNotMatch(stdout, /^forged/m);
  });

  it('is in no line of the log', () => {
    assert.match(served.product.log.join('\n'), /hook \\u001b\]0;owned\\u0007/);
    assertHarmless(
      'log',
      served.product.log.filter((line) => line.startsWith('update:')).join('\n'),
    );
  });

  it('is in no answer over HTTP', async () => {
    for (const path of [
      '/api/status',
      '/api/history',
      '/api/facts?limit=500',
      '/metrics',
      '/healthz',
    ])
      assertHarmless(path, (await served.ask(path)).text);
    const { text } = await served.ask('/api/facts?limit=500');
    assert.match(text, /9\.9\.9\\\\u001b/);
  });

  it('is refused in the version or tag of an action', async () => {
    for (const name of [HOSTILE, '1.0.0\n', '1.0.0\u001b[31m', '\u202e1']) {
      for (const [action, body] of [
        ['deny', { version: name }],
        ['approve', { version: name }],
        ['retry', { version: name }],
        ['install', { tag: name }],
      ] as const) {
        const { status, text } = await served.act(action, body);
        assert.equal(status, 400, `${action} ${JSON.stringify(name)}`);
        assertHarmless(action, text);
      }
    }
  });

  it('is in no error of the command line', async () => {
    for (const args of [['verify', `v${HOSTILE}`], [HOSTILE], ['status', `--${HOSTILE}`]]) {
      const { stdout, stderr } = await served.product.command(args);
      assertHarmless(JSON.stringify(args), stdout + stderr);
    }
    const { stderr } = await served.product.command(['status'], { SLEEP: HOSTILE });
    assertHarmless('configuration', stderr);
  });
});
