/**
 * A real Kubernetes API without nodes: kube-apiserver and kube-controller-manager, built from their
 * Go modules into a cache (some minutes, once), with Debian's etcd. The kubelets' part is played:
 * what a pod would do is decided by its image's name.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './product.ts';

export const VERSION = '1.36.3';
const CACHE = path.join(
  process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'),
  'self-update-tests',
  `kubernetes-${VERSION}`,
);
const PROGRAMS = ['kube-apiserver', 'kube-controller-manager'] as const;
const CONTROLLERS =
  'deployment,replicaset,statefulset,disruption,serviceaccount,namespace,root-ca-certificate-publisher-controller';
const PATIENCE_MS = 120_000;

type Pod = {
  metadata: { name: string; namespace: string };
  spec: { containers: { name: string; image: string }[] };
  status: { phase?: string; conditions?: { type: string; status: string }[] };
};

/** The modules that a release of Kubernetes is made of have versions of their own. */
async function build(): Promise<void> {
  if (PROGRAMS.every((program) => existsSync(path.join(CACHE, program)))) return;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'kubernetes-'));
  const env = { GOFLAGS: '-mod=mod' };
  const go = (args: string[]) => execa('go', args, { cwd: directory, env, stderr: 'inherit' });
  const head = `module tried\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v${VERSION}\n`;
  writeFileSync(path.join(directory, 'go.mod'), head);
  const { stdout } = await go(['mod', 'download', '-json', `k8s.io/kubernetes@v${VERSION}`]);
  const own = readFileSync((JSON.parse(stdout) as { GoMod: string }).GoMod, 'utf8');
  const staged = [...own.matchAll(/^\t(\S+) => \.\/staging\//gm)].map(
    ([, name]) => `replace ${name} => ${name} v${VERSION.replace('1.', '0.')}\n`,
  );
  writeFileSync(path.join(directory, 'go.mod'), head + staged.join(''));
  mkdirSync(CACHE, { recursive: true });
  const flags = `-s -w -X k8s.io/component-base/version.gitVersion=v${VERSION}`;
  for (const program of PROGRAMS) {
    const source = `k8s.io/kubernetes/cmd/${program}`;
    await go(['build', '-p', '2', '-ldflags', flags, '-o', path.join(CACHE, program), source]);
  }
  rmSync(directory, { recursive: true });
}

export class Cluster {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'cluster-'));
  readonly kubeconfig = path.join(this.directory, 'admin.yaml');
  /** Images whose pods never become ready. */
  readonly bad = /bad/;
  readonly #processes: ChildProcess[] = [];
  #server = '';
  #isOver = false;
  #kubelets: Promise<void> = Promise.resolve();

  static async start(): Promise<Cluster> {
    await build();
    const cluster = new Cluster();
    await cluster.#start();
    return cluster;
  }

  async #start(): Promise<void> {
    const [etcd, peer, api] = [await freePort(), await freePort(), await freePort()];
    const at = (name: string) => path.join(this.directory, name);
    await execa('openssl', ['genrsa', '-out', at('sa.key'), '2048']);
    writeFileSync(at('tokens.csv'), 'admin-token,admin,1,"system:masters"\n');
    this.#server = `https://127.0.0.1:${api}`;
    this.configure(this.kubeconfig, 'admin-token');
    this.#run('etcd', {
      'data-dir': at('etcd'),
      'listen-client-urls': `http://127.0.0.1:${etcd}`,
      'advertise-client-urls': `http://127.0.0.1:${etcd}`,
      'listen-peer-urls': `http://127.0.0.1:${peer}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${peer}`,
      'initial-cluster': `default=http://127.0.0.1:${peer}`,
    });
    this.#run(path.join(CACHE, 'kube-apiserver'), {
      'etcd-servers': `http://127.0.0.1:${etcd}`,
      'bind-address': '127.0.0.1',
      'secure-port': String(api),
      'cert-dir': at('certificates'),
      'service-account-key-file': at('sa.key'),
      'service-account-signing-key-file': at('sa.key'),
      'service-account-issuer': 'https://kubernetes.default.svc',
      'token-auth-file': at('tokens.csv'),
      'authorization-mode': 'RBAC',
      'service-cluster-ip-range': '10.96.0.0/16',
      'endpoint-reconciler-type': 'none',
    });
    await this.until('the API answers', async () => {
      const { exitCode } = await this.#kubectl(['get', '--raw', '/readyz']);
      return exitCode === 0;
    });
    this.#run(path.join(CACHE, 'kube-controller-manager'), {
      kubeconfig: this.kubeconfig,
      'service-account-private-key-file': at('sa.key'),
      'leader-elect': 'false',
      'secure-port': '0',
      controllers: CONTROLLERS,
    });
    this.#kubelets = this.#playKubelets();
  }

  #run(program: string, options: Record<string, string>): void {
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    this.#processes.push(spawn(program, args, { stdio: 'ignore' }));
  }

  /** A kubeconfig for whoever has this token. */
  configure(file: string, token: string): void {
    const cluster = { server: this.#server, 'insecure-skip-tls-verify': true };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'it', cluster }],
      users: [{ name: 'it', user: { token } }],
      contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
      'current-context': 'it',
    };
    writeFileSync(file, JSON.stringify(config));
  }

  #kubectl(args: readonly string[], input = '') {
    const all = ['--kubeconfig', this.kubeconfig, ...args];
    return execa('kubectl', all, { reject: false, input, env: { HOME: this.directory } });
  }

  /** As the administrator. Rejects with what it said when it fails. */
  async kubectl(args: readonly string[], input = ''): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#kubectl(args, input);
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }

  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
      await sleep(200);
    }
  }

  /** Says of a pod what its kubelet would. */
  async tell({ metadata, spec }: Pod, isReady: boolean): Promise<void> {
    const status = isReady ? 'True' : 'False';
    const patch = {
      status: {
        phase: 'Running',
        conditions: ['Ready', 'ContainersReady'].map((type) => ({ type, status })),
        containerStatuses: spec.containers.map(({ name, image }) => ({
          ...{ name, image, imageID: image, ready: isReady, restartCount: 0 },
          state: { running: { startedAt: new Date().toISOString() } },
        })),
      },
    };
    const pod = ['patch', 'pod', metadata.name, '-n', metadata.namespace];
    await this.#kubectl([...pod, '--subresource=status', '-p', JSON.stringify(patch)]);
  }

  async #playKubelets(): Promise<void> {
    while (!this.#isOver) {
      const { stdout } = await this.#kubectl(['get', 'pods', '-A', '-o', 'json']);
      const { items } = (stdout === '' ? { items: [] } : JSON.parse(stdout)) as { items: Pod[] };
      for (const pod of items) {
        if (pod.spec.containers.some(({ image }) => this.bad.test(image))) continue;
        if (pod.status.phase !== 'Pending' || this.#isOver) continue;
        await this.tell(pod, true);
      }
      await sleep(300);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#kubelets;
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
