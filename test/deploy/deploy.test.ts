/**
 * The deployment files: Akash's by Akash's own parser, the others by what they have to say. `npm
 * run test:deploy`.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { settingNames } from '../../src/config/settings.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const read = (...file: string[]): string => readFileSync(path.join(ROOT, ...file), 'utf8');

type Manifest = {
  services: {
    image: string;
    env: string[];
    count: number;
    resources: { storage: { name: string; attributes?: { key: string; value: string }[] }[] };
  }[];
}[];
type Sdl = {
  manifest(asString?: boolean): Manifest;
  manifestVersion(): Promise<Uint8Array>;
  groups(): unknown[];
};
const { SDL } = createRequire(import.meta.url)('@akashnetwork/akashjs/build/sdl') as {
  SDL: { fromString(yaml: string, version?: string): Sdl };
};

describe('deploy.yaml, by Akash’s own parser', () => {
  it('is one service with one persistent volume, and the client’s settings', () => {
    const [group] = SDL.fromString(read('deploy.yaml'), 'beta3').manifest();
    assert.equal(group?.services.length, 1);
    const [service] = group?.services ?? [];
    assert.equal(service?.count, 1);
    const persistent = service?.resources.storage.filter(({ attributes }) =>
      attributes?.some(({ key, value }) => key === 'persistent' && value === 'true'),
    );
    assert.deepEqual(
      persistent?.map(({ name }) => name),
      ['data'],
    );
    for (const name of ['GH_USER', 'GH_REPO', 'SLEEP', 'SVWAIT', 'VERBOSE'])
      assert.ok(
        service?.env.some((entry) => entry.startsWith(`${name}=`)),
        name,
      );
    assert.doesNotMatch(service?.image ?? '', /:latest$/);
  });

  it('has a manifest that can be deployed: groups and a version', async () => {
    const sdl = SDL.fromString(read('deploy.yaml'), 'beta3');
    assert.equal(sdl.groups().length, 1);
    assert.equal((await sdl.manifestVersion()).length, 32);
  });

  for (const [what, change] of [
    [
      'a volume that no profile knows',
      (yaml: string) => yaml.replace('- name: data', '- name: other'),
    ],
    [
      'a placement that is not there',
      (yaml: string) => yaml.replace(/^ {4}akash:$/m, '    elsewhere:'),
    ],
    [
      'a compute profile that is not there',
      (yaml: string) => yaml.replace('profile: app', 'profile: none'),
    ],
  ] as const) {
    it(`is refused with ${what} (negative control)`, () => {
      assert.throws(() => SDL.fromString(change(read('deploy.yaml')), 'beta3').manifest());
    });
  }
});

describe('every deployment file', () => {
  it('names only settings that exist', () => {
    const compose = parse(read('examples', 'deploy', 'compose.yaml')) as {
      services: { app: { environment: Record<string, string> } };
    };
    const kubernetes = deployment().containers[0]?.env.map(({ name }) => name) ?? [];
    for (const name of [...Object.keys(compose.services.app.environment), ...kubernetes])
      assert.ok((settingNames as string[]).includes(name), name);
  });
});

describe('compose.yaml', () => {
  it('keeps one volume, rotates its logs, and gives the app longer to stop than SVWAIT', () => {
    const { services } = parse(read('examples', 'deploy', 'compose.yaml'));
    const { app } = services;
    assert.deepEqual(app.volumes, ['data:/data']);
    assert.deepEqual(Object.keys(app.logging.options).sort(), ['max-file', 'max-size']);
    assert.ok(Number.parseInt(app.stop_grace_period, 10) > 8);
    assert.deepEqual(app.cap_add, ['SETUID', 'SETGID', 'KILL', 'CHOWN']);
  });
});

type PodSpec = {
  securityContext: Record<string, unknown>;
  containers: {
    env: { name: string }[];
    livenessProbe: Record<string, unknown>;
    readinessProbe: Record<string, unknown>;
    securityContext: Record<string, unknown>;
    volumeMounts: { mountPath: string }[];
  }[];
};

function deployment(): PodSpec {
  const documents = parseAllDocuments(read('examples', 'deploy', 'kubernetes.yaml')).map(
    (document) => document.toJS(),
  );
  return documents.find(({ kind }) => kind === 'Deployment').spec.template.spec;
}

describe('kubernetes.yaml', () => {
  it('is one replica that is recreated, unprivileged, with writable places for a read-only root', () => {
    const documents = parseAllDocuments(read('examples', 'deploy', 'kubernetes.yaml')).map(
      (document) => document.toJS(),
    );
    const { spec } = documents.find(({ kind }) => kind === 'Deployment');
    assert.deepEqual([spec.replicas, spec.strategy.type], [1, 'Recreate']);
    const pod = deployment();
    assert.equal(pod.securityContext['fsGroup'], 1000);
    const [app] = pod.containers;
    assert.equal(app?.securityContext['readOnlyRootFilesystem'], true);
    assert.deepEqual(app?.volumeMounts.map(({ mountPath }) => mountPath).sort(), [
      '/data',
      '/run/self-update',
      '/tmp',
    ]);
  });

  it('is alive by the health check that knows of updates, not by a request that an update makes fail', () => {
    assert.deepEqual(Object.keys(deployment().containers[0]?.livenessProbe ?? {})[0], 'exec');
  });

  it('is ready by HTTP: a TCP probe of a held socket always passes', () => {
    assert.deepEqual(Object.keys(deployment().containers[0]?.readinessProbe ?? {})[0], 'httpGet');
    for (const file of ['kubernetes.yaml', 'compose.yaml'])
      assert.doesNotMatch(read('examples', 'deploy', file), /^[^#]*(?:tcpSocket|nc -)/m, file);
  });
});
