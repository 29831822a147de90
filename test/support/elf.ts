/** ELF files with tables of their own making. Formats: src/effects/elf-needs.ts. */

/** A program bound to these versions of a library, as a linker lays it out, or as none would. */
export function linked(
  names: readonly string[],
  { isBig = false, step = 16, flags = 0, needNext = 0, library = 'libc.so.6' } = {},
): Buffer {
  const bytes = Buffer.alloc(4096);
  const put = (value: number, at: number, width: 2 | 4 | 8) => {
    if (width === 8) {
      if (isBig) bytes.writeBigUInt64BE(BigInt(value), at);
      else bytes.writeBigUInt64LE(BigInt(value), at);
    } else if (isBig) bytes.writeUIntBE(value, at, width);
    else bytes.writeUIntLE(value, at, width);
  };
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = 2;
  bytes[5] = isBig ? 2 : 1;
  put(isBig ? 22 : 62, 18, 2);
  put(64, 32, 8);
  put(2, 56, 2);
  const [base, dynamicAt, textsAt, needAt] = [0x400000, 512, 1024, 2048];
  // PT_LOAD of the whole file, and PT_DYNAMIC.
  for (const [index, [type, offset, size]] of [
    [1, 0, 4096],
    [2, dynamicAt, 256],
  ].entries()) {
    const at = 64 + index * 56;
    put(type ?? 0, at, 4);
    put(offset ?? 0, at + 8, 8);
    put(base + (offset ?? 0), at + 16, 8);
    put(size ?? 0, at + 32, 8);
  }
  for (const [index, [tag, value]] of [
    [5, base + textsAt],
    [1, 1],
    [0x6ffffffe, base + needAt],
  ].entries()) {
    put(tag ?? 0, dynamicAt + index * 16, 8);
    put(value ?? 0, dynamicAt + index * 16 + 8, 8);
  }
  let textAt = textsAt + 1;
  const text = (name: string): number => {
    const at = textAt - textsAt;
    bytes.write(`${name}\0`, textAt, 'latin1');
    textAt += name.length + 1;
    return at;
  };
  put(1, needAt, 2);
  put(names.length, needAt + 2, 2);
  put(text(library), needAt + 4, 4);
  put(16, needAt + 8, 4);
  put(needNext, needAt + 12, 4);
  for (const [index, name] of names.entries()) {
    const at = needAt + 16 + index * 16;
    put(flags, at + 4, 2);
    put(text(name), at + 8, 4);
    put(index + 1 === names.length && step === 16 ? 0 : step, at + 12, 4);
  }
  return bytes;
}
