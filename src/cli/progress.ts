/**
 * Progress for people: states as they change, a bar while bytes arrive. A pipe gets plain lines.
 */
import { styleText } from 'node:util';
import type { JournalRecord } from '../journal/record.ts';
import { shownName, shownState } from '../machines/shown.ts';
import { waitingFor } from '../report/waiting.ts';
import { describeFact, formatBytes, formatDuration, isTrouble } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import type { Log } from '../support/log.ts';

const BAR_WIDTH = 24;
/** A terminal is redrawn ten times a second; a log gets a line every few. */
const REDRAW_MS = 100;
const LINE_MS = 5000;

export type Progress = {
  onRecord: (record: JournalRecord, state: State) => void;
  onProgress: (received: number, total: number) => void;
  end: () => void;
};

export function createProgress(
  stream: NodeJS.WriteStream,
  log: Log,
  format: 'text' | 'json',
): Progress {
  const live = stream.isTTY === true && format === 'text';
  const meter = new Meter();
  let shownAt = 0;
  let barShown = false;
  let before = '';
  const clear = (): void => {
    if (barShown) stream.write('\r\u001b[K');
    barShown = false;
  };
  return {
    onRecord(record, state) {
      clear();
      const name = shownState(state.snapshot).state;
      const moved = name === before ? '' : `[${before === '' ? '' : `${before} → `}${name}] `;
      before = name;
      const line = `${moved}${describeFact(record.fact)}`;
      const fields = {
        seq: record.seq,
        fact: record.fact.type,
        state: shownName(state.snapshot),
        ...('code' in record.fact ? { code: record.fact.code } : {}),
      };
      const deferral =
        record.fact.type === 'conditionsObserved' ? waitingFor(state, null, record.at) : null;
      if (deferral !== null) {
        log.info(`${line}: ${deferral.message}`, fields);
        return;
      }
      const { lastError } = state.snapshot.context;
      // Trouble that the machine saw in a fact which is none.
      const seen =
        lastError?.at === record.at && !('code' in record.fact)
          ? `; ${lastError.message} [${lastError.code}]`
          : '';
      if (seen !== '') log.warn(`${line}${seen}`, fields);
      else if (isTrouble(record.fact)) log.warn(line, fields);
      else log.info(line, fields);
      if (name === 'downloading') meter.restart();
    },
    onProgress(received, total) {
      const now = performance.now();
      meter.measure(received, now);
      if (now - shownAt < (live ? REDRAW_MS : LINE_MS) && received < total) return;
      if (!live && shownAt === 0 && received < total) {
        shownAt = now;
        return;
      }
      shownAt = now;
      const words = `${formatBytes(received)} of ${formatBytes(total)}, ${meter.describe(received, total)}`;
      if (!live) {
        if (received < total) log.info(`downloading: ${words}`);
        return;
      }
      const done = Math.round((received / Math.max(total, 1)) * BAR_WIDTH);
      stream.write(
        `\r\u001b[K${styleText('cyan', `${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)}`, { stream })} ${words}`,
      );
      barShown = true;
    },
    end: clear,
  };
}

/** Speed over the whole of one download: steadier than the last moment's. */
class Meter {
  #from: { bytes: number; at: number } | null = null;
  #now = 0;

  restart(): void {
    this.#from = null;
  }

  measure(received: number, now: number): void {
    this.#from ??= { bytes: received, at: now };
    this.#now = now;
  }

  describe(received: number, total: number): string {
    const elapsed = this.#now - (this.#from?.at ?? this.#now);
    if (this.#from === null || elapsed < 200) return 'starting';
    const speed = (received - this.#from.bytes) / elapsed;
    const left = speed > 0 ? `, ${formatDuration((total - received) / speed)} left` : '';
    return `${formatBytes(Math.round(speed * 1000))}/s${left}`;
  }
}
