/** The disk's operations out of what strace(1) recorded, strings in hexadecimal. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Operation } from './disk.ts';

export const RECORDED = [
  ...[
    'openat',
    'open',
    'creat',
    'write',
    'pwrite64',
    'writev',
    'pwritev',
    'ftruncate',
    'chmod',
    'fchmod',
    'mkdir',
    'symlink',
  ],
  ...[
    'unlink',
    'unlinkat',
    'rmdir',
    'rename',
    'renameat',
    'renameat2',
    'copy_file_range',
    'sendfile',
    'fsync',
    'fdatasync',
    'syncfs',
    'kill',
  ],
] as const;
export const RECORDING_OPTIONS = ['-xx', '-s', '10000000'] as const;

type Call = { name: string; args: string; result: number };

/**
 * In the order in which they were done. Throws for a call that is not understood, so that nothing
 * is passed over.
 */
export function operationsIn(trace: string, directory: string): Operation[] {
  const parser = new Parser(directory);
  return callsIn(readFileSync(trace, 'latin1')).flatMap((call) => parser.read(call));
}

/** Calls that threads interrupted are put together again; failed ones are left out. */
function callsIn(text: string): Call[] {
  const begun = new Map<string, string>();
  return text.split('\n').flatMap((line) => {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (rest.endsWith('<unfinished ...>'))
      begun.set(thread, rest.slice(0, -'<unfinished ...>'.length));
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
    const whole = resumed ? `${begun.get(thread) ?? ''}${resumed[1]}` : rest;
    const match = /^(\w+)\((.*)\) += (-?\d+)/.exec(whole);
    return match && Number(match[3]) >= 0
      ? [{ name: match[1] ?? '', args: (match[2] ?? '').trim(), result: Number(match[3]) }]
      : [];
  });
}

class Parser {
  readonly #directory: string;
  /** Where the next write(2) goes, by path. */
  readonly #offsets = new Map<string, number>();
  readonly #sizes = new Map<string, number>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  read({ name, args, result }: Call): Operation[] {
    const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) =>
      bytesOf(hex),
    );
    const descriptors = [...args.matchAll(/<((?:\\x[0-9a-f]{2})+)>/g)].map(([, hex = '']) =>
      bytesOf(hex).toString(),
    );
    const paths = strings.map((bytes) => this.#relative(bytes.toString()));
    const open = this.#relative(descriptors[0] ?? '');
    const [first = null, second = null] = paths;
    const mode = Number.parseInt(/, (0[0-7]+)\b/.exec(args)?.[1] ?? '0644', 8);
    switch (name) {
      case 'kill':
        return / 0$/.test(args) || args.endsWith(', 0') ? [] : [{ type: 'kill' }];
      case 'openat':
        return first === null || !args.includes('O_CREAT') ? [] : this.#opened(first, args, mode);
      case 'write':
      case 'pwrite64':
      case 'writev':
      case 'pwritev': {
        if (open === null) return [];
        const data = Buffer.concat(strings).subarray(0, result);
        if (data.length !== result)
          throw new Error(
            `${name} on ${open} wrote ${result} bytes, and ${data.length} were recorded`,
          );
        const positioned = name.startsWith('p');
        const offset = positioned
          ? Number(/, (\d+)$/.exec(args)?.[1])
          : (this.#offsets.get(open) ?? 0);
        if (!positioned) this.#offsets.set(open, offset + result);
        this.#sizes.set(open, Math.max(this.#sizes.get(open) ?? 0, offset + result));
        return [{ type: 'write', file: open, offset, data }];
      }
      case 'copy_file_range':
      case 'sendfile': {
        const ends = descriptors.map((name) => this.#relative(name));
        const [from = null, into = null] = name === 'sendfile' ? ends.reverse() : ends;
        if (into === null || from === null || result === 0) return [];
        const offset = this.#offsets.get(into) ?? 0;
        this.#offsets.set(into, offset + result);
        return [{ type: 'copy', from, file: into, offset, size: result }];
      }
      case 'ftruncate':
        return open === null
          ? []
          : [{ type: 'truncate', file: open, size: Number(/, (\d+)$/.exec(args)?.[1]) }];
      case 'chmod':
        return first === null ? [] : [{ type: 'mode', file: first, mode }];
      case 'fchmod':
        return open === null ? [] : [{ type: 'mode', file: open, mode }];
      case 'mkdir':
        return first === null ? [] : [{ type: 'mkdir', file: first, mode: mode & 0o755 }];
      case 'symlink':
        return second === null
          ? []
          : [{ type: 'symlink', target: strings[0]?.toString() ?? '', file: second }];
      case 'unlink':
      case 'rmdir':
        return first === null ? [] : [{ type: 'remove', file: first }];
      case 'rename':
        return first === null || second === null
          ? []
          : [{ type: 'rename', file: first, to: second }];
      case 'fsync':
      case 'fdatasync':
        return open === null ? [] : [{ type: 'sync', file: open }];
      case 'syncfs':
        return [{ type: 'syncAll' }];
      default:
        throw new Error(`${name} is recorded, but not understood`);
    }
  }

  #opened(file: string, args: string, mode: number): Operation[] {
    const truncate = args.includes('O_TRUNC');
    this.#offsets.set(file, args.includes('O_APPEND') ? (this.#sizes.get(file) ?? 0) : 0);
    return [{ type: 'create', file, mode: mode & 0o755, truncate }];
  }

  #relative(file: string): string | null {
    if (file !== this.#directory && !file.startsWith(`${this.#directory}/`)) return null;
    return path.relative(this.#directory, file) || '.';
  }
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
}
