/**
 * Builds the dashboard: script, style and statechart in one page that asks nobody else for
 * anything, and the policy that holds it to that.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';
import { drawStatechart } from './statechart.ts';

const SOURCES = path.join(import.meta.dirname, '..', 'src', 'web', 'dashboard');

export type Dashboard = { html: string; policy: string };

export async function buildDashboard(): Promise<Dashboard> {
  const [script, style, page] = await Promise.all([
    bundle('main.tsx'),
    bundle('style.css'),
    readFile(path.join(SOURCES, 'index.html'), 'utf8'),
  ]);
  // Functions: a "$&" in a script is no pattern.
  const html = page
    .replace('<!-- statechart -->', () => `${drawStatechart('RIGHT')}${drawStatechart('DOWN')}`)
    .replace('/* style */', () => style)
    .replace('/* script */', () => script);
  const policy = [
    "default-src 'none'",
    `script-src '${hashOf(script)}'`,
    `style-src '${hashOf(style)}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

async function bundle(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [path.join(SOURCES, name)],
    bundle: true,
    minify: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    target: ['es2022', 'safari16'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    charset: 'utf8',
  });
  // An end tag in a string would end the script.
  return (outputFiles[0]?.text ?? '').trim().replaceAll('</script', '<\\/script');
}

/** See "Content Security Policy Level 3", hash sources. */
function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
