/**
 * The commands of the documents, run as they stand: in the image where they are meant for it, else
 * on a machine with Docker.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { execa } from 'execa';
import { metaOf } from '../../src/config/settings.ts';
import { archive } from '../support/app.ts';
import { Documented } from '../support/claims.ts';
import { Container } from '../support/docker/container.ts';
import { named, Workplace } from '../support/docker/documented.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';
import { freePort } from '../support/product.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const documented = new Documented('image');
const EXAMPLE_CMD = (name: Parameters<typeof metaOf>[0]) =>
  documented.one(`${name}=${metaOf(name).example}`).slice(name.length + 1);

describe('the documents', () => {
  after(() => assert.deepEqual(documented.left(), [], 'claimed as run here, and not run'));

  it('a longer accept queue, in a network of the container’s own', async () => {
    const options = documented.one(/^--sysctl /);
    const look = ['--entrypoint', '/bin/sh', IMAGES.app, '-c', 'cat /proc/sys/net/core/somaxconn'];
    const { stdout } = await docker(['run', '--rm', ...options.split(' '), ...look]);
    assert.equal(`--sysctl net.core.somaxconn=${stdout}`, options);
  });

  it('from nothing to a self-updating container: the first commands', async () => {
    await using place = await Workplace.create();
    await using _ = await named('app', 'app-data');
    await place.publish('0.0.1');
    await place.succeeds(documented.one(/^docker run -d --name app --restart /));
    await place.until('docker logs app', /passed probation|passed probation|healthy/);
    const [status = '', history = ''] = [
      documented.one('docker exec app self-update status'),
      documented.one('docker exec app self-update history'),
    ];
    assert.match(await place.succeeds(status), /0\.0\.1/);
    assert.match(await place.succeeds(history), /0\.0\.1/);
    // It never ends by itself.
    await place.until(`timeout 2 ${documented.one('docker logs -f app')}`, /update: /);
    assert.equal(
      documented.one('docker exec NAME self-update …'),
      'docker exec NAME self-update …',
    );
    await place.succeeds('docker exec app self-update status --json');
    assert.match(
      await place.succeeds(documented.one('docker exec … self-update update').replace('…', 'app')),
      /./,
    );
  });

  it('a volume that another user owns: the command that helps', async () => {
    const data = mkdtempSync(path.join(os.tmpdir(), 'data-'));
    chownSync(data, 1000, 1000);
    try {
      await using container = await Container.run({ volume: data });
      await container.until('it is told', async () =>
        /DIRECTORY_UNSAFE/.test(await container.logs()),
      );
      const [, , , ...command] = documented.one(/^docker exec NAME chown /).split(' ');
      assert.equal((await container.exec(command)).exitCode, 0);
      await container.until('it is seen', async () =>
        /updates continue/.test(await container.logs()),
      );
      await container.publish('0.0.2');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    } finally {
      rmSync(data, { recursive: true });
    }
  });

  it('words after the image are the app’s arguments', async () => {
    await using place = await Workplace.create();
    await using _ = await named('arguments');
    await place.publish('0.0.1');
    await place.succeeds(
      documented
        .one('docker run … IMAGE --port 8080')
        .replace('…', '-d --name arguments -e GH_USER=acme -e GH_REPO=app'),
    );
    await place.until('docker exec arguments ps -o args', /\/app --port 8080$/m);
  });

  it('held sockets: of an app that takes them, and of a Node app without a change', async () => {
    const rest = '-e GH_USER=acme -e GH_REPO=app -v app-data:/data IMAGE';
    const taking = documented.one(`docker run -e UPDATE_LISTEN=8080 ${rest}`);
    const unchanged = documented.one(
      `docker run -e UPDATE_LISTEN=8080 -e UPDATE_LISTEN_NODE=on ${rest}`,
    );
    const handingOver = documented.one(
      `docker run -e UPDATE_LISTEN=8080 -e UPDATE_STRATEGY=hand-over ${rest}`,
    );
    for (const [command, listen] of [
      [taking, '{ fd: 3 }'],
      [handingOver, '{ fd: 3 }'],
      [unchanged, 'process.env.PORT'],
    ] as const) {
      await using place = await Workplace.create();
      await using _ = await named('held', 'app-data');
      const port = await freePort();
      const source = `require('node:http').createServer((q, r) => r.end('held')).listen(${listen})`;
      const content = `#!/usr/bin/env node\n${source}`;
      place.github.publish('v0.0.1', {
        'app.tar.gz': await archive({ app: { content, mode: 0o755 } }),
      });
      await place.succeeds(
        command
          .replace('docker run', `docker run -d --name held -e PORT=${port}`)
          .replace('8080', String(port)),
      );
      await place.until(`docker exec held wget -q -O - http://127.0.0.1:${port}`, /^held$/);
    }
  });

  it('a game server: its data is linked', async () => {
    await using place = await Workplace.create({ repo: 'game' });
    await using _ = await named('game', 'game');
    place.github.publish('v0.0.1', {
      'game.tar.gz': await archive({
        game: { content: '#!/bin/sh\nexec sleep 1000\n', mode: 0o755 },
        'world/level': { content: 'seed' },
      }),
    });
    await place.succeeds(documented.one(/^docker run -d --name game /));
    await place.until('docker logs game', /passed probation|passed probation|healthy/);
    assert.equal(
      (await place.succeeds('docker exec game cat /data/app/world/level')).trim(),
      'seed',
    );
  });

  it('a Node app: packed as documented, started as documented', async () => {
    await using place = await Workplace.create();
    await using _ = await named('node');
    place.write(
      'greeting/package.json',
      '{ "name": "greeting", "version": "1.0.0", "main": "index.js" }',
    );
    place.write('greeting/index.js', "module.exports = 'hello of a package';");
    await place.succeeds('npm pack --silent ./greeting');
    place.write(
      'package.json',
      '{ "name": "app", "version": "0.0.1", "dependencies": { "greeting": "file:greeting-1.0.0.tgz" } }',
    );
    place.write('server.js', "console.log(require('greeting')); setInterval(() => {}, 1000);");
    await place.succeeds('npm install --silent --package-lock-only --offline');
    await place.succeeds(
      documented.one(/^- run: npm ci --omit=dev /).replace(/^- run: npm ci/, 'npm ci --offline'),
      { GITHUB_REF_NAME: 'v0.0.1' },
    );
    place.github.publish('v0.0.1', {
      'app_0.0.1.tar.gz': readFileSync(path.join(place.directory, 'app_0.0.1.tar.gz')),
    });
    const option = documented.one('-e UPDATE_APP_COMMAND="node server.js"');
    assert.equal(documented.one('node server.js'), EXAMPLE_CMD('UPDATE_APP_COMMAND'));
    await place.succeeds(
      `docker run -d --name node -e GH_USER=acme -e GH_REPO=app ${option} IMAGE`,
    );
    await place.until('docker logs node', /hello of a package/);
  });

  it('a private repository, by a token in a file', async () => {
    await using place = await Workplace.create({ token: 'private-token-0123456789' });
    await using _ = await named('private');
    await place.publish('0.0.1');
    // In a directory of its own instead of /etc.
    const moved = (text: string) =>
      text.replaceAll('/etc/app-token', '"$PWD/app-token"').replace('sudo ', '');
    const option = documented.one(/^-v \/etc\/app-token/);
    const run = documented.one(/^docker run -v \/etc\/app-token/);
    assert.equal(run, `docker run ${option} …`);
    await place.succeeds(
      `echo private-token-0123456789 | ${moved(documented.one(/^sudo sh -c 'umask 077; cat /))}`,
    );
    await place.succeeds(
      moved(run)
        .replace('docker run', 'docker run -d --name private')
        .replace('…', '-e GH_USER=acme -e GH_REPO=app IMAGE'),
    );
    assert.doesNotMatch(
      await place.until('docker exec private self-update status', /0\.0\.1/),
      /warning/,
    );
    assert.doesNotMatch(await place.succeeds('docker inspect private'), /private-token/);
  });

  it('a health address and a health command: a version is healthy by them, and so is the container', async () => {
    await using place = await Workplace.create();
    const byAddress = documented
      .one(/^-e UPDATE_HEALTH_URL=/)
      .replace('8080/healthz', `${place.port}/`);
    const command = EXAMPLE_CMD('UPDATE_HEALTH_CMD');
    assert.equal(documented.one(/^nc -w /), command);
    await place.publish('0.0.1');
    for (const [name, option] of [
      ['command', `-e UPDATE_HEALTH_CMD="${command.replace('25565', String(place.port))}"`],
      ['address', byAddress],
    ] as const) {
      await using _ = await named(`health-${name}`);
      await place.succeeds(
        `docker run -d --name health-${name} -e GH_USER=acme -e GH_REPO=app -e UPDATE_HEALTH_INTERVAL=1 ${option} IMAGE`,
      );
      await place.until(
        `docker exec health-${name} self-update events`,
        /versionBecameHealthy|probationFailed/,
      );
      assert.match(
        await place.succeeds(`docker exec health-${name} self-update status`),
        /0\.0\.1/,
      );
      await place.succeeds(
        `docker exec health-${name} ${documented.one('/usr/lib/self-update/healthcheck')}`,
      );
    }
    // What nobody answers is not healthy.
    const { exitCode } = await docker(
      ['run', '--rm', '--entrypoint', '/bin/sh', IMAGES.product, '-c', command],
      { reject: false },
    );
    assert.notEqual(exitCode, 0);
  });

  it('probes of Kubernetes, as its unprivileged user with a read-only root', async () => {
    await using place = await Workplace.create();
    await using _ = await named('probes');
    await place.publish('0.0.1');
    const user =
      '--user 1000:1000 --cap-drop ALL --read-only --security-opt no-new-privileges --tmpfs /tmp --tmpfs /run/self-update:mode=1777';
    await place.succeeds(
      `docker run -d --name probes --health-interval 1s ${user} -e GH_USER=acme -e GH_REPO=app IMAGE`,
    );
    await place.until('docker exec probes self-update events', /versionBecameHealthy/);
    await place.succeeds(
      `docker exec probes ${documented.one('/usr/lib/self-update/healthcheck')}`,
    );
    const running = documented.one(/^docker inspect --format /).replace(' app ', ' probes ');
    await place.until(running, /^0\.0\.1\n?$/);
    await place.until(
      documented.one(/^docker top /).replace(' app ', ' probes '),
      /^\s*\d+\s+self-update: 0\.0\.1 runs, sleep \d+$/m,
    );
  });

  it('each profile, with and without a read-only root, and a tmpfs for it', async () => {
    await using place = await Workplace.create();
    await place.publish('0.0.1');
    const readOnly = documented.one(/^--read-only /);
    for (const profile of ['', ...documented.take(/^--cap-drop /)])
      for (const root of ['', readOnly]) {
        await using _ = await named('profile');
        await place.succeeds(
          `docker run -d --name profile ${profile} ${root} -e GH_USER=acme -e GH_REPO=app IMAGE`,
        );
        await place.until('docker exec profile self-update status', /version +0\.0\.1|0\.0\.1/);
      }
    await using _ = await named('profile');
    const tmpfs = documented.one('docker run --tmpfs /run/self-update');
    await place.succeeds(
      `${tmpfs} -d --name profile ${readOnly} -e GH_USER=acme -e GH_REPO=app IMAGE`,
    );
    await place.until('docker exec profile self-update status', /0\.0\.1/);
  });

  it('every command of the command line, in a container', async () => {
    await using container = await Container.run({ env: { SLEEP: '3600' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    const inShell = (command: string) => container.exec(['timeout', '20', 'sh', '-c', command]);
    const forms = [...new Set(documented.take(/^self-update\b/).flatMap(formsOf))];
    assert.ok(forms.length > 20, forms.join('\n'));
    for (const command of forms) {
      // Endless: what it says at once is enough.
      const isEndless =
        /--watch|--follow|^self-update run$|^self-update$|^self-update --json$/.test(command);
      const { exitCode, stdout, stderr } = await inShell(
        isEndless ? `timeout 5 ${command}` : command,
      );
      const documentedStatuses = [
        0,
        1,
        75,
        ...(/\bcheck\b/.test(command) ? [100] : []),
        ...(isEndless ? [128 + 15] : []),
      ];
      assert.ok(
        documentedStatuses.includes(exitCode ?? -1),
        `${command} ended with ${exitCode}: ${stdout}\n${stderr}`,
      );
      assert.doesNotMatch(stderr, /UNEXPECTED|is no command|usage/i, command);
      if (exitCode === 1)
        assert.match(stdout + stderr, /\[[A-Z_]+\]/, `${command} failed, and names no code`);
    }
  });

  it('an app that is busy says so, and stops saying so', async () => {
    await using container = await Container.run({ env: { SLEEP: '3600' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    const asApp = (command: string) => container.exec(['sh', '-c', command], ['--user', '1000']);
    const [touch, remove] = [documented.one(/^touch /), documented.one(/^rm \/run/)];
    assert.equal((await asApp(touch)).exitCode, 0);
    assert.match(
      (await container.command('update')).stdout,
      /0\.0\.2 waits for the app, which is busy/,
    );
    assert.equal((await asApp(remove)).exitCode, 0);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    for (const [image, lock] of [
      [IMAGES.product, documented.one(/chpst -l /)],
      [IMAGES.productOnDebian, documented.one(/^flock /)],
    ] as const) {
      // While the job runs nobody else gets the lock.
      const job = lock.replace(
        'long-job',
        `sh -c '! ${lock.replace('-l', '-L').replace('flock', 'flock -n').replace('long-job', 'true')}'`,
      );
      const args = [
        'run',
        '--rm',
        '--user',
        '1000',
        '--entrypoint',
        '/bin/sh',
        image,
        '-c',
        `${job} && ${remove}`,
      ];
      const { exitCode, stderr } = await docker(args, { reject: false });
      assert.equal(exitCode, 0, `${job}: ${stderr}`);
    }
  });

  it('hooks and the notification command, where the examples of the settings have them', async () => {
    const names = [
      'UPDATE_PRE_STOP_CMD',
      'UPDATE_PRE_START_CMD',
      'UPDATE_POST_UPDATE_CMD',
      'UPDATE_NOTIFY_CMD',
    ] as const;
    const examples = names.map((name) => [name, EXAMPLE_CMD(name)] as const);
    const tag = `${IMAGES.app}-hooks`;
    const script = '#!/bin/sh\nbasename "$0" >> /data/hooks\n';
    await derive(
      IMAGES.app,
      tag,
      'COPY opt /opt',
      Object.fromEntries(examples.map(([, file]) => [file.slice(1), script])),
    );
    await using container = await Container.run({
      image: tag,
      env: { SLEEP: '3600', ...Object.fromEntries(examples) },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const expected = examples.map(([, file]) => path.basename(file));
    await container.until('each was run', async () => {
      const ran = (await container.exec(['cat', '/data/hooks'])).stdout.split('\n');
      return expected.every((name) => ran.includes(name));
    });
  });

  it('HTTP: the container as documented, and curl as documented', async () => {
    await using place = await Workplace.create();
    await using _ = await named('app', 'app-data');
    await place.publish('0.0.1');
    place.write('update-token', 'token-0123456789abcdef\n', 0o600);
    const run = documented.one(/^docker run -d --name app -v app-data:\/data -p 127\.0\.0\.1:9090/);
    await place.succeeds(
      run.replace('-d ', '-d -v "$PWD/update-token:/run/secrets/update-token:ro" '),
    );
    await place.until('docker exec app self-update events', /versionBecameHealthy/);
    for (const curl of documented.take(/^curl /))
      assert.match(
        await place.succeeds(`${curl} -sS --retry 20 --retry-connrefused --retry-delay 1`, {
          TOKEN: 'token-0123456789abcdef',
        }),
        /"ok":true/,
        curl,
      );
    // As busybox has it, in the image.
    for (const body of ['', '{}']) {
      const wget = `wget -q -O - --header "Authorization: Bearer token-0123456789abcdef" --header "Content-Type: application/json" --post-data '${body}' http://127.0.0.1:9090/api/actions/check`;
      const { stdout, stderr } = await docker(['exec', 'app', 'sh', '-c', wget], { reject: false });
      assert.match(stdout, /"ok":true/, stderr);
    }
  });

  it('docker build of each target, and of an app in an image of one’s own, from a checkout', async () => {
    const checkout = mkdtempSync(path.join(os.tmpdir(), 'checkout-'));
    try {
      const { stdout } = await execa(
        'git',
        ['ls-files', '--cached', '--others', '--exclude-standard'],
        { cwd: ROOT },
      );
      for (const file of stdout.split('\n'))
        if (existsSync(path.join(ROOT, file)))
          cpSync(path.join(ROOT, file), path.join(checkout, file));
      assert.equal(documented.one('--target debian'), '--target debian');
      for (const command of documented.take(/^docker build /)) {
        const tree = /APP=(\S+)/.exec(command)?.[1];
        if (tree !== undefined)
          cpSync(path.join(ROOT, 'examples', 'app'), path.join(checkout, tree), {
            recursive: true,
          });
        const {
          exitCode,
          stdout: out,
          stderr,
        } = await execa('sh', ['-c', command], { cwd: checkout, reject: false });
        assert.equal(exitCode, 0, `${command}\n${out}\n${stderr}`);
        const image =
          /^Successfully built (\S+)$/m.exec(out)?.[1] ?? / -t (\S+)/.exec(command)?.[1] ?? '';
        const { stdout: baked } = await docker([
          'run',
          '--rm',
          '--entrypoint',
          '/bin/sh',
          image,
          '-c',
          'ls /usr/share/self-update/baked; node --version',
        ]);
        assert.match(baked, tree === undefined ? /^0\.0\.0\nv24/ : /^1\.2\.3\nv24/, command);
      }
    } finally {
      rmSync(checkout, { recursive: true });
    }
  });

  it('images that are derived: a service beside it, a baked app, another base, a second app', async () => {
    const page = readFileSync(path.join(ROOT, 'docs', 'getting-started.md'), 'utf8');
    const steps = documented.take(/^(?:FROM|COPY|RUN|ENV|ENTRYPOINT) /);
    const dockerfiles = page
      .split(/\n\n/)
      .filter((block) => /^ {4}FROM /.test(block))
      .map((block) => block.split('\n').map((line) => line.trim().replace(/\s+#.*$/, '')));
    assert.deepEqual([...new Set(dockerfiles.flat())].sort(), [...steps].sort());
    assert.equal(dockerfiles.length, 3);
    const script = ['#!/bin/sh', documented.one(/^exec env GH_REPO=second /)].join('\n');
    assert.equal(documented.one('#!/bin/sh'), '#!/bin/sh');
    for (const [i, lines] of dockerfiles.entries()) {
      const [from = '', ...rest] = lines.map((line) =>
        line
          .replaceAll(/(?<=^FROM |--from=)self-updating-container(?= |$)/g, IMAGES.product)
          .replace('eclipse-temurin:21-jre', 'node:24-bookworm-slim'),
      );
      const files = {
        'sidecar/run': '#!/bin/sh\nexec sleep 1000\n',
        'second/run': `${script}\n`,
        'tree/app': '#!/bin/sh\nexec sleep 1000\n',
        'tree/VERSION': '1.2.3',
      };
      const tag = `self-update-test:documented-${i}`;
      await derive(
        from.replace('FROM ', ''),
        tag,
        [...rest, 'COPY second/run /etc/service/second/run'].join('\n'),
        files,
      );
      await using container = await Container.run({ image: tag, env: { SLEEP: '3600' } });
      if (i === 0)
        await container.until('the service beside it runs', async () =>
          /sleep 1000/.test((await container.processes()).map(({ command }) => command).join('\n')),
        );
      else await container.publish('1.2.4');
      await container.until(
        'the status is told',
        async () => (await container.command('status')).exitCode === 0,
      );
      if (i === 1)
        assert.equal(
          (await container.exec(['ls', '/usr/share/self-update/baked'])).stdout,
          '1.2.3',
        );
      // The second updater is up, in its own directory.
      await container.until(
        'the second updater works',
        async () => (await container.exec(['test', '-d', '/data/second/state'])).exitCode === 0,
      );
    }
  });

  it('a release of this project, and a key for it', async () => {
    await using place = await Workplace.create();
    await place.succeeds(`${documented.one('minisign -G -W')} -f < /dev/null`, {
      HOME: place.directory,
    });
    assert.ok(existsSync(path.join(place.directory, '.minisign', 'minisign.key')));
    await signsAsDocumented(place);
    await execa('sh', ['-c', documented.one('scripts/release v1.2.3')], { cwd: ROOT });
    const files = readdirSync(path.join(ROOT, 'dist', 'release'));
    for (const name of ['checksums.txt', 'checksums.txt.minisig', 'sbom.cdx.json'])
      assert.ok(files.includes(name), files.join());
    const sums = readFileSync(path.join(ROOT, 'dist', 'release', 'checksums.txt'), 'utf8')
      .trim()
      .split('\n');
    for (const line of sums) {
      const [digest, name = ''] = line.split('  ');
      assert.equal(
        digest,
        createHash('sha256')
          .update(readFileSync(path.join(ROOT, 'dist', 'release', name)))
          .digest('hex'),
        name,
      );
    }
  });
});

/**
 * With the key that was just made; what is signed so is installed where a signature is asked for.
 */
async function signsAsDocumented(place: Workplace): Promise<void> {
  const [, publicKey = ''] = (await place.succeeds('cat minisign.pub')).split('\n');
  const bytes = await archive({ app: { content: '#!/bin/sh\nexec sleep 1000\n', mode: 0o755 } });
  place.write('app.tar.gz', bytes);
  for (const [i, command] of documented.take(/^minisign -S /).entries()) {
    await using _ = await named('signed');
    const tag = `v1.2.${3 + i}`;
    const filled = command.replaceAll('<file>', 'app.tar.gz').replaceAll(/<tag>|v1\.2\.3/g, tag);
    await place.succeeds(filled, { HOME: place.directory });
    place.github.publish(tag, {
      'app.tar.gz': bytes,
      'app.tar.gz.minisig': readFileSync(path.join(place.directory, 'app.tar.gz.minisig')),
    });
    const rules = `-e UPDATE_VERIFY=minisign -e UPDATE_MINISIGN_KEYS=${publicKey}`;
    await place.succeeds(
      `docker run -d --name signed ${rules} -e GH_USER=acme -e GH_REPO=app IMAGE`,
    );
    await place.until('docker exec signed self-update status', new RegExp(tag.slice(1)));
  }
}

/**
 * A command line of the documents as it may be typed: every option of it with and without, and
 * something for each placeholder.
 */
function formsOf(text: string): string[] {
  const filled = text
    .replace(' [command]', '')
    .replace(/<tag\|file>|<tag>/, 'v0.0.2')
    .replace(/<version>|\bVERSION\b/, '0.0.9')
    .replace(/^(self-update install)$/, '$1 v0.0.2')
    .replace(/^(self-update (?:approve|deny|retry))$/, '$1 0.0.9');
  const option = /\s?\[(--[\w-]+(?: seq)?)\]/.exec(filled);
  if (option === null) return [filled];
  return [
    filled.replace(option[0], ''),
    filled.replace(option[0], ` ${option[1]?.replace('seq', '3')}`),
  ];
}
