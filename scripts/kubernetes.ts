/**
 * The examples for Kubernetes against its real API, by `npm run kubernetes`: what each manifest
 * becomes, who may do what, and releases that roll out by the real product and the real hook. Not a
 * suite of CI: the programs are built from source, which takes minutes. Needs Go, kubectl and
 * Debian's etcd-server.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { archive } from '../test/support/app.ts';
import { Cluster } from '../test/support/kubernetes.ts';
import { type Description, reduced } from '../test/support/kubernetes-schema.ts';
import { Product } from '../test/support/product.ts';

const EXAMPLES = path.join(import.meta.dirname, '..', 'examples');
const DESCRIPTION = path.join(
  import.meta.dirname,
  '..',
  'test',
  'deploy',
  'kubernetes-openapi.json',
);
/** Of the examples. */
const KINDS = [
  'apps/v1 Deployment',
  'apps/v1 StatefulSet',
  'networking.k8s.io/v1 NetworkPolicy',
  'policy/v1 PodDisruptionBudget',
  'rbac.authorization.k8s.io/v1 Role',
  'rbac.authorization.k8s.io/v1 RoleBinding',
  'v1 PersistentVolumeClaim',
  'v1 Service',
  'v1 ServiceAccount',
];
const STRICT = ['--validate=strict', '-f'];
const GOOD = 'registry.example.com/good@sha256:';
const BAD = 'registry.example.com/bad@sha256:';

type Deployment = { spec: { template: { spec: { containers: { image: string }[] } } } };

/** The first time its programs are built. */
const BUILD_MS = 40 * 60 * 1000;

let cluster: Cluster;
before(
  async () => {
    cluster = await Cluster.start();
  },
  { timeout: BUILD_MS },
);
after(() => cluster?.[Symbol.asyncDispose]());

/** Where no pod is made that may more than the strictest profile allows. */
async function namespace(name: string): Promise<string> {
  await cluster.kubectl(['create', 'namespace', name]);
  const level = 'pod-security.kubernetes.io/enforce=restricted';
  await cluster.kubectl(['label', 'namespace', name, level]);
  await cluster.until('its service account is there', async () =>
    (await cluster.kubectl(['get', 'serviceaccounts', '-n', name, '-o', 'name'])).includes('/'),
  );
  return name;
}

const apply = (where: string, ...file: string[]) =>
  cluster.kubectl(['apply', '-n', where, ...STRICT, path.join(EXAMPLES, ...file)]);

async function isReady(where: string, what: string, replicas: number): Promise<boolean> {
  const { status } = await cluster.get<{ status: { readyReplicas?: number } }>(what, '-n', where);
  return status.readyReplicas === replicas;
}

async function may(where: string, account: string, ...what: string[]): Promise<boolean> {
  const as = `--as=system:serviceaccount:${where}:${account}`;
  const asked = cluster.kubectl(['auth', 'can-i', ...what, '-n', where, as]);
  return (await asked.catch(() => 'no')).trim() === 'yes';
}

describe('the description that CI checks the examples by', () => {
  it('is what the server says; where it is not there it is written', async () => {
    const whole = JSON.parse(await cluster.kubectl(['get', '--raw', '/openapi/v2'])) as Description;
    const text = `${JSON.stringify(reduced(whole, KINDS), null, 1)}\n`;
    if (!existsSync(DESCRIPTION)) writeFileSync(DESCRIPTION, text);
    assert.equal(readFileSync(DESCRIPTION, 'utf8'), text);
  });
});

describe('the examples, applied', () => {
  for (const [where, what, replicas, ...file] of [
    ['deploy', 'deployment/app', 1, 'deploy', 'kubernetes.yaml'],
    ['in-place', 'statefulset/app', 1, 'kubernetes', 'in-place.yaml'],
    ['watcher', 'statefulset/app-watcher', 1, 'kubernetes', 'watcher.yaml'],
    ['patched', 'deployment/app', 3, 'kubernetes', 'app.yaml'],
    ['lock', 'deployment/fleetlock', 1, 'fleet', 'kubernetes', 'fleetlock.yaml'],
    ['fleet', 'statefulset/app', 3, 'fleet', 'kubernetes', 'app.yaml'],
  ] as const)
    it(`make pods that the profile "restricted" admits: ${file.join('/')}`, async () => {
      await namespace(where);
      await apply(where, ...file);
      await cluster.until('all are ready', () => isReady(where, what, replicas));
    });

  it('let a node be drained of one pod, and of none while one is out for an update', async () => {
    const allowed = async () =>
      (await cluster.get<{ status: { disruptionsAllowed: number } }>('pdb/app', ...['-n', 'fleet']))
        .status.disruptionsAllowed;
    await cluster.until('one may go', async () => (await allowed()) === 1);
    const pod = await cluster.get<Parameters<Cluster['tell']>[0]>('pod/app-1', '-n', 'fleet');
    await cluster.tell(pod, false);
    await cluster.until('none may go', async () => (await allowed()) === 0);
  });

  it('give each pod of the fleet its own name', async () => {
    const { items } = await cluster.get<{
      items: { metadata: { name: string }; spec: { containers: { env: object[] }[] } }[];
    }>('pods', '-n', 'fleet');
    assert.deepEqual(items.map(({ metadata }) => metadata.name).sort(), [
      'app-0',
      'app-1',
      'app-2',
    ]);
    for (const { spec } of items)
      assert.match(JSON.stringify(spec.containers[0]?.env), /"UPDATE_FLEET_ID","valueFrom":/);
  });

  it('let the lock do what it does, and nothing else', async () => {
    const lease = 'leases.coordination.k8s.io';
    assert.ok(await may('lock', 'fleetlock', 'create', lease));
    for (const verb of ['get', 'update']) {
      assert.ok(await may('lock', 'fleetlock', verb, `${lease}/fleetlock-app`), verb);
      assert.ok(!(await may('lock', 'fleetlock', verb, `${lease}/other`)), verb);
    }
    assert.ok(!(await may('lock', 'fleetlock', 'list', 'pods')));
  });

  it('let the watcher change one Deployment, and nothing else', async () => {
    assert.ok(await may('watcher', 'app-watcher', 'patch', 'deployments.apps/app'));
    for (const what of [
      ['patch', 'deployments.apps/other'],
      ['delete', 'deployments.apps/app'],
      ['patch', 'replicasets.apps/app'],
      ['get', 'secrets'],
      ['create', 'pods'],
    ])
      assert.ok(!(await may('watcher', 'app-watcher', ...what)), what.join(' '));
  });
});

describe('a watcher of releases', () => {
  let product: Product;
  before(async () => {
    const where = await namespace('rollout');
    await apply(where, 'kubernetes', 'watcher.yaml');
    await apply(where, 'kubernetes', 'app.yaml');
    await cluster.until('the app runs', () => isReady(where, 'deployment/app', 3));
    // For a test of two minutes; the file says when a rollout counts as failed.
    const soon = '{"spec":{"progressDeadlineSeconds":5}}';
    await cluster.kubectl(['patch', 'deployment/app', '-n', where, '-p', soon]);
    const token = await cluster.kubectl(['create', 'token', 'app-watcher', '-n', where]);
    const kubeconfig = path.join(cluster.directory, 'watcher.yaml');
    cluster.configure(kubeconfig, token.trim());
    const config = ['--kubeconfig', kubeconfig, 'config', 'set-context', 'it'];
    await cluster.kubectl([...config, `--namespace=${where}`]);
    const { spec } = await cluster.get<{
      spec: {
        template: { spec: { containers: { env: { name: string; value: string }[] }[] } };
      };
    }>('statefulset/app-watcher', '-n', where);
    const env = Object.fromEntries(
      (spec.template.spec.containers[0]?.env ?? [])
        .filter(({ name }) => !name.startsWith('GH_') && name !== 'HOME')
        .map(({ name, value }) => [
          name,
          value.replace('/opt/', `${path.join(EXAMPLES, 'kubernetes')}/`),
        ]),
    );
    product = await Product.create({
      baked: null,
      env: {
        ...env,
        KUBECONFIG: kubeconfig,
        UPDATE_STRATEGY: 'download-then-kill',
        SLEEP: '3600',
      },
    });
  });
  after(() => product?.dispose());

  const publish = async (version: string, image: string) =>
    product.github.publish(`v${version}`, {
      'deploy.tar.gz': await archive({ image: { content: `${image}${'0'.repeat(64)}\n` } }),
    });
  const imageOf = async () => {
    const { spec } = await cluster.get<Deployment>('deployment/app', '-n', 'rollout');
    return spec.template.spec.containers[0]?.image ?? '';
  };
  const say = (args: string[]) => product.command(args);

  it('rolls the first one out, and says that it is healthy when the rollout is complete', async () => {
    await publish('1.0.1', GOOD);
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.1');
    assert.ok((await imageOf()).startsWith(GOOD));
    assert.ok(await isReady('rollout', 'deployment/app', 3));
  });

  it('undoes one that does not become ready, and denies it', async () => {
    await publish('1.0.2', BAD);
    await say(['check']);
    const failed = await product.fact('hookFailed', ({ code }) => code === 'PRE_START_HOOK_FAILED');
    await product.fact('appStarted', ({ version, seq }) => version === '1.0.1' && seq > failed.seq);
    assert.ok((await imageOf()).startsWith(GOOD));
    await cluster.until('the old pods serve', () => isReady('rollout', 'deployment/app', 3));
    const { denied } = await product.status();
    assert.deepEqual(
      denied.map(({ version }) => version),
      ['1.0.2'],
    );
  });

  it('waits while something else is rolled out, and does so when that is over', async () => {
    const other = (image: string) =>
      cluster.kubectl(['set', 'image', 'deployment/app', `app=${image}`, '-n', 'rollout']);
    await other('registry.example.com/bad:by-hand');
    await publish('1.0.3', `${GOOD.replace('good', 'good-3')}`);
    await say(['check']);
    await product.logged(/HOOK_DEFERRED/);
    await cluster.kubectl(['rollout', 'undo', 'deployment/app', '-n', 'rollout']);
    await say(['update']);
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.3');
    assert.ok((await imageOf()).includes('good-3@'));
  });
});
