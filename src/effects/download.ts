/**
 * `download`: into a part file that survives crashes, resumed by `Range`, capped, hashed as it
 * comes.
 */
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { fingerprint, type Release } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { foreignOwner } from '../support/own.ts';
import { claimDirectories } from './claim.ts';
import { clearTemporary } from './garbage.ts';
import { type Answer, hostOf, networkFault } from './http/http.ts';
import { copyLocal } from './local-file.ts';
import { tellGarbage } from './memory.ts';
import { PartWriter } from './part-writer.ts';
import { type Sealed, seal } from './seal.ts';
import type { AssetSource } from './sources/source.ts';
import { checkSpace } from './space.ts';
import { findKept, type Places, readBaked, temporaryDir } from './trees.ts';

/** Slow retrieval: less than this in a window is a stall, however steady. */
const MIN_BYTES_A_WINDOW = 16 * 1024;
export const STALL_WINDOW_MS = 20_000;
/**
 * 128 kB a second, and ten minutes: an app that was stopped for it is down meanwhile. What is
 * slower comes in several tries, each of which goes on where the last one ended, and after the
 * first of them the app runs.
 */
const MIN_DEADLINE_MS = 600_000;
const MIN_BYTES_A_MS = 128;

export type DownloadDependencies = {
  source: AssetSource;
  places: Places;
  maxAssetBytes: number;
  stallWindowMs: number;
  sealed: Sealed;
  /** Called as bytes arrive; both counts in bytes. */
  onProgress: (received: number, total: number) => void;
  /** Told of what another user left in UPDATE_DIR. */
  warn: (message: string) => void;
};

/**
 * Where a release's bytes are gathered; the name holds what identifies them, so a changed asset
 * starts anew.
 */
export function partFile(places: Places, release: Release): string {
  return path.join(
    temporaryDir(places),
    `${fingerprint(release)
      .replace(/[^0-9a-z]/g, '_')
      .slice(0, 32)}.part`,
  );
}

export async function download(
  { release }: EffectInputs['download'],
  signal: AbortSignal,
  deps: DownloadDependencies,
): Promise<Fact> {
  const { places, maxAssetBytes } = deps;
  const { asset, origin } = release;
  if (origin === 'baked') {
    const baked = await readBaked(places);
    if (baked?.path !== asset.url)
      throw new Fault('FILE_MISSING', `${asset.url} is no longer part of the image`);
    return { type: 'installed', version: baked };
  }
  const kept = await findKept(places, release);
  if (kept) return { type: 'installed', version: kept };
  checkAnnouncedSize(release, maxAssetBytes);
  const file = partFile(places, release);
  await claimDirectories(places, deps.warn);
  // Its owner could go on writing after it was verified.
  if (foreignOwner(file, places.root) !== null) await rm(file, { force: true });
  await clearTemporary(places, file);
  await checkSpace(places, release, { alreadyThere: await sizeOf(file) });
  if (origin === 'file') {
    await copyLocal(asset.url, file, asset.sizeBytes, signal);
    return { type: 'downloaded', path: file, ...(await seal(file, deps.sealed, null)) };
  }
  const isWhole = asset.sizeBytes > 0 && (await sizeOf(file)) === asset.sizeBytes;
  const sum = isWhole ? null : await fetchInto(file, release, signal, deps);
  const sealed = await seal(file, deps.sealed, sum);
  if (sum !== null || asset.digest === null || asset.digest === sealed.sha256)
    return { type: 'downloaded', path: file, ...sealed };
  // A power cut may have left holes in what an earlier run began.
  await rm(file, { force: true });
  return {
    type: 'downloaded',
    path: file,
    ...(await seal(file, deps.sealed, await fetchInto(file, release, signal, deps))),
  };
}

/** Returns the sum of what was received; null if the file had a beginning already. */
async function fetchInto(
  file: string,
  release: Release,
  signal: AbortSignal,
  deps: DownloadDependencies,
): Promise<string | null> {
  const { asset } = release;
  let offset = await sizeOf(file);
  if (offset >= asset.sizeBytes) {
    await rm(file, { force: true });
    offset = 0;
  }
  let answer = await ask(release, offset, signal, deps);
  if (answer.status === 416) {
    answer.stream.destroy();
    offset = 0;
    answer = await ask(release, 0, signal, deps);
  }
  // A server that ignores Range, or answers another one, sends from the start: so do we.
  if (
    answer.status === 206 &&
    !String(answer.headers['content-range']).startsWith(`bytes ${offset}-`)
  ) {
    answer.stream.destroy();
    offset = 0;
    answer = await ask(release, 0, signal, deps);
  }
  if (answer.status !== 200 && answer.status !== 206) {
    answer.stream.destroy();
    throw new Fault(
      'DOWNLOAD_REFUSED',
      `${hostOf(answer.url)} answered ${answer.status} for ${asset.name}: it was removed or replaced, or the token may not read it`,
    );
  }
  const resumed = answer.status === 206;
  const announced = Number(answer.headers['content-length'] ?? Number.NaN);
  const expected = asset.sizeBytes - (resumed ? offset : 0);
  // A page of HTML, most likely: begun with, it would spoil what the next try resumes.
  if (announced >= 0 && announced !== expected) {
    answer.stream.destroy();
    throw new Fault(
      'LENGTH_MISMATCH',
      `${hostOf(answer.url)} offers ${announced} bytes for ${asset.name}, and ${expected} are expected: the asset was replaced meanwhile, or a proxy answers in its place`,
    );
  }
  const part = new PartWriter(await open(file, resumed ? 'a' : 'w', 0o600));
  let isOther = false;
  try {
    await receive(answer, part, { received: resumed ? offset : 0, release, signal, deps });
  } catch (error) {
    // More came than was announced, so that none of it is of the asset.
    isOther = error instanceof Fault && error.code === 'LENGTH_MISMATCH';
    throw error;
  } finally {
    // Also what came before the connection broke: the next try resumes there.
    await part
      .close()
      .finally(() => (part.mustBeDiscarded || isOther ? rm(file, { force: true }) : null));
  }
  return resumed ? null : part.sum();
}

function ask(
  { asset }: Release,
  offset: number,
  signal: AbortSignal,
  { source }: DownloadDependencies,
): Promise<Answer> {
  const headers: Record<string, string> = {
    accept: 'application/octet-stream',
    'accept-encoding': 'identity',
  };
  if (offset > 0) headers['range'] = `bytes=${offset}-`;
  return source.fetch(asset, headers, signal, { decompress: false });
}

type Reception = {
  received: number;
  release: Release;
  signal: AbortSignal;
  deps: DownloadDependencies;
};

async function receive(
  answer: Answer,
  part: PartWriter,
  { received, release, signal, deps }: Reception,
): Promise<void> {
  const { asset } = release;
  const stall = new Fault(
    'DOWNLOAD_STALLED',
    `${hostOf(answer.url)} sent less than ${MIN_BYTES_A_WINDOW} bytes in ${deps.stallWindowMs / 1000} s: the connection is too slow or stalled`,
  );
  // A steady trickle would take days: a total deadline, which grows with the size. What has come by
  // then is resumed.
  const deadlineMs = deadlineOf(asset.sizeBytes);
  const slow = new Fault(
    'DOWNLOAD_SLOW',
    `${hostOf(answer.url)} did not send ${asset.name} within ${Math.ceil(deadlineMs / 60_000)} minutes: the connection is too slow; the next try resumes where it ended`,
  );
  const late = setTimeout(() => answer.stream.destroy(slow), deadlineMs);
  let inWindow = 0;
  const watch = setInterval(() => {
    if (inWindow < MIN_BYTES_A_WINDOW) answer.stream.destroy(stall);
    inWindow = 0;
  }, deps.stallWindowMs);
  try {
    for await (const chunk of answer.stream) {
      signal.throwIfAborted();
      const bytes = chunk as Buffer;
      received += bytes.length;
      inWindow += bytes.length;
      // Endless data: never more than was announced.
      if (received > asset.sizeBytes)
        throw new Fault(
          'LENGTH_MISMATCH',
          `${hostOf(answer.url)} sent more than the ${asset.sizeBytes} bytes that were announced for ${asset.name}`,
        );
      await part.write(bytes);
      tellGarbage(bytes.length);
      deps.onProgress(received, asset.sizeBytes);
    }
  } catch (error) {
    signal.throwIfAborted();
    const fault = isLocal(error) ? error : networkFault(error, answer.url);
    throw fault instanceof Fault && fault.code === 'NETWORK_FAILED'
      ? cut(answer.url, received, asset)
      : fault;
  } finally {
    clearInterval(watch);
    clearTimeout(late);
    answer.stream.destroy();
  }
  if (received < asset.sizeBytes) throw cut(answer.url, received, asset);
}

/** How long one try may take at most, however steadily something comes. */
export function deadlineOf(sizeBytes: number): number {
  return MIN_DEADLINE_MS + sizeBytes / MIN_BYTES_A_MS;
}

function cut(url: string, received: number, { name, sizeBytes }: Release['asset']): Fault {
  return new Fault(
    'DOWNLOAD_CUT',
    `${hostOf(url)} closed the connection after ${received} of ${sizeBytes} bytes of ${name}: the next try resumes there`,
  );
}

/** Errors of the disk carry a system call; those of the network are told apart by it. */
function isLocal(error: unknown): boolean {
  return error instanceof Fault || (error as NodeJS.ErrnoException).syscall === 'write';
}

/** In bytes; 0 for a file that is not there. */
export async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    (stats) => stats.size,
    () => 0,
  );
}

/**
 * Endless data: what is announced is bounded before the first byte, and no more than that is taken.
 */
export function checkAnnouncedSize({ asset }: Release, mostBytes: number): void {
  if (asset.sizeBytes > mostBytes)
    throw new Fault(
      'ASSET_TOO_LARGE',
      `${asset.name} is ${asset.sizeBytes} bytes, and at most ${mostBytes} are accepted: raise UPDATE_MAX_ASSET_BYTES if that is right`,
    );
}
