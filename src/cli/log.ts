/**
 * The log: one line an event on standard error, prefixed, as text or JSON, with secrets blacked
 * out.
 */
import type { Log, LogFields } from '../support/log.ts';
import { redact } from '../support/redact.ts';
import { visible } from '../support/visible.ts';

export type LogOptions = {
  format: 'text' | 'json';
  verbose: boolean;
  now: () => number;
  secrets: () => readonly string[];
  write: (line: string) => void;
};

type Level = 'info' | 'warn' | 'debug';

export function createLog({ format, verbose, now, secrets, write }: LogOptions): Log {
  const emit = (level: Level, message: string, fields: LogFields = {}): void => {
    if (level === 'debug' && !verbose) return;
    // Nothing that a server or an app said may forge a line or reach into a terminal.
    const clean = visible(redact(message, secrets()));
    const at = new Date(now()).toISOString();
    write(
      format === 'json'
        ? JSON.stringify({ at, level, source: 'self-update', message: clean, ...fields })
        : `update: ${level === 'warn' ? 'warning: ' : ''}${clean}`,
    );
  };
  return {
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    debug: (message) => emit('debug', message),
  };
}
