/** What is read from outside ends, whatever is there; and nobody reads in another way. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import {
  LineReader,
  readBeginning,
  readBounded,
  readStream,
  readTable,
} from '../../src/support/bounded.ts';
import { mkfifo } from './others.ts';

const BOUNDED = new URL('../../src/support/bounded.ts', import.meta.url).href;

let root: string;
before(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'bounded-'));
});
after(() => rmSync(root, { recursive: true }));
const at = (name: string) => path.join(root, name);

describe('a file that is read', () => {
  it('is whole, through a link too, and where its size is said to be 0', () => {
    writeFileSync(at('secret'), 'word');
    symlinkSync('secret', at('link'));
    assert.equal(readBounded(at('link'), 4).toString(), 'word');
    assert.match(readBounded('/proc/self/status', 65536).toString(), /^Pid:/m);
  });

  it('that is a FIFO which nobody writes is refused at once', () => {
    mkfifo(at('fifo'));
    assert.throws(() => readBounded(at('fifo'), 100), { code: 'NOT_A_FILE', message: /is a FIFO/ });
  });

  it('that is a device without an end, a directory or a socket is refused', async () => {
    assert.throws(() => readBounded('/dev/zero', 100), {
      code: 'NOT_A_FILE',
      message: /is a device/,
    });
    mkdirSync(at('directory'));
    assert.throws(() => readBounded(at('directory'), 100), {
      code: 'NOT_A_FILE',
      message: /is a directory/,
    });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve));
    assert.throws(() => readBounded(at('socket'), 100), { code: 'ENXIO' });
    server.close();
  });

  it('of 10 GB is refused after the bytes that are allowed', () => {
    writeFileSync(at('huge'), '');
    truncateSync(at('huge'), 10 * 1024 ** 3);
    assert.throws(() => readBounded(at('huge'), 1000), {
      code: 'FILE_TOO_LARGE',
      message: /larger than 1000 bytes/,
    });
  });

  it('has a beginning that is read alone, however long the rest is', () => {
    writeFileSync(at('endless'), 'first');
    truncateSync(at('endless'), 10 * 1024 ** 3);
    assert.equal(readBeginning(at('endless'), 5).toString(), 'first');
    assert.equal(readBeginning(at('secret'), 100).toString(), 'word');
    assert.match(readBeginning('/proc/self/status', 65536).toString(), /^Pid:/m);
    mkfifo(at('waiting'));
    assert.throws(() => readBeginning(at('waiting'), 100), { code: 'NOT_A_FILE' });
  });

  it('is whole and itself in many pieces, and is not changed by the next one', () => {
    const long = randomBytes(300_000);
    writeFileSync(at('long'), long);
    const first = readBounded(at('long'), long.length);
    const beginning = readBeginning(at('long'), 200_000);
    writeFileSync(at('other'), randomBytes(300_000));
    readBounded(at('other'), 300_000);
    assert.ok(first.equals(long));
    assert.ok(beginning.equals(long.subarray(0, 200_000)));
  });

  it('comes in whole lines where it is a table, however long these are', () => {
    const lines = Array.from({ length: 3000 }, (_, index) => `${index} `.repeat(index % 100));
    lines[7] = 'x'.repeat(200_000);
    for (const text of [lines.join('\n'), `${lines.join('\n')}\n`]) {
      writeFileSync(at('table'), text);
      const texts = [...readTable(at('table'), text.length)];
      assert.equal(texts.join(''), text);
      assert.ok(texts.length > 5);
      for (const part of texts.slice(0, -1)) assert.match(part, /^$|\n$/);
      assert.throws(() => [...readTable(at('table'), text.length - 1)], { code: 'FILE_TOO_LARGE' });
    }
  });

  it('is closed when a table is left before its end, and keeps its text beside other reads', () => {
    writeFileSync(at('table'), 'first\n'.repeat(20_000));
    const before = readdirSync('/proc/self/fd').length;
    for (const text of readTable(at('table'), 200_000)) {
      readBounded('/proc/self/status', 65536);
      assert.match(text, /^(?:first\n)+$/);
      break;
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });

  // Memory beside V8's heap is only given back by its collections, which may be a long time off.
  it('leaves no more memory behind than it is long, read again and again', () => {
    writeFileSync(at('small'), 'word');
    const script = `
      const { readBounded, readBeginning } = await import(process.argv[1]);
      const before = process.memoryUsage().arrayBuffers;
      for (let read = 0; read < 100; read++) {
        readBounded(process.argv[2], 65536);
        readBeginning(process.argv[2], 65536);
      }
      console.log(process.memoryUsage().arrayBuffers - before);`;
    const left = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', script, BOUNDED, at('small')],
      { encoding: 'utf8' },
    ).trim();
    assert.match(left, /^-?\d+$/);
    assert.ok(Number(left) < 4 * 65536, `${left} bytes are left of 200 reads of 4 bytes`);
  });

  it('that lies about its size is refused all the same', () => {
    assert.throws(() => readBounded('/proc/self/status', 10), { code: 'FILE_TOO_LARGE' });
  });
});

describe('a stream that is read', () => {
  const bounds = {
    maxBytes: 1000,
    withinMs: 60_000,
    tooLarge: () => new Error('too large'),
    tooLate: () => new Error('too late'),
  };

  it('comes whole', async () => {
    assert.equal(
      (
        await readStream(Readable.from([Buffer.from('one '), Buffer.from('two')]), bounds)
      ).toString(),
      'one two',
    );
  });

  it('without an end is cut off', async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(400));
      },
    });
    await assert.rejects(readStream(endless, bounds), /too large/);
    assert.ok(endless.destroyed);
  });

  it('that drips is cut off when its time is up, however steady it is', async () => {
    let drip: NodeJS.Timeout | undefined;
    const slow = new Readable({
      read() {
        drip ??= setInterval(() => this.push(Buffer.from('x')), 1);
      },
      destroy(error, done) {
        clearInterval(drip);
        done(error);
      },
    });
    await assert.rejects(
      readStream(slow, { ...bounds, maxBytes: Number.MAX_SAFE_INTEGER, withinMs: 100 }),
      /too late/,
    );
  });
});

describe('lines of somebody else', () => {
  it('of 256 MB without a line break are one short line', () => {
    const lines: string[] = [];
    const reader = new LineReader((line) => lines.push(line));
    const piece = Buffer.alloc(1024 * 1024, 'x');
    for (let i = 0; i < 256; i++) reader.push(piece);
    reader.end();
    assert.deepEqual(
      lines.map((line) => line.length),
      [1000],
    );
  });

  it('without a pause are a thousand', () => {
    const lines: string[] = [];
    const reader = new LineReader((line) => lines.push(line));
    for (let i = 0; i < 100; i++) reader.push(Buffer.from('word\n'.repeat(1000)));
    assert.deepEqual([lines.length, lines.at(-1)], [1000, '… (more output omitted)']);
  });

  it('are all heard where there is no end to them, as of the words that wake a resident updater', () => {
    let count = 0;
    const reader = new LineReader(() => {
      count += 1;
    }, Number.POSITIVE_INFINITY);
    for (let i = 0; i < 2000; i++) reader.push(Buffer.from('wake\n'));
    assert.equal(count, 2000);
  });
});

/** Ways of reading that have no bound of their own. */
const UNBOUNDED =
  /\breadFileSync\(|\breadFile\(|\bcreateReadStream\(|\.text\(\)|\.json\(\)|\bfor await \(|\bcreateInterface\(|\bexeca\(|\breaddirSync\(.*recursive/g;

/** Where each of them is bounded by something else, and by what. */
const BOUNDED_OTHERWISE: Record<string, string> = {
  'support/bounded.ts': 'here they are bounded',
  'effects/archive':
    'by UPDATE_MAX_ASSET_BYTES and the limits of archives (test/effects/archive/hostile.test.ts)',
  'effects/pieces.ts':
    'in two buffers, of a file that the updater wrote or that the operator named',
  'effects/evidence.ts': 'in pieces, of a file that was downloaded',
  'effects/entry-point.ts': 'in slices, of a list that has an end',
  'effects/extract.ts': 'in slices, of entries that UPDATE_MAX_ENTRIES bounds',
  'effects/integrity.ts': 'in slices, of what a manifest names',
  'effects/linked-child.ts': 'what its parent, the updater, writes to it',
  'effects/manifest.ts': 'in pieces, of a regular file that was opened without waiting',
  'effects/download.ts':
    'by the announced size, a least throughput and a deadline (test/effects/download.test.ts)',
  'effects/sources/directory-file.ts':
    'by the size that a regular file had when it was opened, and by whoever reads the stream',
  'effects/command.ts':
    'by its time limit; its output goes to a LineReader in pieces (buffer: false)',
  'effects/durable.ts': 'by maxBuffer and a timeout; the walk removes a tree of ours',
  'lint/sign.ts': 'by maxBuffer and a timeout',
  'effects/supervisor/container.ts': 'by maxBuffer and a timeout',
  'effects/supervisor/embedded.ts': '/dev/null',
  'effects/supervisor/spawn-app.ts': 'it is the app (buffer: false)',
  'web/body.ts': 'by maxBytes, and by the time limit of the server',
  'web/page.ts': 'a file of the program itself',
  'web/dashboard': 'in a browser, from this server',
};

describe('the source', () => {
  const source = path.join(import.meta.dirname, '..', '..', 'src');

  it('reads in no other way than by src/support/bounded.ts, but where a bound of another kind is named', () => {
    const readers = readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.tsx?$/.test(file))
      .filter(
        (file) =>
          readFileSync(path.join(source, file), 'utf8')
            .replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, '')
            .match(UNBOUNDED) !== null,
      );
    const named = Object.keys(BOUNDED_OTHERWISE);
    const isNamed = (file: string) =>
      named.some((name) => file === name || file.startsWith(`${name}/`));
    assert.deepEqual(
      readers.filter((file) => !isNamed(file)),
      [],
    );
    assert.deepEqual(
      named.filter((name) => !readers.some((file) => file === name || file.startsWith(`${name}/`))),
      [],
      'named, and not needed any more',
    );
  });

  const calls = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      [...readFileSync(path.join(source, file), 'utf8').matchAll(/\bexeca\([^;]*?\}\)/gs)].map(
        ([call]) => ({ file, call }),
      ),
    );

  it('starts no program with which a signal would end the updater at once', () => {
    assert.deepEqual(
      calls.filter(({ call }) => !call.includes('cleanup: false')),
      [],
    );
  });

  it('collects the output of no program without a limit of bytes and of time', () => {
    assert.ok(calls.length >= 5, calls.map(({ file }) => file).join());
    const loose = calls.filter(
      ({ call }) =>
        !/buffer: false|stdio: 'ignore'/.test(call) &&
        !(/maxBuffer/.test(call) && /timeout/.test(call)),
    );
    assert.deepEqual(loose, []);
  });
});
