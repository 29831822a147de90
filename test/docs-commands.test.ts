/**
 * Every command that the documents show is run by a test, or says why it can't be; what needs only
 * a checkout is run here.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { execa } from 'execa';
import { generated } from '../scripts/docs.ts';
import { metaOf, type SettingName, settingNames, settings } from '../src/config/settings.ts';
import { indexSchema } from '../src/effects/sources/releases-index.ts';
import { appArchive } from './support/app.ts';
import { CLAIMS, claimOf, Documented } from './support/claims.ts';
import {
  type Command,
  commandsOfPage,
  documentedCommands,
  documentedSettings,
  read,
} from './support/documents.ts';
import { FakeGitHub } from './support/github/server.ts';
import { Product } from './support/product.ts';

const ROOT = path.join(import.meta.dirname, '..');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
const shown = ({ file, line, text }: Command) => `${file}:${line}: ${text}`;

describe('a documented command', () => {
  it('is found in blocks, in fences, in running text and in tables, whole and without its comment', () => {
    const page =
      'Text, `docker ps -a` and `UPDATE_X`.\n\n    npm ci \\\n      --quiet      # why\n    # only a comment\n\n```sh\nnpm test\n```\n```json\n{}\n```\n| `nc a\\|b 1` |\n';
    assert.deepEqual(
      commandsOfPage('page.md', page).map(({ line, text }) => `${line} ${text}`),
      ['1 docker ps -a', '3 npm ci --quiet', '8 npm test', '13 nc a|b 1'],
    );
  });

  it('is claimed by a line of test/support/claims.ts, which says how it is tested', () => {
    const unclaimed = documentedCommands().filter((command) => claimOf(command) === undefined);
    assert.deepEqual(
      unclaimed.map(shown),
      [],
      'these are shown to users, and no test runs them: claim each in test/support/claims.ts',
    );
  });

  it('is there for each of those lines', () => {
    const claims = new Set(documentedCommands().map(claimOf));
    assert.deepEqual(
      CLAIMS.filter((claim) => !claims.has(claim)).map(({ text }) => String(text)),
      [],
    );
    for (const { how, why, text } of CLAIMS)
      assert.equal(why === undefined, how === 'image' || how === 'host', `${text} has to say why`);
  });

  const byKind = (how: string) =>
    documentedCommands().filter((command) => claimOf(command)?.how === how);

  it('that names a script names one that is there, with options that it knows', () => {
    for (const command of byKind('script')) {
      const [, name = '', rest = ''] = /^npm run ([\w:-]+)(?: -- (.*))?$/.exec(command.text) ?? [];
      const script = scripts[name];
      assert.ok(script !== undefined, shown(command));
      const file = /scripts\/[\w-]+\.ts/.exec(script)?.[0];
      for (const [, option = ''] of rest.matchAll(/--([a-z-]+)/g))
        assert.match(
          read(file ?? 'package.json'),
          new RegExp(`\\b${option}: \\{ type:`),
          shown(command),
        );
    }
  });

  it('that no test machine can run is at least one that a shell can read', async () => {
    for (const command of byKind('elsewhere'))
      await execa('sh', ['-n', '-c', command.text.replace(/^- run: /, '')]);
  });
});

describe('a documented value of a setting', () => {
  /** Files that only the reader's machine has. */
  const isOfAnotherMachine = (message: string) => /names a file that can't be read/.test(message);
  const refusalOf = (name: string, value: string): string | null => {
    const result = settings.shape[name as SettingName].safeParse(value);
    const [issue] = result.error?.issues ?? [];
    return issue === undefined || isOfAnotherMachine(issue.message) ? null : issue.message;
  };

  it('is accepted by the settings, wherever it is written', () => {
    const refused = documentedSettings().filter(
      ({ text }) =>
        refusalOf(text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)) !== null,
    );
    assert.deepEqual(refused.map(shown), []);
  });

  it('is accepted by the settings when it is the example', () => {
    for (const name of settingNames)
      assert.equal(refusalOf(name, metaOf(name).example), null, name);
  });
});

describe('in a checkout, as documented,', () => {
  const documented = new Documented('host');
  after(() => assert.deepEqual(documented.left(), [], 'claimed as run here, and not run'));

  it('npm ci comes before scripts that are there', () => {
    // `npm ci` itself: test/docs-install.test.ts. The scripts: this very run,
    // test/product/demo.test.ts, and the image's build.
    for (const command of documented.take(/^npm ci/)) {
      const next = / && npm (?:run )?(\w+)$/.exec(command)?.[1];
      assert.ok(next === undefined || scripts[next] !== undefined, command);
    }
  });

  it('npm run docs writes what is there already', async () => {
    documented.one('npm run docs');
    for (const [name, text] of Object.entries(generated()))
      assert.equal(read(`docs/${name}`), text);
    assert.ok(
      existsSync(path.join(ROOT, 'scripts', 'docs.ts')) &&
        scripts['docs']?.endsWith('scripts/docs.ts'),
    );
  });

  it('one test file is run', async () => {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_')),
    );
    const { stdout } = await execa('sh', ['-c', documented.one(/^node bin\/node\.js --test /)], {
      cwd: ROOT,
      env,
      extendEnv: false,
    });
    assert.match(stdout, /^ℹ pass [1-9]|^# pass [1-9]/m);
  });

  it('a directory of releases is listed, and its list signed', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'index-'));
    try {
      mkdirSync(path.join(root, 'releases', 'v1.2.3'), { recursive: true });
      writeFileSync(path.join(root, 'releases', 'v1.2.3', 'app_linux_amd64.tar.gz'), 'bytes');
      const options = {
        cwd: root,
        env: { PATH: process.env['PATH'] ?? '', HOME: root },
        extendEnv: false,
      };
      const program = path.join(ROOT, 'bin', 'self-update.js');
      for (const text of documented.take(/^self-update index/)) {
        const [, , operand = 'releases'] = text.replace('<directory>', 'releases').split(' ');
        const { stdout } = await execa(process.execPath, [program, 'index', operand], options);
        assert.match(stdout, /releases\.json: 1 release$/);
      }
      const index = indexSchema.parse(
        JSON.parse(readFileSync(path.join(root, 'releases', 'releases.json'), 'utf8')),
      );
      assert.equal(index.releases[0]?.tag, 'v1.2.3');
      const sign = documented.one(/^minisign -S -m releases/);
      if ((await execa('minisign', ['-v'], { reject: false })).exitCode === undefined) return;
      await execa('minisign', ['-G', '-W', '-p', path.join(root, 'key.pub')], options);
      await execa('sh', ['-c', sign], options);
      assert.ok(existsSync(path.join(root, 'releases', 'releases.json.minisig')));
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('a release is looked at, its sums written and signed', async () => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'lint-'));
    const github = await new FakeGitHub().listen();
    try {
      const name = 'app_1.2.3_linux_amd64.tar.gz';
      const bytes = await appArchive({ version: '1.2.3' });
      github.publish('v1.2.3', { [name]: bytes });
      mkdirSync(path.join(root, 'dist'));
      const options = {
        cwd: root,
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: root,
          UPDATE_GH_API_URL: github.url,
          UPDATE_ASSET_HOSTS: 'localhost',
        },
        extendEnv: false,
        reject: false,
      } as const;
      const hasMinisign = (await execa('minisign', ['-v'], options)).exitCode !== undefined;
      if (hasMinisign)
        await execa('minisign', ['-G', '-W', '-s', 'minisign.key', '-p', 'minisign.pub'], options);
      const program = path.join(ROOT, 'bin', 'self-update.js');
      for (const text of documented.take(/^self-update lint/)) {
        rmSync(path.join(root, 'dist'), { recursive: true });
        mkdirSync(path.join(root, 'dist'));
        writeFileSync(path.join(root, 'dist', name), bytes);
        const [, , ...words] = text
          .replace('<owner/repo[@tag]|directory>', 'dist')
          .replace(/\b(?:DIRECTORY|DIR)\b/, 'dist')
          .replace('KEYFILE', '--sums minisign.key')
          .replace('--sign --sums', '--sums --sign')
          .split(' ');
        if (words.includes('--sign') && !hasMinisign) continue;
        const { exitCode, stdout, stderr } = await execa(
          process.execPath,
          [program, 'lint', ...words],
          options,
        );
        const isWhole = words.some((word) => !word.startsWith('-'));
        assert.equal(exitCode, isWhole ? 0 : 2, `${text}\n${stdout}${stderr}`);
        if (isWhole) assert.match(stdout, /^linux\/amd64 +served +app_1\.2\.3_linux_amd64/m, text);
        assert.equal(
          existsSync(path.join(root, 'dist', 'checksums.txt')),
          isWhole && words.includes('--sums'),
          text,
        );
        assert.equal(
          existsSync(path.join(root, 'dist', 'checksums.txt.minisig')),
          isWhole && words.includes('--sign'),
          text,
        );
      }
    } finally {
      await github.close();
      rmSync(root, { recursive: true });
    }
  });

  it('it runs without a container: npm start, and the status beside it', async () => {
    const [settingsLine, start] = [documented.one(/^export GH_USER=/), documented.one('npm start')];
    await using product = await Product.create({
      baked: null,
      env: { UPDATE_ASSET: 'app*.tar.gz', SLEEP: '3600' },
    });
    product.github.publish('v0.0.1', {
      'app_0.0.1.tar.gz': await appArchive({ version: '0.0.1', port: product.port }),
    });
    const options = { cwd: ROOT, env: product.env, extendEnv: false, reject: false } as const;
    const resident = execa('sh', ['-c', `${settingsLine}; exec ${start}`], {
      ...options,
      stdin: 'ignore',
      detached: true,
      buffer: true,
      timeout: 60_000,
    });
    await product.fact('versionBecameHealthy');
    for (const command of documented.take(/^npx --no-install self-update /)) {
      const { stdout, exitCode, stderr } = await execa('sh', ['-c', command], options);
      assert.equal(exitCode, 0, stderr);
      assert.match(stdout, /0\.0\.1/);
    }
    // As Ctrl-C does: the whole group is told.
    process.kill(-(resident.pid ?? 0), 'SIGINT');
    const { stdout, stderr } = await resident;
    assert.doesNotMatch(stdout + stderr, /warn|error/i);
  });
});

describe('the commands of the image', () => {
  it('are run where Docker is: npm run test:container', () => {
    const file = path.join(import.meta.dirname, 'container', 'documents.test.ts');
    assert.match(readFileSync(file, 'utf8'), /documented\.left\(\)/);
  });
});
