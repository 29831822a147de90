/**
 * A real app as a release archive: a shell-less Node server that tells its version and takes a
 * moment to stop.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { create } from 'tar';

export type AppOptions = {
  version: string;
  stopMs?: number;
  port?: number;
  wrapped?: boolean;
  padBytes?: number;
  files?: Record<string, { content: string | Buffer; mode?: number }>;
};

/** The source of the app; it announces itself on standard output. A held socket is taken. */
export function appSource({ version, stopMs = 0, port = 0 }: AppOptions): string {
  return `#!${process.execPath}
const http = require('node:http');
const net = require('node:net');
let isDraining = false;
const server = http.createServer((request, response) => {
  if (isDraining) response.setHeader('connection', 'close');
  response.end(${JSON.stringify(version)});
});
const isHeld = Number(process.env.LISTEN_PID) === process.pid;
const place = isHeld ? { fd: 3 } : { port: Number(process.env.PORT || ${port}), host: '127.0.0.1' };
server.listen(place, 4096, () => console.log('app ${version} listening on ' + server.address().port));
process.once('SIGTERM', () => {
  isDraining = true;
  net.Server.prototype.close.call(server, () => setTimeout(() => process.exit(0), ${stopMs}));
  setInterval(() => server.closeIdleConnections(), 200);
  setTimeout(() => server.closeAllConnections(), 2000);
});
`;
}

/** A goreleaser-style archive: LICENSE, README and the executable. */
export async function appArchive(options: AppOptions): Promise<Buffer> {
  const files: NonNullable<AppOptions['files']> = {
    LICENSE: { content: 'MIT\n' },
    'README.md': { content: `# app ${options.version}\n` },
    app: { content: appSource(options), mode: 0o755 },
    ...options.files,
  };
  if (options.padBytes) files['padding.bin'] = { content: randomBytes(options.padBytes) };
  return archive(files, options.wrapped ? `app_${options.version}` : '');
}

/** Any files as a .tar.gz. */
export async function archive(
  files: NonNullable<AppOptions['files']>,
  prefix = '',
): Promise<Buffer> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
  try {
    for (const [name, { content, mode = 0o644 }] of Object.entries(files)) {
      const file = path.join(directory, 'in', prefix, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content, { mode });
    }
    const out = path.join(directory, 'out.tar.gz');
    const roots =
      prefix === ''
        ? [...new Set(Object.keys(files).map((name) => name.split('/')[0] ?? ''))]
        : [prefix];
    await create({ file: out, gzip: true, cwd: path.join(directory, 'in'), portable: true }, roots);
    return readFileSync(out);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function randomBytes(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let i = 0, x = 0x2545f491; i + 4 <= count; i += 4) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(x, i);
  }
  return bytes;
}
