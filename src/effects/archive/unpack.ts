/** Tells formats apart by their first bytes, not by their names, and unpacks into an empty private directory. */
import { chmod, copyFile, open } from 'node:fs/promises';
import path from 'node:path';
import { loadTar, loadZip } from '../packages.ts';
import { corrupt, type Limits } from './rules.ts';

type Format = 'gzip' | 'zstd' | 'tar' | 'zip' | 'executable' | 'unknown';

/** Magic numbers: gzip (RFC 1952), zstd (RFC 8878), zip (APPNOTE 4.3.7), ELF, Mach-O, `#!`, and POSIX tar at 257. */
export async function formatOf(file: string): Promise<Format> {
  const head = Buffer.alloc(262);
  const handle = await open(file, 'r');
  try {
    await handle.read(head, 0, head.length, 0);
  } finally {
    await handle.close();
  }
  const hex = head.toString('hex');
  if (hex.startsWith('1f8b')) return 'gzip';
  if (hex.startsWith('28b52ffd')) return 'zstd';
  if (hex.startsWith('504b0304') || hex.startsWith('504b0506')) return 'zip';
  if (hex.startsWith('7f454c46') || hex.startsWith('2321') || hex.startsWith('cffaedfe')) return 'executable';
  return head.toString('latin1', 257, 262) === 'ustar' ? 'tar' : 'unknown';
}

/** `bareName` is what a bare executable is called in the tree. */
export async function unpack(file: string, into: string, bareName: string, limits: Limits, signal: AbortSignal): Promise<void> {
  const format = await formatOf(file);
  switch (format) {
    case 'gzip':
    case 'zstd':
      return (await loadTar()).unpackTar(file, format, into, limits, signal);
    case 'tar':
      return (await loadTar()).unpackTar(file, 'none', into, limits, signal);
    case 'zip':
      return (await loadZip()).unpackZip(file, into, limits, signal);
    case 'executable': {
      const target = path.join(into, bareName);
      await copyFile(file, target);
      return chmod(target, 0o755);
    }
    case 'unknown':
      throw corrupt('its first bytes are those of no known format');
    default:
      return format satisfies never;
  }
}
