import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ownerOf, Shares } from '../../src/web/shares.ts';

describe('shared places', () => {
  it('are taken from whoever has most, idle ones first, the oldest first', () => {
    const shares = new Shares(4);
    const gone: string[] = [];
    shares.enter(
      'stranger',
      () => gone.push('busy'),
      () => false,
    );
    for (const name of ['first', 'second']) shares.enter('stranger', () => gone.push(name));
    shares.enter('neighbour', () => gone.push('neighbour'));
    shares.enter('probe', () => gone.push('probe'));
    assert.deepEqual(gone, ['first']);
    shares.enter('stranger', () => gone.push('third'));
    assert.deepEqual(gone, ['first', 'second'], 'who has most pays for its own');
    assert.equal(shares.taken, 4);
  });

  it('are taken from one at work where none of the heaviest is idle', () => {
    const shares = new Shares(2);
    const gone: string[] = [];
    for (const name of ['a', 'b'])
      shares.enter(
        'stranger',
        () => gone.push(name),
        () => false,
      );
    shares.enter('probe', () => {});
    assert.deepEqual(gone, ['a']);
  });

  it('are free again once they are given back', () => {
    const shares = new Shares(1);
    const leave = shares.enter('a', () => assert.fail());
    leave();
    shares.enter('b', () => {});
    assert.equal(shares.taken, 1);
  });

  it('can be asked whether a newcomer would push out somebody who has no more', () => {
    const shares = new Shares(2);
    assert.equal(shares.isCrowdedBy('a'), false);
    for (const owner of ['a', 'a']) shares.enter(owner, () => {});
    assert.deepEqual([shares.isCrowdedBy('a'), shares.isCrowdedBy('b')], [true, false]);
  });
});

describe('the owner of an address', () => {
  for (const [address, owner] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:0:1:aaaa::1', '2001:db8:0:1::/64'],
    ['2001:db8:0:1::2', '2001:db8:0:1::/64'],
    ['2001:db8:0:2::2', '2001:db8:0:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    [undefined, 'unknown'],
  ] as const)
    it(`of ${address} is ${owner}`, () => assert.equal(ownerOf(address), owner));
});
