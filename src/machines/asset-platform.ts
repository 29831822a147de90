/**
 * The words by which names of files tell a platform: Go's, Rust's, Zig's, Node's, .NET's, Python's
 * and Debian's. Pure.
 */

const words = (text: string): string[] => text.trim().split(/\s+/);

/**
 * System by the words that mean it. `bare` has no system that a program could be downloaded for:
 * wasm runtimes, firmware.
 */
const SYSTEMS: Record<string, string[]> = {
  linux:
    words(`linux lin gnulinux tux ubuntu debian centos rhel redhat fedora alpine amazonlinux amzn almalinux alma rocky rockylinux
    opensuse suse sles archlinux gentoo raspbian raspios raspberrypi rpi manylinux musllinux bookworm bullseye buster stretch trixie
    focal jammy noble bionic xenial trusty linuxmusl linuxgnu linuxstatic el`),
  darwin: words('darwin macos macosx osx mac apple macintosh macosuniversal'),
  windows: words(
    'windows win win32 win64 msvc mingw mingw32 mingw64 msys msys2 cygwin uwp winnt win7 win10 win11',
  ),
  android: words('android androideabi termux'),
  ios: words(
    'ios iphone iphoneos ipados tvos watchos visionos xros maccatalyst macabi iossimulator xcframework',
  ),
  freebsd: words('freebsd'),
  openbsd: words('openbsd'),
  netbsd: words('netbsd'),
  dragonfly: words('dragonfly dragonflybsd'),
  solaris: words('solaris sunos illumos smartos omnios'),
  aix: words('aix os400'),
  plan9: words('plan9'),
  haiku: words('haiku beos'),
  hurd: words('hurd'),
  zos: words('zos ibmz mvs'),
  nacl: words('nacl'),
  wasm: words(
    'wasm wasm32 wasm64 wasi wasip1 wasip2 wasip3 wasix emscripten js webassembly wasmer',
  ),
  fuchsia: words('fuchsia'),
  redox: words('redox'),
  serenity: words('serenity serenityos'),
  qnx: words('qnx nto'),
  ohos: words('ohos openharmony harmonyos'),
  vendor: words(
    'openwrt entware synology qnap dsm webos tizen chromeos steamdeck switch ps3 ps4 ps5 vita',
  ),
  bare: words('uefi freestanding baremetal vxworks rtems contiki espidf'),
};

/**
 * A name may say `linux` beside these, since they are built upon it; no program of theirs runs
 * here.
 */
const BUILT_ON_LINUX = ['android', 'ohos', 'vendor'];

const ARCHITECTURES: Record<string, string[]> = {
  amd64: words('amd64 x64 x86_64 x8664 x86_64h amd64p32 intel64 em64t amdx64'),
  arm64: words(
    'arm64 aarch64 armv8 armv8a arm64v8 arm64v8a arm64e arm64ec armv9 silicon applesilicon m1',
  ),
  '386': words('386 i386 i486 i586 i686 x86 ia32 x86_32'),
  arm: words(`arm armel armhf armeabi armv4 armv4t armv5 armv5te armv5l armv6 armv6l armv6hf armv6k armv7 armv7a armv7l armv7hf armv7s armv7neon
    armv8l arm5 arm6 arm7 arm32 arm32v5 arm32v6 arm32v7 armbe armeb thumbv7 thumbv7neon armv7r aarch32 rpi`),
  ppc64le: words('ppc64le ppc64el powerpc64le ppcle_64'),
  ppc64: words('ppc64 powerpc64 ppc_64'),
  ppc: words('ppc powerpc ppc32 powerpcspe'),
  s390x: words('s390x s390 s390_64'),
  riscv64: words('riscv64 riscv64gc riscv64imac riscv64a23 riscv'),
  riscv32: words('riscv32 riscv32gc riscv32imac'),
  loong64: words('loong64 loongarch64 loongarch loongson'),
  mips64le: words('mips64le mips64el mipsisa64r6el mips64r6el'),
  mips64: words('mips64 mipsisa64r6 mips64r6 mips64p32'),
  mipsle: words('mipsle mipsel mips32le mips32el mipsisa32r6el'),
  mips: words('mips mips32 mipsisa32r6'),
  sparc64: words('sparc64 sparc sparcv9'),
  other: words(
    'alpha arc avr32 hppa ia64 m68k nios2 or1k sh3 sh4 tilegx x32 csky hexagon bpf xtensa nvptx64 e2k rppc64le rppc64',
  ),
};

const LIBCS: Record<string, string[]> = {
  musl: words('musl musleabi musleabihf muslabi64 muslabin32 muslx32 alpine musllinux linuxmusl'),
  glibc: words('gnu gnueabi gnueabihf gnuabi64 gnuabin32 gnux32 gnullvm glibc manylinux linuxgnu'),
  other: words('uclibc uclibceabi uclibceabihf bionic-libc dietlibc'),
};

/** Distributions whose number says how old a glibc serves. */
export const DISTRIBUTIONS = words(
  'glibc gnu manylinux debian ubuntu el centos rhel almalinux rocky fedora opensuse',
);

const UNIVERSAL = words('all any universal universal2 noarch multiarch multi fat anycpu');

/** Two words that mean one. */
const PAIRS: Record<string, string> = {
  'x86 64': 'amd64',
  'x86 32': '386',
  'aarch 64': 'arm64',
  'arm 64': 'arm64',
  'arm 64v8': 'arm64',
  'arm v8': 'arm64',
  'arm v8a': 'arm64',
  'arm 32': 'arm',
  'arm 32v7': 'arm',
  'arm v5': 'arm',
  'arm v6': 'arm',
  'arm v6l': 'arm',
  'arm v7': 'arm',
  'arm v7l': 'arm',
  'arm v7a': 'arm',
  'arm 5': 'arm',
  'arm 6': 'arm',
  'arm 7': 'arm',
  'armeabi v7a': 'arm',
  'arm64 v8': 'arm64',
  'arm64 v8a': 'arm64',
  'ppcle 64': 'ppc64le',
  'ppc 64': 'ppc64',
  's390 64': 's390x',
  'loong 64': 'loong64',
  'risc v': 'riscv64',
  'risc v64': 'riscv64',
  'mac os': 'macos',
  'mac osx': 'macos',
  'os x': 'macos',
  'free bsd': 'freebsd',
  'open bsd': 'openbsd',
  'net bsd': 'netbsd',
  'plan 9': 'plan9',
  'win 32': 'win32',
  'win 64': 'win64',
  '64 bit': '64bit',
  '32 bit': '32bit',
  '64 bits': '64bit',
  '32 bits': '32bit',
  'red hat': 'rhel',
  'c api': 'capi',
};

const index = (table: Record<string, string[]>) =>
  new Map(
    Object.entries(table).flatMap(([key, names]) => names.map((name) => [name, key] as const)),
  );
const [SYSTEM_OF, ARCHITECTURE_OF, LIBC_OF] = [index(SYSTEMS), index(ARCHITECTURES), index(LIBCS)];

const isSystem = (word: string) => SYSTEM_OF.has(word);
const isBits = (word: string) => /^(?:64|32)bits?$/.test(word);
const isPlatform = (word: string) =>
  isSystem(word) || ARCHITECTURE_OF.has(word) || LIBC_OF.has(word) || isBits(word);

/** Longer words are no platform's, and would take long to take apart: names come from anybody. */
const MAX_WORD = 32;

/**
 * `linuxarm64` → linux, arm64; `ubuntu2204` → ubuntu, 2204; null where it isn't made of such words
 * alone.
 */
function parts(word: string): string[] | null {
  if (word.length > MAX_WORD) return null;
  if (isPlatform(word)) return [word];
  const [, stem, number] = /^([a-z]{3,})(\d{1,6})$/.exec(word) ?? [];
  if (stem !== undefined && number !== undefined && (isSystem(stem) || LIBC_OF.has(stem)))
    return number === '64' || number === '32' ? [stem, `${number}bit`] : [stem, number];
  for (let at = word.length - 2; at >= 3; at--) {
    const head = word.slice(0, at);
    if (!isPlatform(head) || head === 'all') continue;
    const rest = parts(word.slice(at));
    if (rest !== null) return [head, ...rest];
  }
  return null;
}

/**
 * The words of a name, in small letters; words that were written together or apart are brought into
 * the form that the tables know.
 */
export function splitWords(text: string): string[] {
  const single = text.split(/[^A-Za-z0-9]+/).flatMap((word) => {
    if (word === '') return [];
    const whole = parts(word.toLowerCase());
    if (whole !== null) return whole;
    // `AppLinuxArm64`: written in humps.
    const humps = word.split(/(?<=[a-z0-9])(?=[A-Z])/).map((hump) => hump.toLowerCase());
    if (humps.length < 2 || !humps.some((hump) => hump.length > 2 && parts(hump) !== null))
      return [word.toLowerCase()];
    return humps.flatMap((hump) => parts(hump) ?? [hump]);
  });
  const joined: string[] = [];
  for (let at = 0; at < single.length; at++) {
    const [word, next] = [single[at] ?? '', single[at + 1]];
    const pair = next === undefined ? undefined : PAIRS[`${word} ${next}`];
    if (pair !== undefined) {
      joined.push(pair);
      at++;
    } else if ((word === '64' || word === '32') && isSystem(joined.at(-1) ?? ''))
      joined.push(`${word}bit`);
    else joined.push(word);
  }
  return joined;
}

/**
 * What the words of a name tell. Empty lists: nothing. `others`: the words that tell no platform.
 */
export type ToldPlatform = {
  systems: string[];
  architectures: string[];
  libcs: string[];
  isUniversal: boolean;
  isStatic: boolean;
  /**
   * `arm` without a version or an ABI: a 32-bit one as a rule, and some projects' word for arm64.
   */
  isPlainArm: boolean;
  /** The micro-architecture level of `amd64v3`; 1, the baseline, where none is told. */
  level: number;
  /** `ubuntu` 22.04 → `['ubuntu', 2204]`. */
  distribution: readonly [string, number] | null;
  others: string[];
};

export function readPlatform(given: readonly string[]): ToldPlatform {
  const found = new Map<'systems' | 'architectures' | 'libcs', Set<string>>([
    ['systems', new Set()],
    ['architectures', new Set()],
    ['libcs', new Set()],
  ]);
  const add = (kind: 'systems' | 'architectures' | 'libcs', value: string | undefined) =>
    value !== undefined && found.get(kind)?.add(value);
  let [isUniversal, isStatic, level] = [false, false, 1];
  let distribution: ToldPlatform['distribution'] = null;
  let bits = '';
  const others: string[] = [];
  for (const [at, raw] of given.entries()) {
    const [, base, own] = /^(amd64|x64)v([1-4])$/.exec(raw) ?? [];
    const word = base ?? raw;
    if (own !== undefined) level = Number(own);
    // `amd64-v3`, but not `amd64-v3.2.0`, where a version follows.
    const after = /^v([1-4])$/.exec(raw)?.[1];
    if (
      after !== undefined &&
      ARCHITECTURE_OF.get(given[at - 1] ?? '') === 'amd64' &&
      !/^\d/.test(given[at + 1] ?? '')
    ) {
      level = Number(after);
      continue;
    }
    if (UNIVERSAL.includes(word)) isUniversal = true;
    else if (word === 'static') isStatic = true;
    else if (isBits(word)) bits = word.slice(0, 2);
    else if (!isPlatform(word)) others.push(word);
    add('systems', SYSTEM_OF.get(word));
    add('architectures', ARCHITECTURE_OF.get(word));
    add('libcs', LIBC_OF.get(word));
    if (DISTRIBUTIONS.includes(word)) distribution ??= [word, numberAfter(given, at)];
  }
  const [systems, architectures, libcs] = [...found.values()].map((values) => [...values]) as [
    string[],
    string[],
    string[],
  ];
  if (bits === '64') {
    // `arm-64bit` is no 32-bit ARM.
    if (architectures.length === 0) architectures.push('amd64');
    else if (architectures.includes('arm')) architectures.splice(0, architectures.length, 'arm64');
  } else if (bits === '32' && architectures.length === 0) architectures.push('386');
  // `aarch64-musl`: there is no such library elsewhere.
  if (systems.length === 0 && libcs.length > 0) systems.push('linux');
  const upon = systems.find((system) => BUILT_ON_LINUX.includes(system));
  const isPlainArm =
    given.includes('arm') &&
    architectures.length === 1 &&
    architectures[0] === 'arm' &&
    !given.some((word) => /eabi|^hf$|^armv?\d/.test(word));
  return {
    systems: upon === undefined ? systems : [upon],
    architectures,
    libcs,
    isUniversal,
    isStatic,
    isPlainArm,
    level,
    distribution,
    others,
  };
}

/** The number behind a distribution's word, as `22`, `04` → 2204; 0 where there is none. */
function numberAfter(given: readonly string[], at: number): number {
  const [major, minor] = [given[at + 1] ?? '', given[at + 2] ?? ''];
  if (!/^\d{1,6}$/.test(major)) return 0;
  return major.length > 2
    ? Number(major)
    : Number(major) * 100 + (/^\d{1,2}$/.test(minor) ? Number(minor) : 0);
}
