/**
 * A real registry (Debian's `docker-registry`) on loopback, with data of its own, and the ways in
 * which registries are asked: by anybody, with a token of a realm, or by user and password. What
 * oras does is done by the registry's own HTTP API; its real manifests are in oras-1.3.6/.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { RegistryFront } from './front.ts';
import { Realm } from './realm.ts';

export type Authorization = 'none' | 'basic' | 'token';
/**
 * `redirectsTo`: a name of this machine, or an origin, to which downloads are redirected. `realmAt`:
 * the realm's origin, if it is not the registry's. `hasReferrers`: another registry, which has the
 * API for referrers, and none of the rest.
 */
export type RegistryOptions = {
  authorization?: Authorization;
  redirectsTo?: string;
  realmAt?: string;
  hasReferrers?: boolean;
};
export type Layer = { bytes: Buffer; annotations?: Record<string, string>; mediaType?: string };
export type Pushed = {
  layers?: readonly Layer[];
  annotations?: Record<string, string>;
  /** Digest of the manifest that it refers to. */
  subject?: string;
  artifactType?: string;
};

export const CREDENTIAL = 'robot:canary-token-0123456789';
/** bcrypt of the same, of crypt(5). */
const HTPASSWD = 'robot:$2y$05$abcdefghijklmnopqrstuuOkqJtYVhsZHhuNzH75dB5vRVV8RTA3q\n';
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
export const NAME = 'acme/app';

export class TestRegistry implements AsyncDisposable {
  /** What clients talk to. */
  readonly front: RegistryFront;
  readonly #root: string;
  readonly #realm: Realm | null;
  readonly #authorization: Authorization;
  readonly #process: ChildProcess;
  readonly #hasReferrers: boolean;
  /** Of the registry itself. */
  readonly #url: string;

  private constructor(
    front: RegistryFront,
    started: { root: string; realm: Realm | null; child: ChildProcess; url: string },
    { authorization = 'none', hasReferrers = false }: RegistryOptions,
  ) {
    this.front = front;
    this.#root = started.root;
    this.#realm = started.realm;
    this.#process = started.child;
    this.#url = started.url;
    this.#authorization = authorization;
    this.#hasReferrers = hasReferrers;
  }

  static async start(options: RegistryOptions = {}): Promise<TestRegistry> {
    const { authorization = 'none', redirectsTo, realmAt, hasReferrers = false } = options;
    const root = mkdtempSync(path.join(os.tmpdir(), 'registry-'));
    const data = path.join(root, 'data');
    const realm = authorization === 'token' ? await Realm.create(root, CREDENTIAL) : null;
    const front = await new RegistryFront(realm, data).listen();
    writeFileSync(path.join(root, 'htpasswd'), HTPASSWD);
    const file = path.join(root, 'config.json');
    const storage = redirectsTo?.includes('://')
      ? `${redirectsTo}/`
      : `http://${redirectsTo}:${new URL(front.url).port}/`;
    const redirect = { storage: [{ name: 'redirect', options: { baseurl: storage } }] };
    const config = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: data }, delete: { enabled: true } },
      http: { addr: '127.0.0.1:0', secret: 'of this test' },
      ...(redirectsTo === undefined ? {} : { middleware: redirect }),
      ...(realm === null
        ? {}
        : { auth: { token: realm.settings(`${realmAt ?? front.url}/token`) } }),
      ...(authorization === 'basic'
        ? { auth: { htpasswd: { realm: 'test', path: path.join(root, 'htpasswd') } } }
        : {}),
    };
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(config));
    // Nobody is left who would end it when the test's process is killed.
    const command = hasReferrers
      ? [await builtWithReferrers()]
      : ['docker-registry', 'serve', file];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
    });
    const url = await listeningAt(child);
    front.target = url;
    return new TestRegistry(front, { root, realm, child, url }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.front[Symbol.asyncDispose]();
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** For `UPDATE_SOURCE_URL`. */
  get url(): string {
    return `${this.front.url}/${NAME}`;
  }

  /** As `oras push NAME:TAG FILE…` does. Returns the manifest's digest. */
  async publish(
    tag: string,
    files: Record<string, Buffer>,
    annotations: Record<string, string> = {
      'org.opencontainers.image.created': '2026-01-31T12:00:00Z',
    },
  ): Promise<string> {
    const layers = Object.entries(files).map(([title, bytes]) => ({
      bytes,
      annotations: { 'org.opencontainers.image.title': title },
    }));
    return this.push(tag, { layers, annotations });
  }

  /** Any manifest, with its blobs. */
  async push(
    reference: string,
    { layers = [], artifactType = 'application/vnd.unknown.artifact.v1', ...rest }: Pushed,
  ): Promise<string> {
    const empty = Buffer.from('{}');
    await this.pushBlob(empty);
    const blobs = new Map(layers.map(({ bytes }) => [digestOf(bytes), bytes]));
    for (const bytes of blobs.values()) await this.pushBlob(bytes);
    const { subject, annotations } = rest;
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      artifactType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', ...described(empty) },
      layers: layers.map(
        ({ bytes, mediaType = 'application/vnd.oci.image.layer.v1.tar', annotations }) => ({
          mediaType,
          ...described(bytes),
          ...(annotations === undefined ? {} : { annotations }),
        }),
      ),
      ...(subject === undefined
        ? {}
        : { subject: { mediaType: MANIFEST_TYPE, digest: subject, size: 2 } }),
      ...(annotations === undefined ? {} : { annotations }),
    };
    return this.pushManifest(reference, JSON.stringify(manifest), MANIFEST_TYPE);
  }

  /** `reference`: a tag, or its own digest. */
  async pushManifest(reference: string, text: string, mediaType: string): Promise<string> {
    const digest = digestOf(Buffer.from(text));
    const place = reference === 'digest' ? digest : reference;
    await this.#send('PUT', `${this.#url}/v2/${NAME}/manifests/${place}`, text, mediaType);
    return digest;
  }

  async pushBlob(bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes);
    const begun = await this.#send('POST', `${this.#url}/v2/${NAME}/blobs/uploads/`);
    const place = new URL(begun.headers.get('location') ?? '', this.#url);
    place.searchParams.set('digest', digest);
    await this.#send('PUT', place.href, bytes, 'application/octet-stream');
    return digest;
  }

  /** What its disk holds under a digest. */
  replaceBlob(digest: string, bytes: Buffer): void {
    const [, hex = ''] = digest.split(':');
    const blobs = path.join(this.#root, 'data/docker/registry/v2/blobs/sha256');
    writeFileSync(path.join(blobs, hex.slice(0, 2), hex, 'data'), bytes);
  }

  /** As `oras attach` does: where the registry has no API for referrers, by a tag. */
  async attach(subject: string, bundle: unknown): Promise<void> {
    const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const bytes = Buffer.from(JSON.stringify(bundle));
    const layers = [{ bytes, mediaType: type }];
    const digest = await this.push('digest', { layers, subject, artifactType: type });
    if (this.#hasReferrers) return;
    const manifests = [{ mediaType: MANIFEST_TYPE, digest, size: 2, artifactType: type }];
    const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
    await this.pushManifest(subject.replace(':', '-'), JSON.stringify(index), INDEX_TYPE);
  }

  async #send(method: string, url: string, body?: string | Buffer, type?: string) {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    if (this.#authorization === 'basic')
      headers['authorization'] = `Basic ${Buffer.from(CREDENTIAL).toString('base64')}`;
    if (this.#realm !== null)
      headers['authorization'] = `Bearer ${this.#realm.tokenFor(NAME, ['pull', 'push'])}`;
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
    return response;
  }
}

/** Built once from its Go module, by the version that its go.sum holds it to. */
async function builtWithReferrers(): Promise<string> {
  const cwd = path.join(import.meta.dirname, 'with-referrers');
  const version = createHash('sha256')
    .update(readFileSync(path.join(cwd, 'go.sum')))
    .digest('hex');
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache');
  const program = path.join(cache, 'self-update-tests', `registry-${version.slice(0, 12)}`);
  if (existsSync(program)) return program;
  // Killed meanwhile, a half of it would be taken for the program ever after.
  const begun = `${program}.${process.pid}`;
  await execa('go', ['build', '-o', begun, '.'], { cwd });
  renameSync(begun, program);
  return program;
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function described(bytes: Buffer) {
  return { digest: digestOf(bytes), size: bytes.length };
}

/** Rejects with what it said where it ends instead. */
async function listeningAt(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error('invariant: it is a pipe');
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (address === undefined) continue;
    child.stderr.resume();
    return `http://${address}`;
  }
  throw new Error(`docker-registry does not start:\n${said.slice(-5).join('\n')}`);
}
