/**
 * The image's HEALTHCHECK, in both images: by address and by command, as the updater's own check
 * judges.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { docker, type Output } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';
import { freePort } from '../support/product.ts';

const BASES = { small: IMAGES.product, Debian: IMAGES.productOnDebian };
const CHECK = '/usr/lib/self-update/healthcheck';
const SERVER = `#!/usr/bin/env node
const { readFileSync } = require('node:fs');
const answer = ({ url }, response) => {
  if (url === '/hangs') return;
  if (url === '/redirects') return response.writeHead(302, { location: '/' }).end();
  if (url === '/silent') return response.writeHead(200).flushHeaders();
  if (url === '/floods') { response.writeHead(200); return setInterval(() => response.write('x'.repeat(65536)), 1); }
  response.writeHead(url === '/empty' ? 204 : url === '/sorry' ? 503 : 200).end('fine');
};
require('node:http').createServer(answer).listen(process.env.PORT, '127.0.0.1');
require('node:https').createServer({ key: readFileSync('/opt/key'), cert: readFileSync('/opt/cert') }, answer).listen(process.env.TLS_PORT, '127.0.0.1');
`;
let directory: string;

describe("the image's health check", () => {
  before(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'health-'));
    const [key, cert] = [path.join(directory, 'key'), path.join(directory, 'cert')];
    const options = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
    ];
    await execa('openssl', ['req', '-x509', ...options, '-keyout', key, '-out', cert]);
    const files = {
      'opt/server': SERVER,
      'opt/key': readFileSync(key, 'utf8'),
      'opt/cert': readFileSync(cert, 'utf8'),
    };
    for (const [name, base] of Object.entries(BASES))
      await derive(base, `self-update-test:health-${name.toLowerCase()}`, 'COPY opt /opt', files);
  });
  after(async () => {
    rmSync(directory, { recursive: true, force: true });
    for (const name of Object.keys(BASES))
      await docker(['rmi', '--force', `self-update-test:health-${name.toLowerCase()}`], {
        reject: false,
      });
  });

  for (const name of Object.keys(BASES))
    it(`judges by status and headers, within its time, and leaves nothing behind: ${name}`, async () => {
      const tlsPort = await freePort();
      const image = `self-update-test:health-${name.toLowerCase()}`;
      await using container = await Container.run({
        image,
        env: { UPDATE_APP_COMMAND: '/opt/server', TLS_PORT: String(tlsPort) },
      });
      await container.until('it answers', async () => (await container.ask('/')) === 'fine');
      const check = (env: Record<string, string>): Promise<Output> =>
        container.exec(
          [CHECK],
          Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
        );
      const at = (place: string, timeout = '30') =>
        check({
          UPDATE_HEALTH_TIMEOUT: timeout,
          UPDATE_HEALTH_URL: `http://127.0.0.1:${container.port}${place}`,
        });
      for (const place of ['', '/', '/?a=b&c=d', '/empty', '/silent', '/floods'])
        assert.deepEqual(await at(place), { exitCode: 0, stdout: '0.0.1', stderr: '' }, place);
      assert.match((await at('/redirects')).stdout, /^HTTP\/1.1 302 /);
      assert.match((await at('/sorry')).stdout, /^HTTP\/1.1 503 /);
      const hung = await at('/hangs', '2');
      assert.deepEqual(
        [hung.exitCode, hung.stdout],
        [1, 'the health check took longer than 2 s\n0.0.1'],
      );
      // A proxy is for the world outside.
      assert.equal(
        (
          await check({
            UPDATE_HEALTH_URL: `http://localhost:${container.port}/`,
            http_proxy: 'http://127.0.0.1:9',
          })
        ).exitCode,
        0,
      );

      const secure = { UPDATE_HEALTH_URL: `https://localhost:${tlsPort}/` };
      assert.deepEqual(await check({ ...secure, NODE_EXTRA_CA_CERTS: '/opt/cert' }), {
        exitCode: 0,
        stdout: '0.0.1',
        stderr: '',
      });
      assert.match((await check(secure)).stdout, /self-signed certificate/);
      const redirects = {
        UPDATE_HEALTH_URL: `https://localhost:${tlsPort}/redirects`,
        NODE_EXTRA_CA_CERTS: '/opt/cert',
      };
      assert.deepEqual(
        [(await check(redirects)).exitCode, (await check(redirects)).stdout],
        [1, 'status 302\n0.0.1'],
      );

      assert.equal((await check({ UPDATE_HEALTH_CMD: 'true' })).exitCode, 0);
      assert.deepEqual(
        [
          (await check({ UPDATE_HEALTH_CMD: 'echo why; exit 7' })).exitCode,
          (await check({ UPDATE_HEALTH_CMD: 'echo why; exit 7' })).stdout,
        ],
        [7, 'why\n0.0.1'],
      );
      assert.equal((await check({ UPDATE_HEALTH_CMD: 'sleep 4001 & exit 0' })).exitCode, 0);
      assert.equal((await check({ UPDATE_HEALTH_CMD: 'setsid sleep 4003 & exit 0' })).exitCode, 0);
      assert.equal(
        (
          await check({
            UPDATE_HEALTH_CMD: 'setsid setsid sh -c "sleep 4004; :" > /dev/null 2>&1 & exit 7',
          })
        ).exitCode,
        7,
      );
      assert.equal(
        (await check({ UPDATE_HEALTH_TIMEOUT: '1', UPDATE_HEALTH_CMD: 'sleep 4002; true' }))
          .exitCode,
        1,
      );
      assert.equal(
        (await check({ UPDATE_HEALTH_CMD: `nc -w 3 127.0.0.1 ${container.port} -e true` }))
          .exitCode,
        0,
      );
      const left = (await container.processes())
        .map(({ command }) => command)
        .filter((command) => /sleep 400|wget|healthcheck/.test(command));
      assert.deepEqual(left, []);
    });

  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`makes the container healthy for Docker: ${profile}, read-only, no new privileges`, async () => {
      const port = await freePort();
      const run = [
        ...PROFILES[profile],
        ...HARDENED,
        '--health-interval',
        '1s',
        '--health-start-period',
        '0s',
      ];
      await using healthy = await Container.run({
        port,
        run,
        env: { UPDATE_HEALTH_URL: `http://127.0.0.1:${port}/` },
      });
      await healthy.until(
        'Docker says healthy',
        async () => (await healthy.inspect<string>('.State.Health.Status')) === 'healthy',
      );
      // Where an image's tag would be looked for.
      const told = async () =>
        (await healthy.inspect<{ Output: string }[]>('.State.Health.Log')).at(-1)?.Output;
      await healthy.until('Docker shows the version', async () => (await told()) === '0.0.1\n');
      await healthy.publish('0.0.2');
      assert.equal((await healthy.command('update')).exitCode, 0);
      await healthy.until('Docker shows the new version', async () => (await told()) === '0.0.2\n');
      // And in docker top, by who sleeps until the next check.
      await healthy.until('the updater’s process is named by it', async () =>
        (await healthy.processes()).some(({ command }) =>
          /^self-update: 0\.0\.2 runs, sleep \d+$/.test(command),
        ),
      );
    });

  it('has an updater that is named by the version, also where the app was down for a moment', async () => {
    await using container = await Container.run({
      env: {
        SLEEP: '3600',
        UPDATE_POST_UPDATE_CMD:
          'read -r pid _ < /run/self-update/private/app.started && kill -KILL "$pid"',
      },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('oldVersionsRemoved', ({ seq }) => seq > 10);
    await container.until('the updater sleeps, named by what runs', async () =>
      (await container.processes()).some(({ command }) =>
        /^self-update: 0\.0\.2 runs, sleep \d+$/.test(command),
      ),
    );
  });
});
