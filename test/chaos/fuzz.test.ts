/**
 * Mutated archives and mutated answers, seeded: no crash, no hang, no escape, and nothing of them
 * is accepted.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { unpack } from '../../src/effects/archive/unpack.ts';
import { walk } from '../../src/effects/archive/walk.ts';
import { check } from '../../src/effects/check.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { pollNoteSchema } from '../../src/machines/poll-note.ts';
import { Fault } from '../../src/support/fault.ts';
import { judge } from '../../src/trust/judge.ts';
import { cases, type Random } from '../support/chaos/cases.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { longName, pax, paxHeader, reseal, tar, zip } from '../support/hostile.ts';
import { policy, release } from '../support/machine.ts';

const A_BATCH = 200;
const BATCHES = 105;
const HANGS_AFTER_MS = 10_000;
const BLOCK = 512;
const DIGEST_ONLY = {
  conditions: ['digest' as const],
  minisignKeys: [],
  minisignBinding: 'version' as const,
  verifyAttestation: null,
  attestation: null,
};

const batches = Array.from({ length: BATCHES }, (_, i) => ({
  title: `mutants ${i * A_BATCH + 1} to ${(i + 1) * A_BATCH}`,
}));
const pick = <T>(random: Random, all: readonly T[]): T =>
  all[Math.floor(random() * all.length)] as T;
const int = (random: Random, below: number) => Math.floor(random() * below);

/** Archives with everything in them that an archive may have. */
const SEEDS: Buffer[] = [
  tar(
    { path: 'app', mode: 0o755, body: '#!/bin/sh\n' },
    { path: 'd/', type: 'Directory', mode: 0o755 },
    { path: 'd/file', body: 'x'.repeat(700) },
    { path: 'link', type: 'SymbolicLink', linkpath: 'd/file' },
    { path: 'hard', type: 'Link', linkpath: 'd/file' },
    longName(`d/${'n'.repeat(150)}`),
    { path: 'd/n', body: 'long' },
    paxHeader(pax('path', 'd/pax'), pax('mtime', '1.5')),
    { path: 'p', body: 'pax' },
    // What never ends, or leads astray, a changed byte away from what is harmless.
    { path: 'a', type: 'SymbolicLink', linkpath: '.' },
    { path: 'b', type: 'SymbolicLink', linkpath: '.' },
    { path: 'd/up', type: 'SymbolicLink', linkpath: '../d/../a/app' },
    { path: 'circle', type: 'SymbolicLink', linkpath: 'circle' },
    paxHeader(pax('linkpath', `${'d/../'.repeat(40)}d/up`)),
    { path: 'chain', type: 'SymbolicLink', linkpath: 'x' },
    paxHeader(
      pax('GNU.sparse.major', '1'),
      pax('GNU.sparse.minor', '0'),
      pax('GNU.sparse.name', 'holes'),
      pax('GNU.sparse.realsize', '9000'),
    ),
    { path: 'GNUSparseFile.0/holes', body: `1\n4096\n4\n${'\0'.repeat(512 - 9)}data` },
  ),
  zip([
    { name: 'app', body: '#!/bin/sh\n', mode: 0o100755 },
    { name: 'd/file', body: 'y'.repeat(300) },
    { name: 'link', body: 'app', mode: 0o120777 },
  ]),
];
/** What breaks parsers. */
const INTERESTING = [
  '../',
  '/',
  '..',
  '\0',
  '\\',
  '\n',
  '77777777777',
  '-1',
  '\x80\xff\xff\xff',
  '00000000000',
  '99999 path=',
  'S',
  'L',
  'K',
  'x',
  'g',
  '1',
  '2',
  '3',
  '6',
];

function mutate(seed: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(seed);
  for (let changes = 1 + int(random, 6); changes > 0; changes--) {
    const at = int(random, bytes.length);
    switch (int(random, 7)) {
      case 0:
        bytes[at] = int(random, 256);
        break;
      case 1:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << int(random, 8));
        break;
      case 2:
        bytes.write(pick(random, INTERESTING), at, 'latin1');
        break;
      case 3:
        bytes = bytes.subarray(0, Math.max(BLOCK, at));
        break;
      case 4: {
        const from = BLOCK * int(random, Math.max(1, bytes.length / BLOCK));
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(from, from + BLOCK * (1 + int(random, 3))),
          bytes.subarray(at),
        ]);
        break;
      }
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + int(random, 2 * BLOCK))]);
        break;
      default:
        bytes = Buffer.concat([bytes, pick(random, SEEDS)]);
    }
    if (bytes.length < BLOCK) bytes = Buffer.concat([bytes, Buffer.alloc(BLOCK)]);
  }
  // A header whose sum does not fit is refused at once: most mutants get a fitting one, to come
  // further.
  return random() < 0.8 ? reseal(bytes) : bytes;
}

cases(
  'fuzz-archives',
  batches,
  {
    sample: 4,
    concurrency: 2,
    group: () => 'mutated archives: refused, or nothing but files, directories and links inside',
  },
  async (_, random) => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'fuzz-'));
    writeFileSync(path.join(root, 'outside'), 'untouched');
    let accepted = 0;
    try {
      for (let i = 0; i < A_BATCH; i++) {
        const seed = pick(random, SEEDS);
        const wrap = pick(random, [
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => gzipSync(bytes, { level: 1 }),
          (bytes: Buffer) => zstdCompressSync(bytes),
        ]);
        const mutant = mutate(seed, random);
        const bytes = seed === SEEDS[0] ? wrap(mutant) : mutant;
        const file = path.join(root, 'archive');
        // Each its own: the unpacker goes on for a moment after it has refused.
        const into = path.join(root, `inside-${i}`);
        mkdirSync(into);
        writeFileSync(file, bytes);
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        if (!mutant.equals(seed)) {
          const evidence = {
            sizeBytes: 9,
            sha256,
            blake2b512: Buffer.alloc(64),
            sums: null,
            minisigs: [],
            bundles: [],
            manifests: [],
          };
          assert.throws(() => judge(release('2.0.0'), evidence, DIGEST_ONLY), {
            code: 'DIGEST_MISMATCH',
          });
        }
        try {
          await unpack(
            file,
            into,
            { asset: 'app.tar.gz', program: 'app' },
            { maxEntries: 500, maxUnpackedBytes: 5_000_000 },
            AbortSignal.timeout(HANGS_AFTER_MS),
          );
          // Linked names too: what a link finds there is not looked at.
          const entries = await walk(
            into,
            random() < 0.3 ? ['d'] : [],
            AbortSignal.timeout(HANGS_AFTER_MS),
          );
          // No link is gone through: there are as many entries as the archive may have, and their
          // parents.
          assert.ok(entries.length <= 500, `mutant ${i}: ${entries.length} entries`);
          for (const { path: name, type } of entries)
            if (type === 'link') assertInside(into, path.join(into, name), i);
          accepted += 1;
        } catch (error) {
          assert.ok(error instanceof Fault, `mutant ${i}: ${(error as Error).stack}`);
          assert.match(error.code, /^ARCHIVE_/, `mutant ${i}: ${error.message}`);
        }
        const others = readdirSync(root).filter((name) => !name.startsWith('inside-'));
        assert.deepEqual(others.sort(), ['archive', 'outside'], `mutant ${i} escaped`);
        assert.equal(readFileSync(path.join(root, 'outside'), 'utf8'), 'untouched');
      }
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
    return `all refused, but for those that are archives still (${accepted > 0 ? 'some' : 'none'})`;
  },
);

/** By the kernel's own answer, which the walk does without. */
function assertInside(into: string, link: string, mutant: number): void {
  let place: string;
  try {
    place = realpathSync.native(link);
  } catch {
    return;
  }
  assert.ok(
    place === realpathSync.native(into) || place.startsWith(`${realpathSync.native(into)}/`),
    `mutant ${mutant}: ${link} redirects to ${place}`,
  );
}

const JUNK: unknown[] = [
  null,
  true,
  false,
  -1,
  0,
  1e308,
  2 ** 53,
  '',
  'x',
  '../..',
  'a\nb',
  '\u202E',
  'x'.repeat(10_000),
  [],
  {},
  [[[[]]]],
  { length: -1 },
  'http://evil.example/x',
  'file:///etc/passwd',
  'sha256:zz',
];

/** One place of a JSON changed: replaced, removed, doubled, wrapped. */
function mutateJson(value: unknown, random: Random): unknown {
  if (value === null || typeof value !== 'object' || random() < 0.15)
    return pick(random, [...JUNK, [value], { value }]);
  if (Array.isArray(value)) {
    if (value.length === 0 || random() < 0.2)
      return pick(random, [[...value, ...value], [], [...value, null], value.slice(1)]);
    const at = int(random, value.length);
    return value.map((one, i) => (i === at ? mutateJson(one, random) : one));
  }
  const entries = Object.entries(value);
  const at = int(random, entries.length);
  if (random() < 0.15) return Object.fromEntries(entries.filter((_, i) => i !== at));
  return Object.fromEntries(
    entries.map(([key, one], i) =>
      i === at ? [random() < 0.05 ? '__proto__' : key, mutateJson(one, random)] : [key, one],
    ),
  );
}

cases(
  'fuzz-answers',
  batches,
  {
    sample: 4,
    concurrency: 2,
    group: () => 'mutated answers: refused, or a release whose bytes are still checked',
  },
  async (_, random) => {
    await using github = await new Disposing().start();
    const { standIn } = github;
    const bytes = Buffer.from('the app');
    standIn.publish('v2.0.0', {
      'app_linux_amd64.tar.gz': bytes,
      'checksums.txt': Buffer.from('sums'),
    });
    const original: unknown = await (
      await fetch(`${standIn.url}/repos/acme/app/releases/latest`)
    ).json();
    const http = new Http({
      userAgent: 'fuzz',
      apiUrl: standIn.url,
      assetHosts: ['127.0.0.1'],
      mayBePlain: () => true,
      token: () => null,
      proxyEnvironment: {},
    });
    const client = new GitHub({
      http,
      repository: 'acme/app',
      cache: { read: () => null, write: () => {} },
      now: Date.now,
    });
    const places = {
      root: '/nonexistent',
      bakedDir: '/nonexistent',
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    } as const;
    const note = { read: () => pollNoteSchema.parse({}), write: () => {} };
    let found = 0;
    for (let i = 0; i < A_BATCH; i++) {
      let answer = original;
      for (let changes = 1 + int(random, 3); changes > 0; changes--)
        answer = mutateJson(answer, random);
      let text = JSON.stringify(answer) ?? '';
      if (random() < 0.2)
        text =
          text.slice(0, int(random, text.length + 1)) +
          pick(random, ['', '}', ']', '\0', '{"a":', 'NaN']);
      standIn.misbehave = { api: { status: 200, body: text } };
      const fact = await check(
        { policy, request: null, running: null, fresh: false },
        AbortSignal.timeout(HANGS_AFTER_MS),
        {
          source: client,
          places,
          note,
          pollIntervalMs: 60_000,
          now: Date.now,
          random,
          assetPattern: null,
        },
      );
      assert.ok(
        ['releaseFound', 'nothingNewer', 'checkFailed', 'assetsAwaited', 'releaseRefused'].includes(
          fact.type,
        ),
        fact.type,
      );
      assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
      if (fact.type !== 'releaseFound') continue;
      found += 1;
      const { release: chosen } = fact;
      assert.equal(chosen.repository, 'acme/app');
      assert.doesNotMatch(`${chosen.tag}${chosen.asset.name}`, /\p{Cc}/u);
      const evil = {
        sizeBytes: chosen.asset.sizeBytes,
        sha256: 'e'.repeat(64),
        blake2b512: Buffer.alloc(64),
        sums: null,
        minisigs: [],
        bundles: [],
        manifests: [],
      };
      assert.throws(() => judge(chosen, evil, DIGEST_ONLY), { code: /^DIGEST_/ });
    }
    return `all refused, but for those that are releases still (${found > 0 ? 'some' : 'none'})`;
  },
);

class Disposing implements AsyncDisposable {
  readonly standIn = new FakeGitHub();

  async start(): Promise<this> {
    await this.standIn.listen();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.standIn.close();
  }
}
