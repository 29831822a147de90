/** Archives made byte by byte, as no tool would make them. */
import { crc32, gzipSync } from 'node:zlib';
import { Header } from 'tar';

export type TarEntry = {
  path: string;
  type?: string;
  mode?: number;
  linkpath?: string;
  body?: string | Buffer;
  size?: number;
  uid?: number;
  /** Changes the header's bytes; its checksum is made to fit afterwards. */
  spoil?: (header: Buffer) => void;
};

const BLOCK = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

export function entry({
  path,
  type = 'File',
  mode = 0o644,
  linkpath = '',
  body = '',
  size,
  uid = 0,
  spoil,
}: TarEntry): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(BLOCK);
  new Header({
    path,
    type: type as 'File',
    mode,
    linkpath,
    size: size ?? bytes.length,
    uid,
    gid: uid,
    mtime: new Date(0),
  }).encode(header, 0);
  if (spoil) {
    spoil(header);
    seal(header);
  }
  return Buffer.concat([header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** The sum of a header, counted with blanks in its own place. */
function seal(header: Buffer): void {
  header.fill(' ', CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 'latin1');
}

/** Gives every block that looks like a header a sum that fits. */
export function reseal(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 0; at + BLOCK <= copy.length; at += BLOCK)
    if (copy.toString('latin1', at + 257, at + 262) === 'ustar')
      seal(copy.subarray(at, at + BLOCK));
  return copy;
}

export const END = Buffer.alloc(2 * BLOCK);

export function tar(...entries: TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(entry), END]);
}

/** A PAX record: its length counts itself. */
export function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
  return `${length}${rest}`;
}

export const paxHeader = (...records: string[]): TarEntry => ({
  path: 'PaxHeader',
  type: 'ExtendedHeader',
  body: records.join(''),
});
export const longName = (name: string): TarEntry => ({
  path: '././@LongLink',
  type: 'NextFileHasLongPath',
  body: `${name}\0`,
});
export const longLink = (name: string): TarEntry => ({
  path: '././@LongLink',
  type: 'NextFileHasLongLinkpath',
  body: `${name}\0`,
});

/** Zeros, compressed: as dense as deflate can be. */
export function bomb(bytes: number): Buffer {
  const header = entry({ path: 'bomb', size: bytes }).subarray(0, BLOCK);
  return gzipSync(Buffer.concat([header, Buffer.alloc(bytes)]), { level: 9 });
}

export type ZipEntry = {
  name: string | Buffer;
  body?: string | Buffer;
  /** Unix mode with its type; regular and 0644 by default. */
  mode?: number;
  method?: number;
  flags?: number;
  crc?: number;
  size?: number;
  compressedSize?: number;
  /** What the local header says instead. */
  localName?: string;
  /** Where the central directory says the local header is. */
  offset?: number;
  extra?: Buffer;
};

/** A zip without compression, whose every field may lie. See APPNOTE.TXT 4.3. */
export function zip(
  entries: readonly ZipEntry[],
  { count, comment = '' }: { count?: number; comment?: string } = {},
): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const {
    name,
    body = '',
    mode = 0o100644,
    method = 0,
    flags = 0x800,
    crc,
    size,
    compressedSize,
    localName,
    offset: told,
    extra = Buffer.alloc(0),
  } of entries) {
    const bytes = Buffer.from(body);
    const nameBytes = Buffer.from(name);
    const localBytes = localName === undefined ? nameBytes : Buffer.from(localName);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(flags, 2);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(crc ?? crc32(bytes), 10);
    fields.writeUInt32LE(compressedSize ?? bytes.length, 14);
    fields.writeUInt32LE(size ?? bytes.length, 18);
    fields.writeUInt16LE(localBytes.length, 22);
    const local = Buffer.concat([Buffer.from('504b0304', 'hex'), fields, localBytes, bytes]);
    const record = Buffer.alloc(46);
    record.write('504b0102', 0, 'hex');
    record.writeUInt16LE((3 << 8) | 20, 4);
    fields.copy(record, 6, 0, 22);
    record.writeUInt16LE(nameBytes.length, 28);
    record.writeUInt16LE(extra.length, 30);
    record.writeUInt32LE((mode << 16) >>> 0, 38);
    record.writeUInt32LE(told ?? offset, 42);
    central.push(record, nameBytes, extra);
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('504b0506', 0, 'hex');
  end.writeUInt16LE(count ?? entries.length, 8);
  end.writeUInt16LE(count ?? entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...locals, directory, end, Buffer.from(comment)]);
}
