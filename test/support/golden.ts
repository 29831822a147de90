/**
 * What `status` says after each fact of a journal, a line a fact: what replaying it has to come to,
 * in every later version.
 */
import type { JournalRecord } from '../../src/journal/record.ts';
import type { EffectRequest } from '../../src/machines/effects.ts';
import { statusOf } from '../../src/report/status.ts';
import { replay, type State } from '../../src/runtime/fold.ts';

export function toldBy(records: readonly JournalRecord[]): string[] {
  let state: State | null = null;
  return records.map((record) => {
    state = replay([record], state);
    const facts = {
      updaterRunning: true,
      seq: record.seq,
      repository: null,
      source: { name: 'github', url: 'https://api.github.com', webUntil: null },
      verify: [],
      warnings: [],
      now: record.at,
      receivedBytes: null,
      listening: [],
      listenOverflows: null,
    };
    const status = statusOf(state, null, { version: null, created: null }, facts);
    const waits =
      status.waitingFor && `${status.waitingFor.reason} until ${status.waitingFor.until}`;
    const asked = [...(state?.effects.values() ?? [])].map(({ request }) => nameOf(request));
    const denied = status.denied.map(({ version, code }) => `${version} ${code}`);
    const { seq, version, previous, lastGood, target, hold, paused, lastError } = status;
    return JSON.stringify({
      seq,
      state: status.state,
      version,
      previous,
      lastGood,
      target,
      hold,
      paused,
      waits,
      denied,
      error: lastError?.code ?? null,
      asked,
    });
  });
}

/** An effect and the version that it is for. The rest of its input may grow. */
function nameOf({ name, input }: EffectRequest): string {
  if ('release' in input) return `${name} ${input.release.tag}`;
  if ('to' in input) return `${name} ${typeof input.to === 'string' ? input.to : input.to.version}`;
  return 'version' in input ? `${name} ${input.version}` : name;
}
