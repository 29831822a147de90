/**
 * Every example for Kubernetes against its own description, strictly, and what is not in there: that
 * names fit together, and that the settings exist. `npm run kubernetes` tries them for real.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { settingNames } from '../../src/config/settings.ts';
import { checker, type Description, type Manifest } from '../support/kubernetes-schema.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const description = JSON.parse(read('test/deploy/kubernetes-openapi.json')) as Description;
const check = checker(description);
const documents = (file: string): Manifest[] =>
  parseAllDocuments(read(file)).map((one) => one.toJS() as Manifest);

const FILES = [
  'examples/deploy/kubernetes.yaml',
  ...globSync('examples/{kubernetes,fleet/kubernetes}/*.yaml', { cwd: ROOT }),
];
const isWorkload = ({ kind }: Manifest) => kind === 'StatefulSet' || kind === 'Deployment';

describe('an example for Kubernetes', () => {
  it('is there for each path', () => assert.equal(FILES.length, 6, FILES.join()));

  for (const file of FILES) {
    it(`is as Kubernetes describes its objects (${file})`, () => {
      assert.deepEqual(documents(file).flatMap(check), []);
    });

    it(`fits together (${file})`, () => {
      const all = documents(file);
      const accounts = all.filter(({ kind }) => kind === 'ServiceAccount');
      const workloads = all.filter(isWorkload);
      assert.ok(workloads.length > 0);
      for (const { kind, metadata, spec } of workloads) {
        assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels);
        const { serviceAccountName, volumes = [], containers } = spec.template.spec;
        if (serviceAccountName !== undefined)
          assert.ok(accounts.some((one) => one.metadata.name === serviceAccountName));
        const claims = (spec.volumeClaimTemplates ?? []) as Manifest[];
        const known = [...volumes, ...claims.map((one) => one.metadata)].map(({ name }) => name);
        for (const { volumeMounts = [] } of containers)
          for (const { name } of volumeMounts) assert.ok(known.includes(name), `${kind} ${name}`);
        assert.equal(typeof metadata.name, 'string');
      }
      const labels = workloads.map(({ spec }) => spec.template.metadata.labels.app);
      for (const { kind, spec } of all)
        if (kind === 'Service') assert.ok(labels.includes(spec.selector.app), file);
    });

    it(`names only settings that exist (${file})`, () => {
      for (const { spec } of documents(file).filter(isWorkload))
        for (const { env = [] } of spec.template.spec.containers)
          for (const { name } of env as { name: string }[])
            if (/^(?:UPDATE_|GH_)/.test(name))
              assert.ok((settingNames as string[]).includes(name), name);
    });
  }

  it('is refused with a field that nobody knows, and with a wrong one (negative control)', () => {
    const [first] = documents('examples/fleet/kubernetes/app.yaml');
    assert.ok(first);
    const changed = (change: (copy: Manifest) => void) => {
      const copy = structuredClone(first);
      change(copy);
      return check(copy).join();
    };
    assert.match(
      changed((copy) => {
        copy.spec.template.spec.containers[0].readinessProb = {};
      }),
      /readinessProb/,
    );
    assert.match(
      changed((copy) => {
        copy.spec.replicas = 'three';
      }),
      /replicas must be integer/,
    );
  });
});

describe('examples/fleet/compose', () => {
  it('names only settings that exist, and gives each app a name and a volume of its own', () => {
    const { services } = parse(read('examples/fleet/compose/compose.yaml'), { merge: true }) as {
      services: Record<string, { environment?: Record<string, string>; volumes: string[] }>;
    };
    const apps = Object.entries(services).filter(([, { environment }]) => environment);
    assert.equal(apps.length, 3);
    for (const [name, { environment = {}, volumes }] of apps) {
      assert.equal(environment['UPDATE_FLEET_ID'], name);
      assert.deepEqual(volumes, [`${name}:/data`]);
      for (const setting of Object.keys(environment))
        assert.ok((settingNames as string[]).includes(setting), setting);
    }
  });
});
