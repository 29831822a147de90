/**
 * docs/permissions.md, held to running containers: every path, process, open file and environment,
 * in each profile.
 */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { TOKEN } from '../support/product.ts';

const PAGE = path.join(import.meta.dirname, '..', '..', 'docs', 'permissions.md');
/** Everything below these is walked; /data and /run/self-update are volumes. */
const ROOTS = [
  '/data',
  '/run/self-update',
  '/etc/service',
  '/usr/lib/self-update',
  '/usr/share/self-update',
  '/version',
];
/**
 * Of an open file, what is looked at: not pipes, sockets and devices, which have no name that
 * anybody else could use.
 */
const OURS =
  /^\/(?:data|run\/self-update|etc\/service|usr\/lib\/self-update|usr\/share\/self-update)\b/;

type PathRow = {
  line: string;
  fits: RegExp;
  kind: string;
  owner: string;
  mode: string;
  when: string;
};
type ProcessRow = {
  line: string;
  fits: RegExp;
  user: string;
  capabilities: string;
  secrets: string;
  files: RegExp[];
  when: string;
};
type Found = { name: string; kind: string; mode: string; uid: number; gid: number };
type Process = {
  command: string;
  uids: string[];
  gids: string[];
  capabilities: string;
  hasSecrets: boolean;
  files: string[];
  others: string[];
};

/** The cells of each row of the table below a heading, its head left out. */
function table(heading: string): string[][] {
  const section = readFileSync(PAGE, 'utf8').split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('|---'));
  return rows.slice(1).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** `a` and `b` in code, separated by commas. */
const codes = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

function pattern(glob: string): RegExp {
  const parts = glob
    .split(/(\*\*|\*)/)
    .map((part) =>
      part === '**' ? '.+' : part === '*' ? '[^/]+' : part.replace(/[.[\](){}+?^$|\\]/g, '\\$&'),
    );
  return new RegExp(`^${parts.join('')}$`, 's');
}

const pathRows: PathRow[] = table('Paths').flatMap(
  ([paths = '', kind = '', owner = '', mode = '', , , when = '']) =>
    codes(paths).map((glob) => ({ line: glob, fits: pattern(glob), kind, owner, mode, when })),
);
const processRows: ProcessRow[] = table('Processes').map(
  ([command = '', user = '', capabilities = '', secrets = '', files = '', when = '']) => {
    const [glob = ''] = codes(command);
    return {
      line: glob,
      fits: pattern(glob),
      user,
      capabilities,
      secrets,
      files: codes(files).map(pattern),
      when,
    };
  },
);

const ONE_USER = 4321;
const APP = 1000;
const idOf = (who: string, profile: Profile): number => {
  if (who === 'image') return 0;
  if (profile === 'one unprivileged user') return ONE_USER;
  return who === 'app' ? APP : 0;
};

/**
 * What the last column says of profiles; anything else there names a moment, and the row may be
 * without a path just now.
 */
const ALWAYS = new Set([
  'as root',
  'as one user',
  'while no updater runs',
  'while something is due, or always with `UPDATE_HTTP_ADDR`',
]);
const isIn = (when: string, profile: Profile): boolean =>
  !(profile === 'one unprivileged user' ? /^as root\b/ : /^as one user$/).test(when);

describe('docs/permissions.md', () => {
  it('has both tables, with words that this test knows', () => {
    assert.ok(pathRows.length > 20 && processRows.length > 5);
    for (const { line, kind, owner, mode } of pathRows) {
      assert.match(kind, /^(?:directory|file|link|fifo|socket|directory or file)$/, line);
      assert.match(owner, /^(?:image|updater|app)(?::(?:image|updater|app))?$/, line);
      assert.match(mode, /^(?:\d{3,4}(?: or \d{3,4})?|—|any)$/, line);
    }
    for (const { line, user, capabilities, secrets } of processRows) {
      assert.match(user, /^(?:updater|app)$/, line);
      assert.match(capabilities, /^(?:the container's|none)$/, line);
      assert.match(secrets, /^(?:yes|no)$/, line);
    }
  });
});

for (const profile of Object.keys(PROFILES) as Profile[])
  describe(`as ${profile}, docs/permissions.md`, () => {
    const seen = new Set<string>();
    let containers: Container[] = [];
    before(async () => {
      containers = await Promise.all([
        begin([...PROFILES[profile]], {}),
        begin([...PROFILES[profile], ...HARDENED, '--tmpfs', '/run/self-update'], {
          UPDATE_HTTP_ADDR: '127.0.0.1:0',
        }),
      ]);
    });
    after(() => Promise.all(containers.map((container) => container[Symbol.asyncDispose]())));

    for (const [index, kind] of [
      'asleep',
      'read-only, no new privileges, and resident',
    ].entries()) {
      it(`tells every path of a container (${kind})`, async () => {
        assert.deepEqual(await judgePaths(containers[index] ?? assert.fail(), profile, seen), []);
      });

      it(`tells every process of a container, what it holds open, and whether it has secrets (${kind})`, async () => {
        const wrong = await judgeProcesses(containers[index] ?? assert.fail(), profile, seen);
        assert.deepEqual(wrong, []);
      });
    }

    it('tells what a hook has: the user of the updater, and no open file of ours', async () => {
      for (const container of containers) {
        const said = (await container.logs())
          .split('\n')
          .filter((line) => /post-update hook: /.test(line));
        const id = idOf('updater', profile);
        assert.ok(said[0]?.endsWith(`I am ${id}:${id}`), said.join('\n'));
        const files = said.flatMap((line) => / -> (\S+)/.exec(line)?.[1] ?? []);
        assert.ok(files.length >= 3, said.join('\n'));
        assert.deepEqual(
          files.filter((file) => OURS.test(file)),
          [],
        );
      }
    });

    it('tells nothing of a path that nobody wrote about, or of a mode that is another (negative control)', async () => {
      const [container = assert.fail()] = containers;
      await container.exec([
        'sh',
        '-c',
        'touch /run/self-update/private/odd && chmod 666 /run/self-update/private/wake',
      ]);
      const wrong = await judgePaths(container, profile, new Set());
      assert.deepEqual(
        wrong.map((line) => /private\/(?:odd|wake)/.test(line)),
        [true, true],
        wrong.join('\n'),
      );
    });

    it('has no row without a path or process', () => {
      const rows = [...pathRows, ...processRows].filter(
        ({ when }) => when === '' || (ALWAYS.has(when) && isIn(when, profile)),
      );
      assert.deepEqual(
        rows.map(({ line }) => line).filter((line) => !seen.has(line)),
        [],
      );
    });
  });

describe('with the strategy hand-over, docs/permissions.md', { concurrency: 2 }, () => {
  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`tells every path and process (${profile})`, async () => {
      await using container = await Container.run({
        run: [...PROFILES[profile]],
        args: ['--an', 'argument'],
        env: {
          UPDATE_STRATEGY: 'hand-over',
          // No UPDATE_LISTEN, and a wrong setting: the updater says so, and sleeps.
          UPDATE_RANGE: 'none',
        },
      });
      await container.answers('0.0.1');
      await container.until('the updater sleeps', async () =>
        (await container.processes()).some(({ command }) =>
          /^self-update: .*sleep \d{3,}$/.test(command),
        ),
      );
      const seen = new Set<string>();
      assert.deepEqual(await judgePaths(container, profile, seen), []);
      const wrong = await judgeProcesses(container, profile, seen);
      // The image's own, and not an update's.
      assert.deepEqual(
        wrong.filter((line) => !line.includes('/usr/share/self-update/baked/')),
        [],
      );
      const rows = [...pathRows, ...processRows].filter(
        ({ when }) => when === 'with `UPDATE_STRATEGY=hand-over`',
      );
      assert.deepEqual(
        rows.map(({ line }) => line).filter((line) => !seen.has(line)),
        [],
      );
    });
});

/** What differs from the page; the rows that something belongs to go into `seen`. */
async function judgePaths(
  container: Container,
  profile: Profile,
  seen: Set<string>,
): Promise<string[]> {
  return (await walk(container)).flatMap((found) => {
    const row = pathRows.find(({ fits, when }) => fits.test(found.name) && isIn(when, profile));
    if (row === undefined) return [`no row: ${describePath(found)}`];
    seen.add(row.line);
    const [owner = '', group = owner] = row.owner.split(':');
    const expected = `${row.kind} ${idOf(owner, profile)}:${idOf(group, profile)} ${row.mode}`;
    const isRight =
      row.kind.split(' or ').includes(found.kind) &&
      found.uid === idOf(owner, profile) &&
      found.gid === idOf(group, profile) &&
      (row.mode === '—' || row.mode === 'any' || row.mode.split(' or ').includes(found.mode));
    return isRight ? [] : [`${describePath(found)}, and the page says ${expected}`];
  });
}

/** What differs from the page, likewise. */
async function judgeProcesses(
  container: Container,
  profile: Profile,
  seen: Set<string>,
): Promise<string[]> {
  const processes = await look(container);
  const [first] = processes;
  return processes.flatMap((found) => {
    const row = processRows.find(({ fits }) => fits.test(found.command));
    if (row === undefined) return [`no row: ${found.command}`];
    seen.add(row.line);
    const id = String(idOf(row.user, profile));
    const problems = [
      ...(found.uids.some((uid) => uid !== id) || found.gids.some((gid) => gid !== id)
        ? [`user ${found.uids}:${found.gids}`]
        : []),
      ...(found.capabilities ===
      (row.capabilities === 'none' ? '0000000000000000' : first?.capabilities)
        ? []
        : [`capabilities ${found.capabilities}`]),
      ...(found.hasSecrets === (row.secrets === 'yes') ? [] : [`secrets: ${found.hasSecrets}`]),
      // What an app opens itself are sockets; its streams are the container's.
      ...(row.user === 'app'
        ? found.others.filter((file) => !/^socket:/.test(file) && !first?.others.includes(file))
        : []),
      ...found.files
        .filter((file) => !row.files.some((fits) => fits.test(file)))
        .map((file) => `open: ${file}`),
    ];
    return problems.map((problem) => `${found.command}: ${problem}`);
  });
}

/**
 * A container that has seen an update, an app that ended by itself, a hook and a linked directory.
 */
async function begin(run: string[], env: Record<string, string>): Promise<Container> {
  const container = await Container.run({
    run,
    args: ['--an', 'argument'],
    env: {
      ...env,
      SLEEP: '3600',
      'spring.datasource.url': 'jdbc:x',
      UPDATE_LINKED: 'world server.properties',
      UPDATE_POST_UPDATE_CMD: 'echo "I am $(id -u):$(id -g)"; ls -l /proc/$$/fd',
      UPDATE_HEALTH_CMD: 'true',
      UPDATE_APP_COMMAND: `sh -c 'umask 022; echo x > server.properties; echo x > world/save; exec "$0/app"' "$PWD"`,
    },
  });
  await container.fact('versionBecameHealthy');
  await container.publish('0.0.2');
  await container.signal('HUP');
  await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
  await container.answers('0.0.2');
  const [app = assert.fail()] = await container.apps();
  process.kill(app, 'SIGKILL');
  await container.until(
    'it was started again',
    async () => (await container.apps())[0] !== app && (await container.ask()) === '0.0.2',
  );
  if (env['UPDATE_HTTP_ADDR'] === undefined)
    await container.until('the updater sleeps', async () =>
      (await container.processes()).some(({ command }) =>
        /^self-update: .*sleep \d{3,}$/.test(command),
      ),
    );
  return container;
}

/**
 * Seen from this machine, whose root we are: whatever the container's own users can't look into.
 */
async function walk(container: Container): Promise<Found[]> {
  const root = `/proc/${await container.inspect<number>('.State.Pid')}/root`;
  const found: Found[] = [];
  const visit = (name: string): void => {
    const stats = lstatSync(root + name);
    const kind = stats.isDirectory()
      ? 'directory'
      : stats.isFile()
        ? 'file'
        : stats.isSymbolicLink()
          ? 'link'
          : stats.isFIFO()
            ? 'fifo'
            : stats.isSocket()
              ? 'socket'
              : 'something else';
    found.push({
      name,
      kind,
      mode: (stats.mode & 0o7777).toString(8),
      uid: stats.uid,
      gid: stats.gid,
    });
    if (kind === 'directory')
      for (const entry of readdirSync(root + name)) visit(path.join(name, entry));
  };
  for (const name of ROOTS) visit(name);
  return found;
}

const describePath = ({ name, kind, uid, gid, mode }: Found): string =>
  `${name}: ${kind} ${uid}:${gid} ${mode}`;

/** Seen from this machine, whose root we are: PID 1 of the container first. */
async function look(container: Container): Promise<Process[]> {
  const first = await container.inspect<number>('.State.Pid');
  // Not by their numbers, which begin anew at times.
  const processes = (await container.processes()).sort(
    (a, b) => Number(b.pid === first) - Number(a.pid === first),
  );
  return processes.flatMap(({ pid, state, command }) => {
    if (state.startsWith('Z')) return [];
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name: string): string[] =>
        (new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '').split(/\s+/);
      const files = readdirSync(`/proc/${pid}/fd`).map((fd) =>
        readlinkSync(`/proc/${pid}/fd/${fd}`),
      );
      return [
        {
          command,
          uids: field('Uid'),
          gids: field('Gid'),
          capabilities: field('CapEff')[0] ?? '',
          hasSecrets: readFileSync(`/proc/${pid}/environ`, 'latin1').includes(TOKEN),
          files: [...new Set(files.filter((file) => OURS.test(file)))],
          others: [...new Set(files.filter((file) => !OURS.test(file)))],
        },
      ];
    } catch (error) {
      // It ended meanwhile.
      if (/ENOENT|ESRCH/.test((error as Error).message)) return [];
      throw error;
    }
  });
}
