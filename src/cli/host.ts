/** What this machine is, in the words that release assets use. */
import { existsSync } from 'node:fs';
import type { Policy } from '../machines/model.ts';

const OS: Partial<Record<NodeJS.Platform, string>> = { win32: 'windows' };
const ARCH: Partial<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  loong64: 'loong64',
  ppc64: 'ppc64le',
};

/** Go's names for systems and processors, since most releases are named by them. */
export function hostPlatform(): Policy['platform'] {
  const arch = ARCH[process.arch] ?? process.arch;
  const musl = existsSync('/lib/ld-musl-x86_64.so.1') || existsSync('/lib/ld-musl-aarch64.so.1');
  return {
    os: OS[process.platform] ?? process.platform,
    arch,
    libc: process.platform === 'linux' ? (musl ? 'musl' : 'glibc') : null,
  };
}
