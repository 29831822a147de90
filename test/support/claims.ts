/**
 * How each documented command is tested. A command that no line here claims fails the tests, and so
 * does a line that claims nothing. To add one: `image` or `host` when it can be run, and a test in
 * test/container/documents.test.ts or test/docs-commands.test.ts that runs it by `documented(…)`;
 * those tests fail as long as it is claimed and not run. Otherwise one of the others, with the
 * reason.
 */
import { type Command, documentedCommands } from './documents.ts';

export type How =
  /** Run by test/container/documents.test.ts, in the image or on the machine with Docker. */
  | 'image'
  /** Run by test/docs-commands.test.ts, with nothing but Node and npm. */
  | 'host'
  /**
   * A script of package.json that is a whole suite or tool by itself: that it is there and knows
   * its options is looked at.
   */
  | 'script'
  /** Needs what no test machine has: only its syntax is looked at. */
  | 'elsewhere'
  /** Not meant to be typed. */
  | 'not a command';

export type Claim = { text: string | RegExp; file?: RegExp; how: How; why?: string };

export const CLAIMS: readonly Claim[] = [
  // Before what would claim it otherwise.
  {
    text: /^docker run -e GH_USER -e GH_REPO IMAGE$/,
    how: 'not a command',
    why: 'a way of speaking in a decision',
  },
  {
    text: /^docker build \$\(sed /,
    how: 'elsewhere',
    why: 'pulls by digest; test/deploy/release.test.ts looks at what sed makes of the lock',
  },

  {
    text: /^docker build -t registry\.example\.com\/acme\/app-watcher/,
    how: 'elsewhere',
    why: 'takes kubectl from its registry; scripts/kubernetes.ts runs the hook',
  },

  // The publisher's: needs no container.
  { text: /^self-update (?:index|lint)\b/, how: 'host' },
  { text: 'minisign -S -m releases/releases.json', how: 'host' },
  {
    text: /^--(?:platform LIST|as OWNER|sign KEYFILE)/,
    file: /^docs\/publishing\.md$/,
    how: 'not a command',
    why: 'names an option; test/product/lint.test.ts uses it',
  },

  {
    text: /^oras (?:push|attach) /,
    how: 'elsewhere',
    why: 'a client of its own; what version 1.3.6 made by these commands is in test/support/registry/oras-1.3.6',
  },

  // The command line: every form, in a container.
  { text: /^self-update\b/, how: 'image' },
  { text: /^docker (?:run|exec|logs) .*\b(?:IMAGE|app|NAME)\b/, how: 'image' },
  { text: 'docker run --tmpfs /run/self-update', how: 'image' },
  { text: 'docker exec … self-update update', how: 'image' },
  { text: /^docker build /, how: 'image' },
  { text: /^docker inspect --format /, how: 'image' },
  { text: /^docker top /, how: 'image' },
  { text: /^(?:FROM|COPY|RUN|ENV|ENTRYPOINT) /, how: 'image' },
  { text: /^#!\/bin\/sh$|^exec env GH_REPO=second /, how: 'image' },
  { text: /^-[ev] /, how: 'image' },
  { text: /^--(?:cap-drop|read-only|target) /, how: 'image' },
  { text: /^- run: npm ci --omit=dev /, how: 'image' },
  {
    text: /^(?:touch|rm|flock|\/usr\/lib\/self-update\/bin\/chpst -l) \/run\/self-update\/busy/,
    how: 'image',
  },
  { text: /^curl .* http:\/\/127\.0\.0\.1:9090\//, how: 'image' },
  { text: '/usr/lib/self-update/healthcheck', how: 'image' },
  { text: /^UPDATE_HEALTH_CMD=nc |^nc -w /, how: 'image' },
  { text: /^UPDATE_APP_COMMAND=node server\.js$|^node server\.js$/, how: 'image' },
  { text: /^UPDATE_(?:PRE_STOP|PRE_START|POST_UPDATE|NOTIFY)_CMD=\/opt\//, how: 'image' },
  { text: /^minisign -G -W$|^minisign -S -m \S+ -t 'file:/, how: 'image' },
  { text: "sudo sh -c 'umask 077; cat > /etc/app-token'", how: 'image' },
  { text: 'scripts/release v1.2.3', how: 'image' },

  // The checkout.
  { text: /^npm ci && npm (?:test|run (?:demo|build))$|^npm ci$/, how: 'host' },
  { text: /^export GH_USER=|^npm start$|^npx --no-install self-update /, how: 'host' },
  { text: 'npm run docs', how: 'host' },
  { text: /^node bin\/node\.js --test /, how: 'host' },
  { text: 'npm test', how: 'not a command', why: 'names the suite that this very test is part of' },
  {
    text: /^npm run /,
    how: 'script',
    why: 'they are what runs the tests, or take minutes to hours',
  },

  // Other platforms.
  {
    text: 'kubectl apply -f kubernetes.yaml',
    how: 'elsewhere',
    why: 'needs a cluster; the file and its probes are tested',
  },
  {
    text: /^kubectl (?:apply -f (?:fleetlock|app|in-place|watcher)\.yaml|exec app-1 |get lease )/,
    how: 'elsewhere',
    why: 'needs a cluster; scripts/kubernetes.ts applies these files to a real API server',
  },
  {
    text: /^- run: echo "ghcr\.io\//,
    how: 'elsewhere',
    why: 'a workflow of the app; scripts/kubernetes.ts packs the same',
  },
  {
    text: /^curl -H 'fleet-lock-protocol: true' /,
    how: 'elsewhere',
    why: 'needs a server of the lock; tried with airlock',
  },
  {
    text: 'airlock serve -v',
    how: 'elsewhere',
    why: 'test/container/fleet-compose.test.ts starts it by the file',
  },
  {
    text: 'docker compose exec airlock airlock ex get slots',
    how: 'elsewhere',
    why: "airlock's own, said by hand to its a3585ed in that example",
  },
  {
    text: 'docker compose up -d',
    how: 'elsewhere',
    why: 'needs the Compose plugin; test/container/fleet-compose.test.ts says it to docker-compose',
  },
  {
    text: /^- run: gh release create |^gh attestation trusted-root$/,
    how: 'elsewhere',
    why: 'needs an account at GitHub',
  },
  {
    text: /^minisign -Vm |^sha256sum --check --ignore-missing |^docker pull "|^gh attestation verify /,
    how: 'elsewhere',
    why: 'needs a release and its registry',
  },
  { text: 'npm audit', how: 'elsewhere', why: 'asks the registry; CI runs it' },

  { text: /^--sysctl /, how: 'image' },
  {
    text: /^UPDATE_(?:HTTP_ADDR|PRE_STOP_CMD)=/,
    file: /^docs\/drain\.md$/,
    how: 'elsewhere',
    why: 'settings of a recipe; test/container/drain.test.ts has them in a container',
  },

  // Text that looks like a command.
  { text: '--network host', how: 'not a command', why: 'names a way to run a container' },
  {
    text: /^--fd 3$|^UPDATE_APP_COMMAND="/,
    file: /held-sockets-apps/,
    how: 'not a command',
    why: 'how servers are started; test/world/hand-over-apps.test.ts starts them so',
  },
  {
    text: /^\/usr\/lib\/self-update\/(?:tini|bin\/(?:dash|runsvdir|sleep|node|chpst|socklog|busybox)) /,
    file: /permissions/,
    how: 'not a command',
    why: 'a process, as ps shows it',
  },
  { text: /^kill -?\d$/, how: 'not a command', why: 'names what is survived' },
  {
    text: /^docker (?:run|stop|top|exec|inspect|logs)$/,
    how: 'not a command',
    why: 'names a command of Docker',
  },
  {
    text: /^--(?:network host|cap-add NET_BIND_SERVICE)$/,
    how: 'not a command',
    why: 'names an option; test/container/held-sockets.test.ts uses it',
  },
  { text: 'cosign sign-blob', how: 'not a command', why: 'names a command of others' },
  { text: /^(?:ulimit -[nf]|--ulimit nofile)$/, how: 'not a command', why: 'names a limit' },
  {
    text: /^(?:tar -J|xz -9|tar -S --format=pax|wget -T|docker attach|docker run -i)$/,
    how: 'not a command',
    why: 'names an option; tests of archives and streams use it',
  },
  {
    text: /./,
    file: /^docs\/assets\.md$/,
    how: 'not a command',
    why: 'lines of a file of sums, read in test/trust/sums.test.ts',
  },
  {
    text: /^tag \S+ is not a version under /,
    how: 'not a command',
    why: 'a message, held by test/product/which-release.test.ts',
  },
  {
    text: 'npm start | head -1',
    how: 'not a command',
    why: 'names what is survived, in test/product/readers.test.ts',
  },
  { text: /./, file: /^docs\/architecture\.md$/, how: 'not a command', why: 'the directories' },
  {
    text: /^PID 1 |^[├└] /,
    file: /^docs\/container\.md$/,
    how: 'not a command',
    why: 'the processes',
  },
  {
    text: /^--secret source=/,
    how: 'not a command',
    why: 'an option that needs a swarm; test/container/secrets.test.ts tries files of such modes',
  },
  {
    text: /^volumes: \[\{ name: token/,
    how: 'not a command',
    why: 'a piece of a file for Kubernetes',
  },
  {
    text: /^scrape_configs:$|^- job_name: |^static_configs: /,
    how: 'not a command',
    why: 'a configuration of Prometheus; test/sight runs one',
  },
];

export function claimOf({ file, text }: Command): Claim | undefined {
  return CLAIMS.find(
    (claim) =>
      (claim.file?.test(file) ?? true) &&
      (typeof claim.text === 'string' ? claim.text === text : claim.text.test(text)),
  );
}

/** The documented commands of a kind, and which of them a test has taken. */
export class Documented {
  readonly #commands: Command[];
  readonly #taken = new Set<string>();

  constructor(how: How) {
    this.#commands = documentedCommands().filter((command) => claimOf(command)?.how === how);
  }

  /**
   * The texts that fit, each once, in the order of the documents; they count as run. Throws when
   * there are none.
   */
  take(pattern: string | RegExp): string[] {
    const fits = (text: string) =>
      typeof pattern === 'string' ? text === pattern : pattern.test(text);
    const texts = [...new Set(this.#commands.map(({ text }) => text).filter(fits))];
    if (texts.length === 0) throw new Error(`no documented command fits ${pattern}`);
    for (const text of texts) this.#taken.add(text);
    return texts;
  }

  /** The one that fits. */
  one(pattern: string | RegExp): string {
    const [text = '', ...others] = this.take(pattern);
    if (others.length > 0)
      throw new Error(`${pattern} fits several: ${[text, ...others].join(' | ')}`);
    return text;
  }

  /** Claimed, and not run by any test. */
  left(): string[] {
    return this.#commands
      .filter(({ text }) => !this.#taken.has(text))
      .map(({ file, line, text }) => `${file}:${line}: ${text}`);
  }
}
