/** Writes the parts of the documentation that are made from the code: the settings, the statechart, the schema of `status`. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { AnyStateNode } from 'xstate';
import * as z from 'zod';
import { settingsTable } from '../src/config/table.ts';
import { updaterMachine } from '../src/machines/updater.ts';
import { noticeSchema } from '../src/notify/notice.ts';
import { statusSchema } from '../src/report/status.ts';

const DOCS = path.join(import.meta.dirname, '..', 'docs');

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

const STATECHART = `# The machine

Made from \`src/machines/updater.ts\` by \`npm run docs\`. Facts are on the arrows, guards in brackets. An arrow without a fact
is taken at once. Not drawn: what changes only what is remembered (\`paused\`, \`resumed\`, \`holdReleased\`, \`versionRetried\`).

`;

/** Generated files by their path below docs/. */
export function generated(): Record<string, string> {
  return {
    'settings.md': `${SETTINGS}${settingsTable()}\n`,
    'statechart.md': `${STATECHART}${mermaid()}\n\n${descriptions()}\n`,
    'status.schema.json': `${JSON.stringify({ title: 'self-update status --json', ...z.toJSONSchema(statusSchema) }, null, 2)}\n`,
    'notification.schema.json': `${JSON.stringify({ title: 'a notification', ...z.toJSONSchema(noticeSchema) }, null, 2)}\n`,
  };
}

function mermaid(): string {
  const lines = ['```mermaid', 'stateDiagram-v2', '  direction TB', ...drawState(updaterMachine.root, 1), '```'];
  return lines.join('\n');
}

function drawState(node: AnyStateNode, depth: number): string[] {
  const indent = '  '.repeat(depth);
  const initial = node.initial?.target[0];
  const lines = initial ? [`${indent}[*] --> ${initial.key}`] : [];
  for (const child of Object.values(node.states)) {
    const inner = Object.keys(child.states).length > 0 ? [`${indent}state ${child.key} {`, ...drawState(child, depth + 1), `${indent}}`] : [];
    lines.push(...inner, ...drawTransitions(child, indent));
  }
  return lines;
}

function drawTransitions(node: AnyStateNode, indent: string): string[] {
  const arrows = new Map<string, string[]>();
  const groups = [...[...node.transitions].map(([event, transitions]) => ({ event, transitions })), { event: '', transitions: node.always ?? [] }];
  for (const { event, transitions } of groups) {
    for (const { target, guard } of transitions) {
      const [to] = target ?? [];
      if (!to) continue;
      const label = `${event}${guard === undefined ? '' : ` [${guardName(guard)}]`}`.trim();
      arrows.set(to.key, [...(arrows.get(to.key) ?? []), label]);
    }
  }
  return [...arrows].map(([to, labels]) => `${indent}${node.key} --> ${to}${labels.join('') === '' ? '' : `: ${labels.filter(Boolean).join(', ')}`}`);
}

function guardName(guard: unknown): string {
  if (typeof guard === 'string') return guard;
  const { type, guards } = guard as { type?: string; guards?: unknown[] };
  const inner = (guards ?? (typeof guard === 'function' ? (guard as unknown as { guards: unknown[] }).guards : undefined))?.map(guardName);
  if (inner === undefined) return type ?? 'otherwise';
  return (guard as { check?: { name: string } }).check?.name === 'checkNot' ? `not ${inner.join()}` : inner.join(' and ');
}

function descriptions(): string {
  const rows: string[] = ['| state | what happens |', '|---|---|'];
  const visit = (node: AnyStateNode, prefix: string): void => {
    for (const child of Object.values(node.states)) {
      rows.push(`| \`${prefix}${child.key}\` | ${child.description ?? ''} |`);
      visit(child, `${prefix}${child.key}.`);
    }
  };
  visit(updaterMachine.root, '');
  return rows.join('\n');
}

if (import.meta.main) for (const [name, text] of Object.entries(generated())) writeFileSync(path.join(DOCS, name), text);
