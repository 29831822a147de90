/**
 * A directory of releases as tests publish into it, and a web server in front of it, as nginx or a
 * bucket serves one: ETags, ranges, and the ways in which a server can misbehave.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { writeIndex } from '../../../src/effects/sources/write-index.ts';

export type Misbehaviour = {
  /** Answer everything with this. */
  all?: { status: number; headers?: Record<string, string>; body?: string };
};

export class FakeDirectory {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'directory-'));
  readonly requests: { path: string; headers: http.IncomingHttpHeaders }[] = [];
  misbehave: Misbehaviour = {};
  readonly #server: http.Server | https.Server;

  /** `tls`: served by https. */
  constructor(tls: { key: string; cert: string } | null = null) {
    const answer: http.RequestListener = (request, response) => this.#answer(request, response);
    this.#server = tls === null ? http.createServer(answer) : https.createServer(tls, answer);
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  async close(): Promise<void> {
    rmSync(this.root, { recursive: true, force: true });
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get url(): string {
    const scheme = this.#server instanceof https.Server ? 'https' : 'http';
    return `${scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  get fileUrl(): string {
    return pathToFileURL(`${this.root}/`).href;
  }

  /** Places a release's files, and writes the index anew unless told otherwise. */
  async publish(tag: string, assets: Record<string, Buffer>, { index = true } = {}): Promise<void> {
    mkdirSync(path.join(this.root, tag), { recursive: true });
    for (const [name, content] of Object.entries(assets))
      writeFileSync(path.join(this.root, tag, name), content);
    if (index) await writeIndex(this.root);
  }

  get index(): Buffer {
    return readFileSync(path.join(this.root, 'releases.json'));
  }

  /** Any index, also one that `self-update index` would never write. */
  writeIndex(index: unknown): void {
    this.write('releases.json', typeof index === 'string' ? index : JSON.stringify(index));
  }

  write(name: string, content: string | Buffer): void {
    writeFileSync(path.join(this.root, name), content);
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { pathname } = new URL(request.url ?? '', this.url);
    this.requests.push({ path: pathname, headers: request.headers });
    const { all } = this.misbehave;
    if (all !== undefined) {
      response.writeHead(all.status, all.headers).end(all.body);
      return;
    }
    let content: Buffer;
    try {
      content = readFileSync(path.join(this.root, decodeURIComponent(pathname)));
    } catch {
      response.writeHead(404).end('<html>not here</html>');
      return;
    }
    const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end();
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const body = content.subarray(start);
    const range = { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` };
    response.writeHead(start > 0 ? 206 : 200, {
      etag,
      'content-length': body.length,
      ...(start > 0 ? range : {}),
    });
    response.end(body);
  }
}
