/**
 * The programs of examples/hand-over, which take held sockets: built with their own tools into a
 * cache, from what their registries have under the versions and sums that lie beside them.
 */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa, execaSync } from 'execa';
import type { AppOptions } from './app.ts';
import { missing } from './tools.ts';

const EXAMPLES = path.join(import.meta.dirname, '..', '..', 'examples', 'hand-over');
const CACHE = path.join(
  process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'),
  'self-update-tests',
);

type Files = NonNullable<AppOptions['files']>;

export type Kind = {
  /** The directory of the example. */
  example: string;
  /** What runs it, with a version where it is not pinned here. */
  title: string;
  /** Programs on PATH. */
  tools: readonly string[];
  /** A tool that tells its version, and the lowest one that will do. */
  atLeast?: { command: readonly [string, ...string[]]; version: string };
  /** Commands that run in `built`, which has a copy of the example. */
  build?: readonly (readonly [string, ...string[]])[];
  /** What of `built` a release has, beside VERSION: by globs. */
  files: readonly string[];
  /** A command of the shell, where it is not the program `app`. */
  command?: (built: string) => string;
  env?: Record<string, string>;
  /** Which connections it may cut at its stop, while a request is on its way. */
  cuts: 'none' | 'kept' | 'any';
  saysReady: boolean;
};

const VENV: Kind['build'] = [
  ['python3', '-m', 'venv', 'venv'],
  [
    'venv/bin/pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--require-hashes',
    '--requirement',
    'requirements.txt',
  ],
];
const PYTHON = { command: ['python3', '--version'], version: '3.10' } as const;
/** Runs in any image. */
const STATIC_GO = [
  'env',
  'CGO_ENABLED=0',
  ...['go', 'build', '-trimpath', '-o', 'app', '.'],
] as const;
const GO = { command: ['go', 'version'], version: '1.21' } as const;

export const KINDS = {
  go: {
    example: 'go',
    title: 'Go, by coreos/go-systemd 22.7.0',
    tools: ['go'],
    atLeast: GO,
    build: [STATIC_GO],
    files: ['app'],
    cuts: 'none',
    saysReady: true,
  },
  goPlain: {
    example: 'go-plain',
    title: 'Go, by net.FileListener alone',
    tools: ['go'],
    atLeast: GO,
    build: [STATIC_GO],
    files: ['app'],
    cuts: 'none',
    saysReady: true,
  },
  node: {
    example: 'node',
    title: 'Node, by listen({ fd: 3 })',
    tools: ['perl'],
    files: ['app.js'],
    command: () => 'node app.js',
    cuts: 'none',
    saysReady: true,
  },
  python: {
    example: 'python',
    title: 'Python, by its standard library',
    tools: ['python3'],
    files: ['app.py'],
    command: () => 'python3 app.py',
    cuts: 'none',
    saysReady: true,
  },
  gunicorn: {
    example: 'gunicorn',
    title: 'gunicorn 27.0.1',
    tools: ['python3'],
    atLeast: PYTHON,
    build: VENV,
    files: ['app.py'],
    command: (built) => `${built}/venv/bin/gunicorn --threads 4 app:app`,
    cuts: 'kept',
    saysReady: true,
  },
  uvicorn: {
    example: 'uvicorn',
    title: 'uvicorn 0.54.0, with a pause before its shutdown',
    tools: ['python3'],
    atLeast: PYTHON,
    build: VENV,
    files: ['app.py'],
    command: (built) => `${built}/venv/bin/python app.py`,
    cuts: 'none',
    saysReady: true,
  },
  uvicornPlain: {
    example: 'uvicorn',
    title: 'uvicorn 0.54.0 --fd 3',
    tools: ['python3'],
    atLeast: PYTHON,
    build: VENV,
    files: ['app.py'],
    command: (built) => `${built}/venv/bin/uvicorn --fd 3 app:app`,
    cuts: 'any',
    saysReady: false,
  },
  rust: {
    example: 'rust',
    title: 'Rust, by listenfd 1.0.2 and axum 0.8.9',
    tools: ['cargo'],
    atLeast: { command: ['cargo', '--version'], version: '1.85' },
    build: [
      ['cargo', 'build', '--quiet', '--release', '--locked', '--target-dir', 'target'],
      ['cp', 'target/release/app', 'app'],
    ],
    files: ['app'],
    cuts: 'none',
    saysReady: true,
  },
  java: {
    example: 'java',
    title: 'Java, by inheritedChannel and Jetty 12.0.25',
    tools: ['java', 'javac', 'mvn', 'perl'],
    atLeast: { command: ['javac', '-version'], version: '17' },
    build: [['mvn', '--batch-mode', '--quiet', '--strict-checksums', 'package']],
    files: ['target/app.jar', 'target/lib/*.jar'],
    command: () => "java -cp 'target/app.jar:target/lib/*' App 0<&3 3<&-",
    cuts: 'none',
    saysReady: true,
  },
  nginx: {
    example: 'nginx',
    title: 'nginx, by NGINX',
    tools: ['nginx'],
    files: ['nginx.conf'],
    command: () => "NGINX='3;' exec nginx -p . -c nginx.conf -e stderr",
    env: { UPDATE_STOP_SIGNAL: 'QUIT' },
    cuts: 'kept',
    saysReady: false,
  },
  puma: {
    example: 'puma',
    title: 'Puma, with sd_notify',
    tools: ['puma', 'ruby'],
    atLeast: { command: ['ruby', '-r', 'sd_notify', '-e', 'puts RUBY_VERSION'], version: '3.0' },
    files: ['config.ru'],
    command: () => 'puma --environment production --bind tcp://0.0.0.0:8080',
    cuts: 'kept',
    saysReady: true,
  },
  caddy: {
    example: 'caddy',
    title: 'Caddy 2.11.3, by fd/3',
    tools: ['go'],
    atLeast: GO,
    build: [['go', 'install', 'github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.3']],
    files: ['Caddyfile'],
    command: (built) => `${built}/bin/caddy run`,
    cuts: 'any',
    saysReady: true,
  },
} as const satisfies Record<string, Kind>;

/** False when this machine has what the kind needs, else the reason to skip. */
export function lacking({ tools, atLeast }: Kind): string | false {
  const absent = missing(...tools);
  if (absent !== false || atLeast === undefined) return absent;
  const [program, ...args] = atLeast.command;
  const { stdout, failed } = execaSync(program, args, { reject: false });
  if (failed) return `not installed, or not whole: ${atLeast.command.join(' ')}`;
  const version = /\d+(?:\.\d+)*/.exec(stdout)?.[0] ?? '0';
  const isOld = version.localeCompare(atLeast.version, 'en', { numeric: true }) < 0;
  return isOld && `needs ${program} ${atLeast.version}, and here is ${version}`;
}

/** The directory of the built example. Throws where a registry can't be reached. */
export async function built({ example, title, build = [] }: Kind): Promise<string> {
  const source = path.join(EXAMPLES, example);
  const hash = createHash('sha256').update(JSON.stringify(build));
  for (const file of (globSync('**/*', { cwd: source }) as string[]).sort())
    if (statSync(path.join(source, file)).isFile())
      hash.update(`${file}\0`).update(readFileSync(path.join(source, file)));
  const directory = path.join(CACHE, `${example}-${hash.digest('hex').slice(0, 16)}`);
  const done = path.join(directory, '.built');
  if (existsSync(done)) return directory;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  cpSync(source, directory, { recursive: true });
  for (const [program, ...args] of build) {
    const { failed, stderr, stdout } = await execa(program, args, {
      cwd: directory,
      env: { GOBIN: path.join(directory, 'bin'), GOFLAGS: '-buildvcs=false' },
      reject: false,
    });
    if (failed)
      throw new Error(
        `${title} could not be built by "${program} ${args[0]}": its registry can't be reached, or it no longer has a pinned version. ${(stderr || stdout).slice(-2000)}`,
      );
  }
  writeFileSync(done, '');
  return directory;
}

/** The files of a release; `port` takes the place of 8080. */
export function releaseOf(kind: Kind, directory: string, version: string, port: number): Files {
  const files: Files = { VERSION: { content: version } };
  for (const name of kind.files.flatMap((glob) => globSync(glob, { cwd: directory }) as string[])) {
    const file = path.join(directory, name);
    const isText = !/^(?:app|target\/.*)$/.test(name);
    files[name] = {
      content: isText
        ? readFileSync(file, 'utf8').replaceAll('8080', String(port))
        : readFileSync(file),
      mode: statSync(file).mode & 0o777,
    };
  }
  return files;
}
