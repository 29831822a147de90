/** Files of sums, in the forms in which people write them. Pure. */

import { isOwnSums } from '../machines/asset-sums.ts';

/** A sum and a path. */
const MAX_LINE = 1024;

/**
 * A file of sums as text: UTF-8, or the UTF-16 that Windows' shells write, told by its byte order
 * mark.
 */
export function sumsText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe
      ? 'utf-16le'
      : first === 0xfe && second === 0xff
        ? 'utf-16be'
        : 'utf-8';
  // The decoder leaves the mark out.
  return new TextDecoder(encoding).decode(bytes);
}

/**
 * Every sum (lower-case hex) that the text of the file `sumsName` gives to the file `name`, each
 * once; more than one is a contradiction. A sum without a name counts only in a file of this one's
 * own, as `<name>.sha256`.
 */
export function sumsFor(text: string, name: string, sumsName = `${name}.sha256`): string[] {
  const all = text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const lines = all.filter((line) => line.length <= MAX_LINE);
  const listed = lines.flatMap((line) => readLine(line) ?? []);
  // Words of another's name: `my app` says nothing about `app`.
  const isAlone = listed.some((entry) => entry.name === name);
  const about = all.filter((line) => !isOfAnother(line, name, isAlone));
  const nameless = listed.filter((entry) => entry.name === '');
  // Mix-and-match: the forms are united, so that a sum in one form can't be passed over for
  // another.
  const found = [
    ...listed.filter((entry) => entry.name === name).map(({ sum }) => sum),
    ...about.flatMap((line) => (line.length > MAX_LINE ? [] : sumBeside(line, name))),
  ];
  const isOwn =
    isOwnSums(sumsName, name) && (found.length > 0 || nameless.length === listed.length);
  const sums = [...new Set([...found, ...(isOwn ? nameless.map(({ sum }) => sum) : [])])];
  return sums.length === 0
    ? []
    : [...new Set([...sums, ...about.flatMap((line) => contradiction(line, name, sums))])];
}

/** The names that the text of a file of sums gives sums to, in its order. */
export function namedInSums(text: string): string[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .filter((line) => line.length <= MAX_LINE)
    .flatMap((line) => readLine(line.trim()) ?? [])
    .map(({ name }) => name)
    .filter((name) => /^[^\p{C}/\\]{1,255}$/u.test(name));
}

type Listed = { sum: string; name: string };

const FORMS: readonly { form: RegExp; sum: number; name: number }[] = [
  // GNU: `hex  name`, `hex *name`; also with the digest's own prefix.
  { form: /^\\?(?:sha256:)?([0-9a-f]{64})[ \t]+\*?(\S.*)$/i, sum: 1, name: 2 },
  // BSD and OpenSSL: `SHA256 (name) = hex`, `SHA256(name)= hex`, `SHA2-256(name)= hex`.
  { form: /^SHA(?:2-)?-?256 ?\((.+)\) ?= ?([0-9a-f]{64})$/i, sum: 2, name: 1 },
  // The name first: `name: hex`, `name hex`.
  { form: /^(\S+?):?[ \t]+([0-9a-f]{64})$/i, sum: 2, name: 1 },
];

const WHOLE_SUM = /(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])/gi;
/** Sums of as many digits, by another algorithm. */
const OTHER_ALGORITHM =
  /(?<![0-9A-Za-z])(?:sha-?3|sha-?512|shake|blake|b[23](?:sum)?|sm3|ripemd|rmd|gost|keccak|md5)/i;

/**
 * The sum of a line that has the name as a whole beside one sum, whatever stands around them: a
 * table of Markdown's or PowerShell's, YAML, JSON, a column of sizes.
 */
function sumBeside(line: string, name: string): string[] {
  const sums = sumsBeside(line, name);
  return sums.length === 1 ? sums : [];
}

/**
 * Which of several sums is the name's (JSON in one line, say) is not guessed; but one that was
 * found elsewhere has to be among them.
 */
function contradiction(line: string, name: string, found: readonly string[]): string[] {
  const sums = sumsBeside(line, name);
  return sums.some((sum) => found.includes(sum)) ? [] : sums;
}

/** Every sum of a line that has the name as a whole. */
function sumsBeside(line: string, name: string): string[] {
  if (!line.includes(name)) return [];
  const whole = new RegExp(
    `(?<![^\\s"'\`|(),;:=*/\\\\])${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}(?![^\\s"'\`|(),;:=])`,
    'g',
  );
  const rest = line.replaceAll(whole, ' ');
  // A sum may itself begin with `b2` or `b3`.
  if (rest === line || OTHER_ALGORITHM.test(rest.replaceAll(WHOLE_SUM, ' '))) return [];
  const sums = rest.match(WHOLE_SUM) ?? [];
  return [...new Set(sums.map((sum) => sum.toLowerCase()))];
}

/** What sha256sum, shasum and openssl write: the name is all that stands there, spaces and all. */
const EXACT_GNU = /^\\?[0-9a-f]{64} [ *](?=\S)(?!\d+\s)(.*)$/i;
const EXACT_BSD = /^SHA(?:2-)?-?256 ?\((.+)\) ?= ?[0-9a-f]{64}$/i;
const WORD = /[\p{L}\p{N}]/u;

/**
 * Whether a line is another file's, whose name has this one as a word. `isAlone`: this one has a
 * line with nothing but its name; without that, what follows upon the name may be a word about it.
 */
function isOfAnother(line: string, name: string, isAlone: boolean): boolean {
  if (line.length > MAX_LINE) return false;
  const ofBsd = EXACT_BSD.exec(line)?.[1];
  const listed = (ofBsd ?? EXACT_GNU.exec(line)?.[1])?.replace(/^.*[/\\]/, '');
  const at = listed?.indexOf(name) ?? -1;
  if (listed === undefined || at < 0) return false;
  // Columns are no name.
  if (ofBsd === undefined && /\||\s{2}|\t/.test(listed)) return false;
  return (
    WORD.test(listed.slice(0, at)) ||
    ((isAlone || ofBsd !== undefined) && WORD.test(listed.slice(at + name.length)))
  );
}

/**
 * One line; the name is empty where it gives none (`-` and OpenSSL's `stdin` are standard input).
 * Null for what is no sum of this kind.
 */
function readLine(line: string): Listed | null {
  const [, bare] = /^(?:SHA(?:2-)?-?256 ?[:=] ?)?([0-9a-f]{64})$/i.exec(line) ?? [];
  if (bare !== undefined) return { sum: bare.toLowerCase(), name: '' };
  for (const { form, sum, name } of FORMS) {
    const found = form.exec(line);
    const [hex, path] = [found?.[sum], found?.[name]];
    // Sums are made in the folder of the build: `./dist/app.tar.gz`, `dist\app.zip`.
    if (hex !== undefined && path !== undefined)
      return {
        sum: hex.toLowerCase(),
        name: path === '-' || path === 'stdin' ? '' : path.replace(/^.*[/\\]/, ''),
      };
  }
  return null;
}
