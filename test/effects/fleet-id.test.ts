import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { withFleetId } from '../../src/effects/fleet-id.ts';
import type { Places } from '../../src/effects/trees.ts';
import { policy } from '../support/machine.ts';

const fleet = { id: '', group: 'default', keepsOnFailure: true };
let root: string;
let places: Places;

before(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'fleet-id-'));
  mkdirSync(path.join(root, 'state'));
  places = { root } as Places;
});
after(() => rmSync(root, { recursive: true }));

const warnings: string[] = [];
const warn = (text: string) => void warnings.push(text);
const file = () => path.join(root, 'state', 'fleet-id');

describe("the container's name in the fleet", () => {
  it('is made for nobody who does not ask for it', async () => {
    assert.equal(await withFleetId(policy, places, warn), policy);
    assert.throws(() => readFileSync(file()), /ENOENT/);
  });

  it('is made once, and is the same for the lock and the rollout', async () => {
    const rollout = { id: '', periodMs: 1, wariness: null };
    const first = await withFleetId({ ...policy, fleet, rollout }, places, warn);
    assert.match(first.fleet?.id ?? '', /^[0-9a-f]{32}$/);
    assert.equal(first.rollout?.id, first.fleet?.id);
    const second = await withFleetId({ ...policy, fleet }, places, warn);
    assert.equal(second.fleet?.id, first.fleet?.id);
  });

  it("is the operator's where there is one", async () => {
    const told = await withFleetId({ ...policy, fleet: { ...fleet, id: 'app-0' } }, places, warn);
    assert.equal(told.fleet?.id, 'app-0');
  });

  it('is made anew where a power cut left half of it', async () => {
    for (const half of ['', 'abc', '\0'.repeat(33)]) {
      writeFileSync(file(), half);
      const told = await withFleetId({ ...policy, fleet }, places, warn);
      assert.match(told.fleet?.id ?? '', /^[0-9a-f]{32}$/);
      assert.equal(readFileSync(file(), 'utf8'), `${told.fleet?.id}\n`);
    }
  });

  it('is none where it can not be kept, which is said, and keeps nobody from the app', async () => {
    const elsewhere = { root: path.join(root, 'nowhere') } as Places;
    const told = await withFleetId({ ...policy, fleet }, elsewhere, warn);
    assert.equal(told.fleet?.id, '');
    assert.match(warnings[0] ?? '', /ENOENT.*set UPDATE_FLEET_ID/);
  });
});
