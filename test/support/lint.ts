/** Releases as publishers make them, for `lint`. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Header } from 'tar';
import { lintReport } from '../../src/cli/lint.ts';
import { INDEX_NAME } from '../../src/effects/sources/releases-index.ts';
import type { LintReport } from '../../src/lint/report.ts';
import { archive } from './app.ts';

export const ARCHIVE = 'app_1.2.3_linux_amd64.tar.gz';

/** An ELF file's header, as far as the updater reads it; it loads what `interpreter` names. */
export function elf(machine: number, interpreter: string | null = null): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = 2;
  bytes[5] = 1;
  bytes.writeUInt16LE(machine, 18);
  if (interpreter === null) return bytes;
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(3, 64);
  bytes.writeBigUInt64LE(256n, 64 + 8);
  bytes.write(`${interpreter}\0`, 256, 'latin1');
  return bytes;
}
export const AMD64 = 62;
export const ARM64 = 183;

/** One program as a .tar.gz. */
export const packed = (content: string | Buffer = elf(AMD64), name = 'app'): Promise<Buffer> =>
  archive({ [name]: { content, mode: 0o755 } });

/** A tar with one entry of any name, as no tool makes it. */
export function tarOf(name: string): Buffer {
  const header = Buffer.alloc(512);
  new Header({ path: name, type: 'File', mode: 0o755, size: 0, mtime: new Date(0) }).encode(
    header,
    0,
  );
  return Buffer.concat([header, Buffer.alloc(1024)]);
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export class ReleaseDirectory {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'lint-'));

  write(files: Readonly<Record<string, string | Buffer>>): this {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(this.root, name)), { recursive: true });
      writeFileSync(path.join(this.root, name), content);
    }
    return this;
  }

  /** A list of one release, each entry changed as an author might get it wrong. */
  list(files: Readonly<Record<string, Buffer>>, changes: Record<string, unknown> = {}): this {
    const assets = Object.entries(files).map(([name, content]) => ({
      name,
      url: `v1.2.3/${name}`,
      sizeBytes: content.length,
      sha256: sha256(content),
      ...changes,
    }));
    const index = { releases: [{ tag: 'v1.2.3', assets }] };
    const placed = Object.entries(files).map(([name, content]) => [`v1.2.3/${name}`, content]);
    return this.write({ ...Object.fromEntries(placed), [INDEX_NAME]: JSON.stringify(index) });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

/** What `self-update lint OPERAND` finds under these variables. */
export function lintOf(
  operand: string,
  environment: Record<string, string> = {},
  { as = null, platforms = [] }: { as?: string | null; platforms?: string[] } = {},
): Promise<LintReport> {
  return lintReport({ operand, as, platforms }, environment, new AbortController().signal);
}
