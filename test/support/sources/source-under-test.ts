/** What a source has to bring for the table of tests that each must pass: one row, see rows.ts. */
import { createHash } from 'node:crypto';
import { MisbehavingProxy, type ProxiedRequest, type RequestKind } from './misbehaving-proxy.ts';

export type Files = Record<string, Buffer>;

export type SourceUnderTest = {
  name: string;
  /** False for one that asks nobody. */
  hasServer: boolean;
  /** Its pages are asked without the token. */
  isAnonymous?: true;
  /** Where nothing is new; one where it is left out. */
  apiRequestsAPoll?: number;
  start(): Promise<SourceHarness>;
  /** Codes that differ from those of the others, by the case of source-servers.test.ts. */
  codes?: Record<string, string>;
};

export type SourceHarness = {
  /** The settings that make the program follow it, with a token. */
  env: Record<string, string>;
  /** All that the program asks; null for a source that has no server. */
  proxy: MisbehavingProxy | null;
  /** Places a release with these files, as its newest. */
  publish(tag: string, files: Files): void | Promise<void>;
  /** Other bytes under a name that was published; what is told of them stays. */
  replaceBytes(tag: string, name: string, bytes: Buffer): void;
  /** From now on all answers call this name otherwise. */
  disguise(name: string, as: string): void;
  /** Another repository takes this one's name over; null where a source has no numbers for them. */
  takeOver: (() => void) | null;
  [Symbol.asyncDispose](): Promise<void>;
};

/** The stand-in of a server that `proxied` puts its proxy before. */
export type Behind = {
  origin: string;
  kindOf: (path: string) => RequestKind;
  publish: SourceHarness['publish'];
  replaceBytes: SourceHarness['replaceBytes'];
  takeOver?: () => void;
  close(): Promise<void>;
};

/** `env` is given the address of the proxy, without a trailing slash. */
export async function proxied(
  { origin, kindOf, publish, replaceBytes, takeOver, close }: Behind,
  env: (url: string) => Record<string, string>,
): Promise<SourceHarness> {
  const proxy = await new MisbehavingProxy(origin, kindOf).listen();
  return {
    env: { UPDATE_ASSET_HOSTS: 'localhost', ...env(proxy.url) },
    proxy,
    publish,
    replaceBytes,
    disguise: (name, as) => proxy.disguise(name, as),
    takeOver: takeOver ?? null,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await close();
    },
  };
}

/** With the file of sums that sources need which tell no digests. */
export function withSums(files: Files): Files {
  const lines = Object.entries(files).map(
    ([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`,
  );
  return { ...files, 'checksums.txt': Buffer.from(lines.join('')) };
}

export type Counts = { api: number; web: number; file: number };

/** What an API is asked counts for its quota, also where it is asked for a file. */
export function countOf(requests: readonly ProxiedRequest[]): Counts {
  const counts = { api: 0, web: 0, file: 0 };
  for (const { kind } of requests) counts[kind === 'fileOfApi' ? 'api' : kind] += 1;
  return counts;
}
