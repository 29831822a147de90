/**
 * Globs for file names, as `path.posix.matchesGlob` reads them, in time that grows with the name's
 * length alone: that one turns a glob into a regular expression, which a name that a server chose
 * can keep busy for minutes.
 */

/** Of the characters from a place to the end, told by that place. */
type Places = boolean[];
type Node =
  | { kind: 'one'; fits: (char: string) => boolean; isWild: boolean }
  | { kind: 'any' }
  | { kind: 'group'; times: '@' | '?' | '+' | '*' | '!'; choices: Node[][] };

/** NAME_MAX, in `limits.h`. */
const MAX_NAME_LENGTH = 255;
const MAX_RANGE = 1000;
/** Of `[[:digit:]]` and its like, as `minimatch` has them. */
const CLASSES: Record<string, string> = {
  alnum: '\\p{L}\\p{Nl}\\p{Nd}',
  alpha: '\\p{L}\\p{Nl}',
  ascii: '\\x00-\\x7f',
  blank: '\\p{Zs}\\t',
  cntrl: '\\p{Cc}',
  digit: '\\p{Nd}',
  lower: '\\p{Ll}',
  punct: '\\p{P}',
  space: '\\p{Z}\\t\\r\\n\\v\\f',
  upper: '\\p{Lu}',
  word: '\\p{L}\\p{Nl}\\p{Nd}\\p{Pc}',
  xdigit: 'A-Fa-f0-9',
};

/**
 * `*`, `?`, `[…]`, `{a,b}`, `{1..9}`, and `@(…)`, `?(…)`, `+(…)`, `*(…)`, `!(…)` with `|`. `\`
 * takes the next character as it is. A name that begins with a dot has to be asked for with one.
 * Throws `RangeError` for a glob that would take long, saying what is in it.
 */
export function globMatcher(glob: string): (name: string) => boolean {
  const nodes = parse(glob);
  checkRepetitions(nodes, false);
  return (name) => {
    if (name === '' || name.length > MAX_NAME_LENGTH) return false;
    const end: Places = Array(name.length + 1).fill(false);
    end[name.length] = true;
    return before(nodes, end, name)[0] === true;
  };
}

/** Each would be tried once for each place of the other. */
function checkRepetitions(nodes: readonly Node[], isRepeated: boolean): void {
  for (const node of nodes) {
    if (node.kind !== 'group') continue;
    const repeats = node.times === '+' || node.times === '*';
    if (repeats && isRepeated) throw new RangeError('has a repetition within a repetition');
    for (const choice of node.choices) checkRepetitions(choice, isRepeated || repeats);
  }
}

/**
 * From the end: the places from where `nodes` lead to one of `ends`. Each node looks at each place
 * once.
 */
function before(nodes: readonly Node[], ends: Places, name: string): Places {
  return nodes.reduceRight((places, node) => beforeOne(node, places, name), ends);
}

function beforeOne(node: Node, ends: Places, name: string): Places {
  if (node.kind === 'one') {
    const places = ends.map(
      (_, at) => at < name.length && ends[at + 1] === true && node.fits(name[at] as string),
    );
    return node.isWild ? withoutHidden(places, name) : places;
  }
  if (node.kind === 'any') return withoutHidden(anyBefore(ends, name), name);
  const { times, choices } = node;
  const once = (to: Places) => choices.map((choice) => before(choice, to, name)).reduce(either);
  switch (times) {
    case '@':
      return once(ends);
    case '?':
      return either(ends, once(ends));
    case '!': {
      const refused = once(ends);
      return withoutHidden(
        anyBefore(ends, name).map((isThere, at) => isThere && !refused[at]),
        name,
      );
    }
    case '+':
    case '*': {
      let places = once(ends);
      for (let known = -1; known !== count(places); ) {
        known = count(places);
        places = either(places, once(either(ends, places)));
      }
      return times === '*' ? either(ends, places) : places;
    }
    default:
      return times satisfies never;
  }
}

function anyBefore(ends: Places, name: string): Places {
  const places = [...ends];
  for (let at = name.length - 1; at >= 0; at--)
    places[at] ||= places[at + 1] === true && name[at] !== '/';
  return places;
}

function withoutHidden(places: Places, name: string): Places {
  if (name.startsWith('.')) places[0] = false;
  return places;
}

const either = (left: Places, right: Places): Places =>
  left.map((is, at) => is || right[at] === true);
const count = (places: Places): number => places.filter(Boolean).length;

function literal(text: string): Node[] {
  return [...text.split('')].map((wanted) => ({
    kind: 'one',
    isWild: false,
    fits: (char) => char === wanted,
  }));
}

function parse(text: string): Node[] {
  const nodes: Node[] = [];
  for (let at = 0; at < text.length; ) {
    const { read, end } = readOne(text, at);
    nodes.push(...read);
    at = end;
  }
  return nodes;
}

type Read = { read: Node[]; end: number };

function readOne(text: string, at: number): Read {
  const char = text[at] as string;
  if (char === '\\' && at + 1 < text.length)
    return { read: literal(text[at + 1] as string), end: at + 2 };
  const read =
    (char === '{' && readBraces(text, at)) ||
    ('@?+*!'.includes(char) && text[at + 1] === '(' && readGroup(text, at)) ||
    null;
  if (read) return read;
  if (char === '*') return { read: [{ kind: 'any' }], end: at + 1 };
  if (char === '?')
    return { read: [{ kind: 'one', isWild: true, fits: (other) => other !== '/' }], end: at + 1 };
  return (char === '[' && readClass(text, at)) || { read: literal(char), end: at + 1 };
}

function readGroup(text: string, at: number): Read | null {
  const found = split(text, at + 1, ')', '|');
  if (found === null) return null;
  return {
    read: [{ kind: 'group', times: text[at] as '@', choices: found.parts.map(parse) }],
    end: found.end,
  };
}

function readBraces(text: string, at: number): Read | null {
  const found = split(text, at, '}', ',');
  if (found === null) return null;
  const { parts, end } = found;
  const choices = parts.length > 1 ? parts.map(parse) : rangeOf(parts[0] ?? '')?.map(literal);
  return choices === undefined ? null : { read: [{ kind: 'group', times: '@', choices }], end };
}

/**
 * What stands between the bracket at `from` and its partner, cut at the separators that are within
 * no other. Null without a partner.
 */
function split(
  text: string,
  from: number,
  close: string,
  separator: string,
): { parts: string[]; end: number } | null {
  const parts = [''];
  const open: string[] = [close];
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at] as string;
    if (char === open.at(-1)) open.pop();
    else if (char === '{') open.push('}');
    else if (char === '(') open.push(')');
    if (open.length === 0) return { parts, end: at + 1 };
    if (char === separator && open.length === 1) {
      parts.push('');
      continue;
    }
    const length = char === '\\' ? 2 : char === '[' ? (readClass(text, at)?.end ?? at + 1) - at : 1;
    parts[parts.length - 1] += text.slice(at, at + length);
    at += length - 1;
  }
  return null;
}

/** `1..12`, `01..12`, `0..20..5`, `a..f`. */
function rangeOf(text: string): string[] | null {
  const match =
    /^(?:(-?\d{1,9})\.\.(-?\d{1,9})|([A-Za-z])\.\.([A-Za-z]))(?:\.\.(-?\d{1,9}))?$/.exec(text);
  if (match === null) return null;
  const [, first = '', last = '', from, to, step = '1'] = match;
  const [begin, end] =
    from === undefined
      ? [Number(first), Number(last)]
      : [from.charCodeAt(0), (to as string).charCodeAt(0)];
  const by = Math.max(Math.abs(Number(step)), 1);
  const length = Math.floor(Math.abs(end - begin) / by) + 1;
  if (length > MAX_RANGE) throw new RangeError(`has a range of more than ${MAX_RANGE}`);
  const width =
    /^-?0\d/.test(first) || /^-?0\d/.test(last) ? Math.max(first.length, last.length) : 0;
  return Array.from({ length }, (_, index) => {
    const value = begin + Math.sign(end - begin) * by * index;
    if (from !== undefined) return String.fromCharCode(value);
    return value < 0
      ? `-${String(-value).padStart(width - 1, '0')}`
      : String(value).padStart(width, '0');
  });
}

/** `[a-z]`, `[!a]`, `[]a]`, `[[:digit:]_]`. Null where it has no end. */
function readClass(text: string, from: number): Read | null {
  const isNot = text[from + 1] === '!' || text[from + 1] === '^';
  const first = from + (isNot ? 2 : 1);
  let set = '';
  for (let at = first; at < text.length; at++) {
    const named = /^\[:([a-z]+):\]/.exec(text.slice(at, at + 12));
    const inClass = CLASSES[named?.[1] ?? ''];
    if (named && inClass !== undefined) {
      set += inClass;
      at += named[0].length - 1;
      continue;
    }
    if (text[at] === ']' && at > first)
      return { read: [{ kind: 'one', isWild: true, fits: oneOf(set, isNot) }], end: at + 1 };
    const [low, lowEnd] = escaped(text, at);
    const [high, highEnd] =
      text[lowEnd] === '-' && text[lowEnd + 1] !== ']' && lowEnd + 1 < text.length
        ? escaped(text, lowEnd + 1)
        : [low, lowEnd];
    if (low <= high) set += `${unit(low)}-${unit(high)}`;
    at = highEnd - 1;
  }
  return null;
}

/** The character at a place, and where the next begins. */
function escaped(text: string, at: number): [string, number] {
  return text[at] === '\\' && at + 1 < text.length
    ? [text[at + 1] as string, at + 2]
    : [text[at] as string, at + 1];
}

const unit = (char: string): string => `\\u{${char.charCodeAt(0).toString(16)}}`;

function oneOf(set: string, isNot: boolean): (char: string) => boolean {
  const pattern = new RegExp(`^[${set}]$`, 'u');
  return (char) => char !== '/' && pattern.test(char) !== isNot;
}
