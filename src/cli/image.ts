/** What the program and its image say about themselves. */
import path from 'node:path';
import type { ImageInfo } from '../report/status.ts';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';

/** Put in by scripts/build.ts; the sources read package.json. */
declare const BUNDLED_VERSION: string | undefined;

/** What the image says about itself; nothing elsewhere. */
export function imageInfo(): ImageInfo {
  try {
    const { version, created } = JSON.parse(
      readBounded('/usr/share/self-update/image.json', MAX_NOTE_BYTES).toString('utf8'),
    ) as Partial<ImageInfo>;
    return { version: version ?? null, created: created ?? null };
  } catch {
    return { version: null, created: null };
  }
}

export function programVersion(): string {
  if (typeof BUNDLED_VERSION === 'string') return BUNDLED_VERSION;
  const file = path.join(import.meta.dirname, '..', '..', 'package.json');
  return (JSON.parse(readBounded(file, MAX_NOTE_BYTES).toString('utf8')) as { version: string })
    .version;
}
