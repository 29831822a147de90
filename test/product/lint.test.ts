/** `self-update lint` as CI runs it: exit statuses, output, and the files that it writes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { execa } from 'execa';
import { parseArguments, UsageError } from '../../src/cli/arguments.ts';
import { signSums } from '../../src/lint/sign.ts';
import { ARCHIVE, packed, sha256 } from '../support/lint.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const SCHEMA = path.join(ROOT, 'docs', 'lint.schema.json');
let root: string;
let dist: string;
let app: Buffer;
before(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'lint-cli-'));
  dist = path.join(root, 'dist');
  app = await packed();
});
beforeEach(() => {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  place(ARCHIVE, app);
});
after(() => rmSync(root, { recursive: true }));

function place(name: string, content: string | Buffer): void {
  writeFileSync(path.join(dist, name), content);
}
const read = (name: string) => readFileSync(path.join(dist, name), 'utf8');

function lint(words: readonly string[], environment: Record<string, string> = {}) {
  return execa(process.execPath, [path.join(ROOT, 'bin', 'self-update.js'), 'lint', ...words], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', HOME: root, ...environment },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  });
}

describe('the exit status', () => {
  it('is 0 without errors, and 1 with some', async () => {
    const good = await lint(['dist']);
    assert.equal(good.exitCode, 0, good.stderr);
    assert.match(good.stdout, /^local\/app v1\.2\.3, by files\nplatform +result +file/);
    assert.match(good.stdout, /\ntaken on 2 platforms: 0 errors, 1 warning, 2 notices$/);
    place(ARCHIVE, 'an error page');
    const bad = await lint(['dist']);
    assert.equal(bad.exitCode, 1);
    assert.match(bad.stdout, /^error {2}ARCHIVE_CORRUPT {2}linux\/amd64: /m);
  });

  it('is 2 for wrong usage', async () => {
    const wrong = [
      [],
      ['--platform=linux/pdp11', 'dist'],
      ['--as=app', 'dist'],
      ['--sign=', 'dist'],
      ['--once', 'dist'],
      ['nobody', 'else'],
    ];
    for (const words of wrong)
      assert.throws(() => parseArguments(['lint', ...words]), UsageError, words.join(' '));
    assert.throws(
      () => parseArguments(['check', '--annotations']),
      /--annotations belongs to lint/,
    );
    assert.equal((await lint(['app'])).exitCode, 2, 'neither a directory nor a repository');
  });

  it('is 75 where the source can not be asked, and 78 for a wrong setting', async () => {
    const away = { UPDATE_GH_API_URL: 'http://127.0.0.1:9' };
    const { exitCode, stderr } = await lint(['acme/app'], away);
    assert.equal(exitCode, 75, stderr);
    assert.match(stderr, /\[NETWORK_FAILED\]$/);
    const { exitCode: configured, stderr: told } = await lint(['dist'], { UPDATE_RANGE: 'new' });
    assert.equal(configured, 78);
    assert.match(told, /UPDATE_RANGE.*\[CONFIGURATION\]/);
  });
});

describe('what is told of mistakes', () => {
  it('names what was meant by an address, or lacks behind an @', async () => {
    for (const address of [
      'acme/app',
      'acme/app.git',
      'acme/app/releases/tag/v1.0.0',
      'acme/app/',
    ]) {
      const { exitCode, stderr } = await lint([`https://github.com/${address}`]);
      assert.equal(exitCode, 2);
      assert.match(stderr, /: give acme\/app; /, address);
    }
    assert.match((await lint(['acme/app@'])).stderr, /a tag is missing behind the @$/m);
  });

  it('names the tag that was meant, and the setting of the source, once for all platforms', async () => {
    place('releases.json', '{"releases": []}');
    const { exitCode, stdout } = await lint(['--as=acme/app@1.2.3', 'dist']);
    assert.equal(exitCode, 1);
    const [, error, warning, ...others] = stdout.split('\n');
    assert.match(error ?? '', /NOT_FOUND.*\(is it v1\.2\.3\?\).*UPDATE_SOURCE_URL$/);
    assert.match(warning ?? '', /^warning {2}NOT_FOUND {2}14 other platforms: the same$/);
    assert.equal(others.length, 1, 'the summary');
  });

  it('names what to give in place of a directory without files', async () => {
    mkdirSync(path.join(root, 'none/v1.0.0'), { recursive: true });
    const { exitCode, stderr } = await lint(['none']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /holds no files: .*self-update index.*\[FILE_MISSING\]$/);
  });
});

describe('what is written', () => {
  it('is JSON as the schema says, also of what could not be done', async () => {
    const { stdout } = await lint(['--json', 'dist']);
    const validate = new Ajv2020().compile(JSON.parse(readFileSync(SCHEMA, 'utf8')));
    assert.ok(validate(JSON.parse(stdout)), JSON.stringify(validate.errors));
    const { stdout: away } = await lint(['--json', 'acme/app'], {
      UPDATE_GH_API_URL: 'http://127.0.0.1:9',
    });
    assert.equal(JSON.parse(away).error.code, 'NETWORK_FAILED');
  });

  it('has annotations on request alone, and never within the JSON', async () => {
    place(ARCHIVE, 'an error page');
    const isCommand = /^::error title=ARCHIVE_CORRUPT \(linux\/amd64\)::/m;
    const actions = { GITHUB_ACTIONS: 'true' };
    assert.doesNotMatch((await lint(['dist'], actions)).stdout, isCommand);
    assert.match((await lint(['--annotations', 'dist'])).stdout, isCommand);
    const { stdout, stderr } = await lint(['--annotations', '--json', 'dist']);
    assert.match(stderr, isCommand);
    assert.equal(JSON.parse(stdout).ok, false);
  });

  it("holds no command for the runner, wherever in a line a file's name stands", async () => {
    place('app_1.2.3_##[add-mask]x_linux_amd64.tar.gz', 'an error page');
    for (const options of [[], ['--annotations'], ['--json', '--annotations']]) {
      const { stdout, stderr } = await lint([...options, 'dist'], {
        UPDATE_ASSET: '*add-mask*',
      });
      assert.match(stdout, /\\u0023\[add-mask\]/);
      assert.doesNotMatch(stdout + stderr, /##\[/);
    }
  });

  it('names repository and tag as the runner does, unless they are given', async () => {
    const runner = {
      GITHUB_REPOSITORY: 'acme/tool',
      GITHUB_REF_TYPE: 'tag',
      GITHUB_REF_NAME: 'v7.0.0',
    };
    assert.match((await lint(['dist'], runner)).stdout, /^acme\/tool v7\.0\.0,/);
    assert.match((await lint(['--as=a/b@v1.0.0', 'dist'], runner)).stdout, /^a\/b v1\.0\.0,/);
    const forGh = { ...runner, GH_REPO: 'acme/other' };
    assert.match((await lint(['dist'], forGh)).stdout, /^acme\/other v7\.0\.0,/);
    const ours = { GH_USER: 'us', GH_REPO: 'app' };
    assert.match((await lint(['dist'], ours)).stdout, /^us\/app v1\.2\.3,/);
    const branch = { ...runner, GITHUB_REF_TYPE: 'branch', GITHUB_REF_NAME: 'main' };
    assert.match((await lint(['dist'], branch)).stdout, /^acme\/tool v1\.2\.3,/);
  });

  it('is no secret', async () => {
    const token = 'github_pat_11ABCDEFG0abcdefghijkl';
    place(`app_${token}_linux_amd64.zip`, 'x');
    const { stdout, stderr } = await lint(['--json', 'dist'], { UPDATE_GH_TOKEN: token });
    assert.ok(!`${stdout}${stderr}`.includes(token));
  });
});

describe('--sums', () => {
  it('writes what sha256sum accepts, and the updater reads', async () => {
    place('another file.tar.gz', 'x');
    place('.hidden', 'x');
    place(`${ARCHIVE}.sigstore.json`, '{}');
    symlinkSync('/etc/passwd', path.join(dist, 'link.tar.gz'));
    const { exitCode, stdout } = await lint(['--sums', 'dist']);
    assert.equal(exitCode, 0);
    assert.match(stdout, /digest, checksums/);
    assert.equal(
      read('checksums.txt'),
      `${sha256(Buffer.from('x'))}  another file.tar.gz\n${sha256(app)}  ${ARCHIVE}\n`,
    );
    execFileSync('sha256sum', ['--check', '--strict', 'checksums.txt'], { cwd: dist });
    assert.equal(readdirSync(dist).filter((name) => name.includes('tmp')).length, 0);
    const again = await lint(['--sums', 'dist']);
    assert.match(again.stderr, /lists all 2 files already/);
  });

  it('keeps sums under another name, where they list every file', async () => {
    place('app_1.2.3_SHA256SUMS', `${sha256(app)}  ${ARCHIVE}\n`);
    assert.equal((await lint(['--sums', 'dist'])).exitCode, 0);
    assert.equal(existsSync(path.join(dist, 'checksums.txt')), false);
  });

  it('never overwrites what says otherwise', async () => {
    for (const existing of [`${'0'.repeat(64)}  ${ARCHIVE}\n`, `${sha256(app)}  other\n`]) {
      place('checksums.txt', existing);
      const { exitCode, stderr } = await lint(['--sums', 'dist']);
      assert.equal(exitCode, 1);
      assert.match(stderr, /\[SUMS_DIFFER\]$/);
      assert.equal(read('checksums.txt'), existing);
    }
    rmSync(path.join(dist, 'checksums.txt'));
    symlinkSync(path.join(root, 'elsewhere'), path.join(dist, 'checksums.txt'));
    assert.match((await lint(['--sums', 'dist'])).stderr, /\[SUMS_DIFFER\]$/);
    assert.equal(existsSync(path.join(root, 'elsewhere')), false);
  });

  it('is nothing for a list of releases, or a repository', async () => {
    place('releases.json', '{"releases": []}');
    assert.match((await lint(['--sums', 'dist'])).stderr, /self-update index.*\[SUMS_DIFFER\]$/);
    assert.equal((await lint(['--sums', 'acme/app'])).exitCode, 2);
  });
});

describe('--sign', () => {
  const keys = () => {
    const files = ['minisign.key', 'minisign.pub'].map((name) => path.join(root, name));
    const [secret = '', shared = ''] = files;
    if (!existsSync(secret))
      execFileSync('minisign', ['-G', '-W', '-s', secret, '-p', shared], { stdio: 'ignore' });
    return { secret, shared: readFileSync(shared, 'utf8').split('\n')[1] ?? '' };
  };

  it('signs the sums for the tag, as an updater wants it', async () => {
    const { secret, shared } = keys();
    const words = ['--sums', '--sign', secret, '--as', 'acme/app@v1.2.3', 'dist'];
    const { exitCode, stdout, stderr } = await lint(words, {
      UPDATE_VERIFY: 'digest,minisign',
      UPDATE_MINISIGN_KEYS: shared,
    });
    assert.equal(exitCode, 0, `${stdout}${stderr}`);
    assert.match(stdout, /digest, checksums, minisign/);
    assert.match(
      read('checksums.txt.minisig'),
      /^trusted comment: file:checksums\.txt tag:v1\.2\.3$/m,
    );
    const signed = read('checksums.txt.minisig');
    const again = await lint(words);
    assert.match(again.stderr, /is there already.*\[SIGN_FAILED\]$/);
    assert.equal(read('checksums.txt.minisig'), signed);
  });

  it('writes through no link that lies where it works', async () => {
    const { secret } = keys();
    const other = path.join(root, 'other');
    writeFileSync(other, 'of somebody');
    symlinkSync(other, path.join(dist, `.checksums.txt.minisig.${process.pid}`));
    place('checksums.txt', `${sha256(app)}  ${ARCHIVE}\n`);
    await signSums(dist, secret, 'v1.2.3');
    assert.equal(readFileSync(other, 'utf8'), 'of somebody');
    assert.ok(lstatSync(path.join(dist, 'checksums.txt.minisig')).isFile());
  });

  it('is refused where nothing tells the tag, and for a list of releases', async () => {
    const { secret } = keys();
    rmSync(path.join(dist, ARCHIVE));
    place('app_linux_amd64.tar.gz', app);
    place('checksums.txt', `${sha256(app)}  app_linux_amd64.tar.gz\n`);
    const tagless = await lint(['--sign', secret, '--as=acme/app', 'dist']);
    assert.match(tagless.stderr, /add --as OWNER\/REPO@TAG \[SIGN_FAILED\]$/);
    assert.equal((await lint(['--sign', secret, '--as=acme/app@v1.0.0', 'dist'])).exitCode, 0);
    place('releases.json', '{"releases": []}');
    const listed = await lint(['--sign', secret, 'dist']);
    assert.match(listed.stderr, /minisign -S -m \S+\/releases\.json \[SIGN_FAILED\]$/);
  });

  it('says what is missing', async () => {
    const { secret } = keys();
    const nothing = await lint(['--sign', secret, 'dist']);
    assert.match(nothing.stderr, /add --sums.*\[SIGN_FAILED\]$/);
    place('checksums.txt', `${sha256(app)}  ${ARCHIVE}\n`);
    const keyless = await lint(['--sign', 'nowhere.key', 'dist']);
    assert.match(keyless.stderr, /minisign did not sign.*\[SIGN_FAILED\]$/);
    assert.equal(keyless.exitCode, 1);
    assert.deepEqual(readdirSync(dist).sort(), [ARCHIVE, 'checksums.txt']);
  });
});
