/**
 * Which program of a tree is started: the updater and the image's shell script answer alike; and
 * advice works when it is followed.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { removeTree } from '../../src/effects/durable.ts';
import { appCommand, checkEntryPoint, unwrap } from '../../src/effects/entry-point.ts';
import { checkPlatform, headOf } from '../../src/effects/program.ts';
import { missing } from '../support/tools.ts';

const RUN = readFileSync(
  path.join(import.meta.dirname, '..', '..', 'docker', 'service', 'app', 'run'),
  'utf8',
);
const functionOf = (name: string): string =>
  new RegExp(`^${name}\\(\\) \\{$[\\s\\S]*?^\\}$`, 'm').exec(RUN)?.[0] ?? '';
const FIND_ENTRY = functionOf('find_entry');
const ELF = readFileSync('/bin/true');
const SCRIPT = '#!/bin/sh\necho started\n';

let tree: string;
beforeEach(() => {
  tree = mkdtempSync(path.join(os.tmpdir(), 'entry-'));
});
afterEach(() => removeTree(tree));

type File =
  | string
  | Buffer
  | { content: string | Buffer; mode: number }
  | { link: string }
  | { hardlink: string };
const exec = (content: string | Buffer) => ({ content, mode: 0o755 });

function plant(files: Record<string, File>): void {
  for (const [name, file] of Object.entries(files)) {
    const target = path.join(tree, name);
    mkdirSync(path.dirname(target), { recursive: true });
    if (typeof file === 'string' || Buffer.isBuffer(file)) writeFileSync(target, file);
    else if ('link' in file) symlinkSync(file.link, target);
    else if ('hardlink' in file) linkSync(path.join(tree, file.hardlink), target);
    else {
      writeFileSync(target, file.content);
      chmodSync(target, file.mode);
    }
  }
}

const options = (command: string | null = null, repositoryName = 'app') => ({
  command,
  repositoryName,
  workdir: null,
  args: [],
  environment: { PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin` },
});

type Linked = { names: string; directory: string };
const byUpdater = async (name: string, { names, directory }: Linked): Promise<string | null> =>
  appCommand(tree, {
    ...options(null, name),
    linked: { names: names.split(/[\s,]+/).filter(Boolean), directory },
  }).then(
    ({ file }) => path.relative(tree, file),
    () => null,
  );

function byShell(name: string, { names, directory }: Linked): string | null {
  const env = {
    ...process.env,
    ...(names === '' ? {} : { UPDATE_LINKED: names, UPDATE_LINKED_DIR: directory }),
  };
  const args = ['sh', '-c', `set -u\n${FIND_ENTRY}\nfind_entry "$1" "$2"`, 'sh', tree, name];
  const { status, stdout } = spawnSync('busybox', args, { encoding: 'utf8', env });
  return status === 0 && stdout !== '' ? path.relative(tree, stdout) : null;
}

type Tree = {
  files: Record<string, File>;
  repository?: string;
  /** UPDATE_LINKED. */
  linked?: string;
  /** Where the data is: what leads there is no program. */
  linkedDir?: string;
  starts: string | null;
};
const TREES: Record<string, Tree> = {
  'the only program': { files: { server: exec(ELF), README: 'x' }, starts: 'server' },
  'a script': { files: { run: exec(SCRIPT) }, starts: 'run' },
  'a program with the platform in its name': {
    files: { 'app-linux-amd64': exec(ELF), LICENSE: 'x' },
    starts: 'app-linux-amd64',
  },
  'a program whose name begins with a dot': { files: { '.app': exec(ELF) }, starts: '.app' },
  'everything executable, as some packers have it': {
    files: { server: exec(ELF), LICENSE: exec('MIT'), 'data.json': exec('{}'), empty: exec('') },
    starts: 'server',
  },
  'a text of two bytes that is executable': {
    files: { server: exec(ELF), x: exec('ab') },
    starts: 'server',
  },
  'libraries beside it': {
    files: { server: exec(ELF), 'libx.so': exec(ELF), 'liby.so.1.2': exec(ELF) },
    starts: 'server',
  },
  'several, one named like the repository': {
    files: { app: exec(ELF), helper: exec(ELF), 'install.sh': exec(SCRIPT) },
    starts: 'app',
  },
  'named like the repository in other letters': {
    files: { Radarr: exec(ELF), ffprobe: exec(`${SCRIPT}\n`) },
    repository: 'radarr',
    starts: 'Radarr',
  },
  'several, none named like it': { files: { one: exec(ELF), two: exec(SCRIPT) }, starts: null },
  'a link and its target': {
    files: { 'server-1.0': exec(ELF), server: { link: 'server-1.0' } },
    starts: 'server-1.0',
  },
  'a link that sorts first, and its target': {
    files: { 'server-1.0': exec(ELF), aserver: { link: 'server-1.0' } },
    starts: 'server-1.0',
  },
  'a link named like the repository': {
    files: { 'app-1.0': exec(ELF), app: { link: 'app-1.0' } },
    starts: 'app',
  },
  'two names of one file': { files: { a: exec(ELF), b: { hardlink: 'a' } }, starts: 'a' },
  'a link into a folder': {
    files: { 'bin/real': exec(ELF), server: { link: 'bin/real' } },
    starts: 'server',
  },
  'data of the app, linked in, that it made executable': {
    files: { server: exec(ELF), 'server.properties': { link: '/usr/bin/true' } },
    linked: 'server.properties',
    starts: 'server',
  },
  'data of the app, linked in, named like the repository': {
    files: { server: exec(ELF), app: { link: '/usr/bin/true' } },
    linked: 'world,app/',
    starts: 'server',
  },
  'executable data that is to be linked in': {
    files: { server: exec(ELF), seed: exec(SCRIPT) },
    linked: 'world\tseed',
    starts: 'server',
  },
  'a link into the linked data by another name': {
    files: { server: exec(ELF), tool: { link: '/bin/true' } },
    linked: 'world',
    starts: 'server',
  },
  'a link that leads there by a linked directory': {
    files: { server: exec(ELF), world: { link: '/usr/bin' }, tool: { link: 'world/true' } },
    linked: 'world',
    starts: 'server',
  },
  'a link to a program of the image': {
    files: { server: { link: '/usr/bin/true' }, README: 'x' },
    starts: 'server',
  },
  'a link to a program of the image, beside linked data': {
    files: { server: { link: '/bin/sh' } },
    linked: 'world',
    linkedDir: '/var',
    starts: 'server',
  },
  'a link that leads nowhere': {
    files: { server: exec(ELF), dead: { link: 'nothing' } },
    starts: 'server',
  },
  'a link and another program': {
    files: { one: exec(ELF), two: { link: 'one' }, three: exec(SCRIPT) },
    starts: null,
  },
  'a folder named like the repository': {
    files: { 'app/x': 'x', server: exec(ELF) },
    starts: 'server',
  },
  'a file named like it that is not executable': {
    files: { app: ELF, one: exec(ELF), two: exec(SCRIPT) },
    starts: null,
  },
  'nothing executable': { files: { 'server.js': 'x' }, starts: null },
  'a script without #!': { files: { run: exec('echo hi\n') }, starts: null },
  'a name with blanks': { files: { 'my server': exec(ELF) }, starts: 'my server' },
  'an empty tree': { files: {}, starts: null },
};

describe(`the program of ${Object.keys(TREES).length} trees, by the updater and by the image's shell`, {
  concurrency: false,
  skip: missing('busybox'),
}, () => {
  for (const [
    title,
    { files, repository = 'app', linked = '', linkedDir = '/usr/bin', starts },
  ] of Object.entries(TREES))
    it(title, async () => {
      assert.notEqual(FIND_ENTRY, '');
      plant(files);
      const data = { names: linked, directory: linkedDir };
      assert.equal(await byUpdater(repository, data), starts);
      assert.equal(byShell(repository, data), starts);
    });
});

const JS = "console.log('started')\n";
const ADVISED: Record<string, { files: Record<string, File>; advice: string }> = {
  'several programs': { files: { one: exec(SCRIPT), two: exec(ELF) }, advice: './one' },
  'one further down': {
    files: { 'bin/tool': exec(SCRIPT), 'lib/x': 'x', README: 'x' },
    advice: './bin/tool',
  },
  'one further down, with a blank in its name': {
    files: { 'my bin/tool': exec(SCRIPT), README: 'x' },
    advice: "'my bin/tool'",
  },
  'a Node app': {
    files: { 'server.js': JS, 'a.js': 'throw 1', 'package.json': '{}' },
    advice: 'node server.js',
  },
  'one .mjs with its version in its name': { files: { 'app-1.2.3.mjs': JS }, advice: 'node *.mjs' },
  'a script without #!': { files: { run: exec('echo started\n') }, advice: 'sh ./run' },
};

describe('advice about what to start works when it is followed', { concurrency: false }, () => {
  for (const [title, { files, advice }] of Object.entries(ADVISED))
    it(title, async () => {
      plant(files);
      const fault = await checkEntryPoint(tree, options()).then(
        () => assert.fail('it was started'),
        (error: Error & { code: string }) => error,
      );
      assert.equal(fault.code, 'ENTRY_POINT_MISSING');
      const command = / for instance to: (.+)$/.exec(fault.message)?.[1] ?? '';
      assert.ok(command.includes(advice), fault.message);
      await checkEntryPoint(tree, options(command));
      const { file, args, cwd } = await appCommand(tree, options(command));
      assert.equal(
        execFileSync(file, args, { cwd, encoding: 'utf8', env: options().environment }),
        'started\n',
      );
    });

  it('a jar: by a pattern, so that it goes on to fit', async () => {
    plant({ 'app-1.2.3.jar': 'PK' });
    await assert.rejects(checkEntryPoint(tree, options()), {
      message: /for instance to: java -jar \*\.jar$/,
    });
    assert.equal(await unwrap(tree, 'java -jar *.jar'), tree);
  });

  it('none where nothing in it can be started', async () => {
    plant({ README: 'x', 'data.bin': 'x' });
    await assert.rejects(checkEntryPoint(tree, options()), {
      code: 'ENTRY_POINT_MISSING',
      message: /UPDATE_APP_COMMAND to the command that starts it$/,
    });
  });
});

describe('the head of a file', () => {
  it('of a FIFO that the app put in its place is empty, and nobody is waited for', () => {
    execFileSync('mkfifo', [path.join(tree, 'app')]);
    assert.equal(headOf(path.join(tree, 'app'), 8).length, 0);
    checkPlatform(path.join(tree, 'app'), '/usr/bin:/bin');
  });
});

describe('the entry file is compared with this machine', { concurrency: false }, () => {
  const here = { os: 'linux', arch: 'x64', emulators: '/nonexistent' } as const;
  const elf = (machine: number, { bits = 2, order = 1 } = {}) => {
    const bytes = Buffer.from(ELF);
    bytes[4] = bits;
    bytes[5] = order;
    bytes.writeUInt16LE(machine, 18);
    return exec(bytes);
  };
  for (const [title, { file, code }] of Object.entries({
    'a program of another processor': { file: elf(183), code: 'WRONG_PLATFORM' },
    'one of RISC-V': { file: elf(243), code: 'WRONG_PLATFORM' },
    'one of the other byte order': { file: elf(62, { order: 2 }), code: 'WRONG_PLATFORM' },
    'one of 32 bits for a processor of 64': { file: elf(62, { bits: 1 }), code: 'WRONG_PLATFORM' },
    'one of macOS': { file: exec(Buffer.from('cffaedfe07000001', 'hex')), code: 'WRONG_PLATFORM' },
    'one of Windows': { file: exec('MZ\u0090\0\u0003'), code: 'WRONG_PLATFORM' },
    'a script whose interpreter is missing': {
      file: exec('#!/opt/none/python3 -u\n'),
      code: 'INTERPRETER_MISSING',
    },
    'a script whose env finds nothing': {
      file: exec('#!/usr/bin/env -S none-such --flag\n'),
      code: 'INTERPRETER_MISSING',
    },
    'a script with line ends of Windows': {
      file: exec('#!/bin/sh\r\necho\r\n'),
      code: 'INTERPRETER_MISSING',
    },
  }))
    it(`${title}: ${code}`, () => {
      plant({ app: file });
      assert.throws(() => checkPlatform(path.join(tree, 'app'), '/usr/bin:/bin', here), { code });
    });

  it('a program whose linker is missing says which libc it wants', () => {
    const bytes = Buffer.from(ELF);
    const at = bytes.indexOf('/lib64/ld-linux');
    bytes.write('/lib/ld-musl-x86_64.so.1\0', at);
    plant({ app: exec(bytes) });
    assert.throws(() => checkPlatform(path.join(tree, 'app'), undefined, here), {
      code: 'INTERPRETER_MISSING',
      message: /musl.*UPDATE_ASSET/,
    });
  });

  it('passes what can run: its own, its 32-bit relative, scripts by env, and any where an emulator is registered', () => {
    mkdirSync(path.join(tree, 'binfmt'));
    writeFileSync(path.join(tree, 'binfmt', 'qemu-aarch64'), 'enabled');
    plant({
      own: exec(ELF),
      relative: elf(3, { bits: 1 }),
      env: exec('#!/usr/bin/env sh\n'),
      foreign: elf(183),
    });
    for (const name of ['own', 'relative', 'env'])
      checkPlatform(path.join(tree, name), '/usr/bin:/bin', here);
    checkPlatform(path.join(tree, 'foreign'), undefined, {
      ...here,
      emulators: path.join(tree, 'binfmt'),
    });
  });

  it('also where a command names it, and not where the command names a program of the image', async () => {
    plant({ 'bin/app': elf(50), x: 'x' });
    await assert.rejects(checkEntryPoint(tree, options('./bin/app --port 80')), {
      code: 'WRONG_PLATFORM',
    });
    await assert.rejects(checkEntryPoint(tree, options('bin/app')), { code: 'WRONG_PLATFORM' });
    for (const command of ['/bin/sh ./bin/app', 'node server.js', 'X=1 ./bin/app', '"./bin/app"'])
      await checkEntryPoint(tree, options(command));
  });

  it('finds what a real binary needs, from its header of any size', () => {
    renameSync(
      execFileSync('sh', ['-c', 'cp "$0" "$1/node" && echo "$1/node"', process.execPath, tree], {
        encoding: 'utf8',
      }).trim(),
      path.join(tree, 'app'),
    );
    checkPlatform(path.join(tree, 'app'), undefined, here);
  });
});

describe('UPDATE_APP_COMMAND', () => {
  /** What people write, and whether the program then has to take the shell's place. */
  const COMMANDS: Record<string, boolean> = {
    './app': true,
    './app --log "a; b"': true,
    "./app '&&'": true,
    './app 2>&1': true,
    'exec ./app': true,
    'cd sub && ../app': false,
    'cd sub; exec ../app': true,
    'umask 027; ./app': false,
    'ulimit -c 0 && exec ./app': true,
    'mkdir -p sub/logs && ./app': false,
    'export MODE=x; exec ./app': true,
    'MODE=x ./app': false,
    '. ./settings && exec ./app': true,
    'test -e missing || exec ./app': true,
  };
  const SETUP = { app: exec('#!/bin/sh\necho "$PPID $*"\n'), settings: 'MODE=x\n', 'sub/file': '' };

  for (const [command, takesThePlace] of Object.entries(COMMANDS))
    it(`is read as the shell reads it, by the updater and by the image alike: ${command}`, async () => {
      plant(SETUP);
      const updater = await appCommand(tree, { ...options(command), args: ['last word'] });
      const script = `${functionOf('command_line')}\ncommand_line "$1"`;
      const { stdout: line } = spawnSync('busybox', ['sh', '-uc', script, 'sh', command], {
        encoding: 'utf8',
      });
      assert.deepEqual(updater.args, ['-c', line, 'sh', 'last word']);
      const { stdout, status, stderr } = spawnSync('/bin/dash', updater.args, {
        cwd: tree,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      const [, parent, words] = /^(\d+) (.*)\n$/.exec(stdout) ?? [];
      assert.match(words ?? '', /last word/);
      if (takesThePlace) assert.equal(Number(parent), process.pid);
    });
});
