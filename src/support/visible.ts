/**
 * Terminal injection: text from outside (a tag, a server's words, an app's last words, a request)
 * may hold characters that a terminal or a page obeys instead of showing. All such text goes
 * through here before it is shown: C0 and C1 controls, DEL, changes of the writing direction
 * (https://trojansource.codes), separators of lines, and halves of surrogate pairs become `\u001b`
 * and the like. So does what GitHub's runner obeys anywhere in a line: `##[set-output name=x]`
 * (actions/runner, ActionCommand.cs).
 */

const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
/** With `u`, the last matches a surrogate without its other half only. */
const HIDDEN =
  /(?<=#)#(?=\[)|[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/gu;
/**
 * What a stream may hold besides: our own line breaks, colours, and what redraws a progress bar or
 * `status --watch`.
 */
const OURS_OR_HIDDEN = new RegExp(
  `(\\n|\\t|\\u001b\\[[0-9;]*m|\\r\\u001b\\[K|\\u001b\\[\\d+A\\u001b\\[J)|${HIDDEN.source}`,
  'gu',
);

/** One line, of characters that show. Line breaks and tabs become a space. */
export function visible(text: string): string {
  return text.replace(BREAKS, ' ').replace(HIDDEN, escaped);
}

/** The same for every text in a JSON value. */
export function visibleJson<T>(value: T): T {
  if (typeof value === 'string') return visible(value) as T;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(visibleJson) as T;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [visible(key), visibleJson(one)]),
  ) as T;
}

/**
 * The last door, for whole texts of ours: what reads as JSON stays the same JSON, since the escapes
 * are JSON's own, and a text that was forgotten reaches no terminal.
 */
export function visibleOutput(text: string): string {
  return text.replace(OURS_OR_HIDDEN, (found, ours: string | undefined) => ours ?? escaped(found));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
