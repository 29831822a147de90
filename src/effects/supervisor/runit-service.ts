/**
 * One service of runit, as runsv(8) shows and steers it: the 20-byte status file and the control
 * FIFO. The `stat` and `pid` files are two writes, and `pid` is the finish script's while that
 * runs, so neither is believed.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { MAX_NOTE_BYTES, readBounded } from '../../support/bounded.ts';
import { isErrno } from '../../support/fault.ts';

/**
 * `supervise/status`, runsv.c `update_status`: 12 bytes TAI64N, then pid, paused, wanted, TERM
 * sent, state.
 */
const STATUS_BYTES = 20;
const PID_AT = 12;
const WANTED_AT = 17;
const STATE_AT = 19;
const STATES = ['down', 'run', 'finish'] as const;

export type ServiceStatus = { pid: number; wanted: 'up' | 'down'; state: (typeof STATES)[number] };

/** Null for bytes that no runsv wrote. */
export function parseStatus(bytes: Buffer): ServiceStatus | null {
  const state = STATES[bytes[STATE_AT] ?? -1];
  if (bytes.length !== STATUS_BYTES || state === undefined) return null;
  return {
    pid: bytes.readUInt32LE(PID_AT),
    wanted: bytes[WANTED_AT] === 'u'.charCodeAt(0) ? 'up' : 'down',
    state,
  };
}

export class RunitService {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = path.join(directory, 'supervise');
  }

  /**
   * Null when no runsv is there: its files go stale at its death, so they count only while somebody
   * reads `ok`.
   */
  status(): ServiceStatus | null {
    if (!writeToFifo(path.join(this.#directory, 'ok'), '')) return null;
    try {
      return parseStatus(readBounded(path.join(this.#directory, 'status'), MAX_NOTE_BYTES));
    } catch (error) {
      // Before its first status.
      if (isErrno(error, 'ENOENT')) return null;
      throw error;
    }
  }

  /** Hands runsv its control characters, see runsv(8) "CONTROL". False when no runsv is there. */
  control(words: string): boolean {
    return writeToFifo(path.join(this.#directory, 'control'), words);
  }
}

/**
 * Writes without ever blocking; false when nobody has the FIFO open for reading, or there is none.
 */
export function writeToFifo(file: string, text: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENXIO', 'ENOENT', 'ENOTDIR', 'EISDIR')) return false;
    throw error;
  }
  try {
    // Anything else of that name would take every word, and tell that somebody is there.
    if (!fstatSync(fd).isFIFO()) return false;
    if (text !== '') writeSync(fd, text);
    return true;
  } catch (error) {
    // The reader went away in between.
    if (isErrno(error, 'EPIPE')) return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}
