/** What an app is told that bound a held address itself. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { addressHeld } from '../../src/effects/address-held.ts';

const supervisor = {
  lastWords: async () => 'Error: listen EADDRINUSE: address already in use :::80',
};
const advice = async (isPreloaded: boolean): Promise<string> => {
  const deps = { supervisor, heldPorts: [80], isPreloaded };
  return (await addressHeld('2.0.0', deps, new AbortController().signal))?.message ?? '';
};

it('is told of UPDATE_LISTEN_NODE only where that is off', async () => {
  assert.match(await advice(false), /set UPDATE_LISTEN_NODE=on if it is a Node app/);
  const preloaded = await advice(true);
  assert.doesNotMatch(preloaded, /set UPDATE_LISTEN_NODE/);
  assert.match(preloaded, /begin the line in the script with exec, or set UPDATE_APP_COMMAND/);
});
