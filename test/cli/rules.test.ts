import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rulesOf, trustOf } from '../../src/cli/rules.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { configOf } from '../support/output.ts';

describe('the rules that a tree was let in by', () => {
  const rules = (environment: Record<string, string>) => rulesOf(configOf(environment).trust);
  const [one, two] = [new FakeMinisign(), new FakeMinisign()].map(({ publicKey }) => publicKey) as [
    string,
    string,
  ];
  const minisign = (keys: string, more: Record<string, string> = {}) =>
    rules({ UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: keys, ...more });

  it('are others under other conditions, keys or binding, and the same for the same keys in another order', () => {
    const all = [
      rules({}),
      rules({ UPDATE_VERIFY: 'none' }),
      minisign(one),
      minisign(two),
      minisign(`${one} ${two}`),
      minisign(one, { UPDATE_MINISIGN_BINDING: 'none' }),
    ];
    assert.equal(new Set(all).size, all.length);
    assert.equal(minisign(`${one} ${two}`), minisign(`${two} ${one}`));
  });

  it('do not change with a key that nothing is checked against', () => {
    assert.equal(rules({ UPDATE_MINISIGN_KEYS: one }), rules({}));
  });
});

describe('what downloads are checked against', () => {
  it('is all that is asked for', () => {
    const { publicKey } = new FakeMinisign();
    const trust = trustOf(
      configOf({ UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: publicKey }),
    );
    assert.deepEqual(
      [trust.conditions, trust.minisignKeys.length, trust.attestation],
      [['digest', 'minisign'], 1, null],
    );
    const none = trustOf(configOf({ UPDATE_VERIFY: 'none' }));
    assert.deepEqual(none.conditions, []);
  });
});
