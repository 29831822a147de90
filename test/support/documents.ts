/**
 * Reads the commands out of the documents: blocks of pages, commands in running text and in tables,
 * comments and probes of examples, and the `example` of each setting. test/support/claims.ts says
 * of each how it is tested.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { metaOf, settingNames } from '../../src/config/settings.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

/**
 * A line that somebody may type, or put into a setting or a Dockerfile: continuations joined,
 * comments cut off, blanks made one.
 */
export type Command = { file: string; line: number; text: string };

/**
 * What a span of code has to begin with to be a command. Words that only name a program (`docker`)
 * are none.
 */
const PROGRAMS =
  /^(?:-{1,2}[a-z][a-z-]* +\S|(?:docker|kubectl|npm|npx|node|self-update|curl|wget|nc|gh|git|minisign|gpg|cosign|openssl|tar|unzip|zip|xz|bzip2|zstd|sha256sum|shasum|touch|rm|cp|flock|kill|sqlite3|apt-get|goreleaser|scripts\/\S+|\/usr\/lib\/\S+|ulimit) +\S)/;

/** Blocks whose fence names another language are no commands. */
const SHELL_FENCES = new Set(['', 'sh', 'bash', 'shell', 'console', 'dockerfile', 'Dockerfile']);

/** Every page of the repository but the history of changes, which tells what commands were. */
function pages(): string[] {
  return filesBelow('.', /\.md$/).filter((file) => file !== 'CHANGELOG.md');
}

export function documentedCommands(): Command[] {
  return [
    ...pages().flatMap((file) => commandsOfPage(file, read(file))),
    ...[...filesBelow('examples', /\.(?:ya?ml|sh|js)$/), 'deploy.yaml', 'Dockerfile'].flatMap(
      (file) => commandsOfExample(file, read(file)),
    ),
    ...settingExamples(),
  ];
}

/** Every `NAME=value` of a setting that is written anywhere in the documents. */
export function documentedSettings(): Command[] {
  const names = new Set<string>(settingNames);
  const files = [...pages(), ...filesBelow('examples', /\.(?:ya?ml|sh|js)$/), 'deploy.yaml'];
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) =>
        [...line.matchAll(/\b([A-Z][A-Z0-9_]+)=("[^"]*"|'[^']*'|[^\s`"'|;,)]*)/g)]
          .filter(([, name = '', value = '']) => names.has(name) && value !== '')
          .map(([, name, value = '']) => ({
            file,
            line: i + 1,
            text: `${name}=${value.replace(/^(["'])(.*)\1$/, '$2').replace(/\.$/, '')}`,
          })),
      ),
  );
}

export function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** Pages of the repository's own: no packages, nothing that is built. */
function filesBelow(directory: string, pattern: RegExp): string[] {
  return readdirSync(path.join(ROOT, directory), { withFileTypes: true })
    .flatMap((entry) => {
      const file = path.posix.join(directory, entry.name);
      if (entry.isDirectory())
        return /^(?:node_modules|dist|coverage|test|\..*)$/.test(entry.name)
          ? []
          : filesBelow(file, pattern);
      return pattern.test(entry.name) ? [file] : [];
    })
    .sort();
}

export function commandsOfPage(file: string, text: string): Command[] {
  const found: Command[] = [];
  const lines = text.split('\n');
  let fence: string | null = null;
  let isBlock = false;
  let wasBlank = true;
  let block: Line[] = [];
  const endBlock = () => {
    found.push(...joined(block).map(({ text: one, line }) => ({ file, line, text: one })));
    block = [];
  };
  for (const [i, line] of lines.entries()) {
    const opening = /^ {0,3}```\s*(\S*)/.exec(line);
    if (opening) {
      endBlock();
      fence = fence === null ? (opening[1] ?? '') : null;
      continue;
    }
    isBlock = fence !== null || (/^ {4}/.test(line) && (isBlock || wasBlank));
    if (fence !== null && SHELL_FENCES.has(fence)) block.push({ line: i + 1, text: line.trim() });
    else if (fence === null && isBlock) block.push({ line: i + 1, text: line.trim() });
    else if (fence === null) {
      endBlock();
      for (const [, span = ''] of line.matchAll(/`([^`]+)`/g))
        if (PROGRAMS.test(span))
          found.push({ file, line: i + 1, text: normalized(span.replaceAll('\\|', '|')) });
    }
    wasBlank = line.trim() === '';
    if (wasBlank) endBlock();
  }
  endBlock();
  return found;
}

/** Commands in comments, and what probes execute. */
function commandsOfExample(file: string, text: string): Command[] {
  return text.split('\n').flatMap((raw, i) => {
    const comment = /^\s*(?:#|\/\/)\s+(.*)$/.exec(raw)?.[1];
    const probe = /^\s*command: \[(.*)\]$/.exec(raw)?.[1];
    const line = i + 1;
    if (comment !== undefined && PROGRAMS.test(comment))
      return [{ file, line, text: normalized(withoutComment(comment)) }];
    return probe === undefined ? [] : [{ file, line, text: probe.split(', ').join(' ') }];
  });
}

/** Of settings that are commands; the others are parsed. */
function settingExamples(): Command[] {
  return settingNames
    .filter((name) => name.endsWith('_CMD') || name.endsWith('_COMMAND'))
    .map((name) => ({
      file: 'src/config/settings.ts',
      line: 0,
      text: `${name}=${metaOf(name).example}`,
    }));
}

type Line = { line: number; text: string };

function joined(lines: readonly Line[]): Line[] {
  const whole: Line[] = [];
  let open: Line | null = null;
  for (const { line, text } of lines) {
    const start: Line = open ?? { line, text: '' };
    const rest = withoutComment(text);
    open = rest.endsWith('\\')
      ? { line: start.line, text: `${start.text} ${rest.slice(0, -1)}` }
      : null;
    if (open === null) whole.push({ line: start.line, text: normalized(`${start.text} ${rest}`) });
  }
  return whole.filter(({ text }) => text !== '');
}

function withoutComment(text: string): string {
  return text.replace(/(?:^|\s{2,}|(?<=\s))#\s.*$/, '');
}

function normalized(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
