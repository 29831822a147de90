/** The platforms that an updater can run on, in the words that names of files use. Pure. */
import type { Policy } from '../machines/model.ts';

/** `node`: Node's word for the processor. `isOfImage`: the published image is for it. */
export type LintPlatform = {
  os: 'linux';
  arch: string;
  node: NodeJS.Architecture;
  libc: 'glibc' | 'musl';
  isOfImage: boolean;
};

/** The glibc of the image (Debian 12), and the programs in it that a release may be started by. */
export const IMAGE_GLIBC = '2.36';
export const IMAGE_PROGRAMS: readonly string[] = ['env', 'node', 'sh'];

/** Those that docker/assemble copies. */
export const IMAGE_LIBRARIES =
  /^(?:lib(?:c|m|dl|pthread|rt|resolv|util|anl)\.so\.\d|libstdc\+\+\.so\.6|libgcc_s\.so\.1|ld-linux-[\w-]+\.so\.\d)$/;

const PROCESSORS: readonly (readonly [arch: string, node: NodeJS.Architecture])[] = [
  ['amd64', 'x64'],
  ['arm64', 'arm64'],
  ['arm', 'arm'],
  ['386', 'ia32'],
  ['ppc64le', 'ppc64'],
  ['s390x', 's390x'],
  ['riscv64', 'riscv64'],
  ['loong64', 'loong64'],
];
const IMAGE_PROCESSORS: readonly string[] = ['amd64', 'arm64'];

/** The image's first. An app's own image may have musl, and another processor. */
export const PLATFORMS: readonly LintPlatform[] = (['glibc', 'musl'] as const)
  .flatMap((libc) =>
    PROCESSORS.map(
      ([arch, node]): LintPlatform => ({
        os: 'linux',
        arch,
        node,
        libc,
        isOfImage: libc === 'glibc' && IMAGE_PROCESSORS.includes(arch),
      }),
    ),
  )
  .toSorted((a, b) => Number(b.isOfImage) - Number(a.isOfImage));

/** `linux/amd64`, `linux/arm64/musl`. */
export function nameOf({ os, arch, libc }: LintPlatform): string {
  return `${os}/${arch}${libc === 'musl' ? '/musl' : ''}`;
}

/** Null for a name that none has. */
export function platformOf(name: string): LintPlatform | null {
  return PLATFORMS.find((platform) => nameOf(platform) === name) ?? null;
}

export function policyFor(policy: Policy, { os, arch, libc }: LintPlatform): Policy {
  return { ...policy, platform: { os, arch, libc } };
}
