/**
 * Writes the parts of the documentation that are made from the code (the settings, the statechart,
 * the schema of `status`), and the published image's name, which is `image` in package.json, into
 * the files that name it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import packageJson from '../package.json' with { type: 'json' };
import { settingsTable } from '../src/config/table.ts';
import { indexSchema } from '../src/effects/sources/releases-index.ts';
import { lintSchema } from '../src/lint/report.ts';
import { noticeSchema } from '../src/notify/notice.ts';
import { statusSchema } from '../src/report/status.ts';
import { statechartPage } from './chart-docs.ts';

const ROOT = path.join(import.meta.dirname, '..');

/**
 * What precedes the image's name, or its repository's. All other files use an image that was built
 * locally.
 */
const PUBLISHED: Record<string, RegExp> = {
  'deploy.yaml': /(?<=^ +image: )\S+$/m,
  'examples/deploy/kubernetes.yaml': /(?<=^ +image: )\S+$/m,
  'examples/fleet/kubernetes/app.yaml': /(?<=^ +image: )\S+$/m,
  'examples/kubernetes/in-place.yaml': /(?<=^ +image: )\S+$/m,
  'docs/security.md': /(?<=^ +gh attestation verify .* --repo )\S+$/m,
};

const SETTINGS = `# Settings

Everything is set by environment variables. All problems are reported at once, each with an example, and the exit status
is 78; nothing is touched then, and in the container the app starts all the same. Seconds may carry a unit (\`90\`, \`5m\`,
\`1h\`), bytes too (\`500M\`, \`1GiB\`). An empty variable is an unset one.

The app is given the whole environment but \`UPDATE_*\`; so are hooks and health commands, in the container without what steers a runtime or the
loader ([permissions.md](permissions.md#processes)). The updater's own process keeps the settings below,
\`PATH\`, \`HOME\`, \`TZ\`, \`LANG\`, \`LC_*\`, \`XDG_*\`, the proxies' variables, \`NODE_EXTRA_CA_CERTS\`, \`SSL_CERT_FILE\`, \`SSL_CERT_DIR\` and those of
terminals and colours, and no others. So \`NODE_OPTIONS\`, \`NODE_DEBUG\`, \`NODE_PATH\`, \`LD_PRELOAD\` or \`OPENSSL_CONF\` act on the app only. Outside of the
container, where you start Node yourself, Node has read them before any code of this program runs: the updater then starts itself once more
without them, and a variable that keeps Node from starting at all (\`--require\` of a missing file) belongs into \`UPDATE_APP_COMMAND\`
instead (\`env NODE_OPTIONS=--require=./start.js node server.js\`).

This table is made from \`src/config/settings.ts\` by \`npm run docs\`.

`;

/** The action of this repository, as other repositories' workflows name it. */
const ACTION = /[^\s/]+\/[^\s/]+(\/\.github\/actions\/lint@)\S+/g;

/** Files that name the published image or the action, as they have to be, by their path. */
export function published({ image, version } = packageJson): Record<string, string> {
  const repository = image.replace(/^[^/]+\//, '');
  const page = 'docs/publishing.md';
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  const images = Object.fromEntries(
    Object.entries(PUBLISHED).map(([file, pattern]) => {
      const text = readFileSync(path.join(ROOT, file), 'utf8');
      if (!pattern.test(text)) throw new Error(`${file} does not name the published image`);
      return [
        file,
        text.replace(pattern, file.endsWith('.md') ? repository : `${image}:v${version}`),
      ];
    }),
  );
  return { ...images, [page]: text.replaceAll(ACTION, `${repository}$1v${version}`) };
}

/** Generated files by their path below docs/. */
export function generated(): Record<string, string> {
  return {
    'settings.md': `${SETTINGS}${settingsTable()}\n`,
    'statechart.md': statechartPage(),
    'status.schema.json': `${JSON.stringify({ title: 'self-update status --json', ...z.toJSONSchema(statusSchema) }, null, 2)}\n`,
    'releases.schema.json': `${JSON.stringify({ title: 'releases.json of UPDATE_SOURCE=directory', ...z.toJSONSchema(indexSchema, { io: 'input' }) }, null, 2)}\n`,
    'lint.schema.json': `${JSON.stringify({ title: 'self-update lint --json', ...z.toJSONSchema(lintSchema) }, null, 2)}\n`,
    'notification.schema.json': `${JSON.stringify({ title: 'a notification', ...z.toJSONSchema(noticeSchema) }, null, 2)}\n`,
  };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(generated()))
    writeFileSync(path.join(ROOT, 'docs', name), text);
  for (const [file, text] of Object.entries(published()))
    writeFileSync(path.join(ROOT, file), text);
}
