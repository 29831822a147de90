/** Columns for people. Colour takes no room. */
import { stripVTControlCharacters } from 'node:util';

/** With less room beside the other columns, a text goes on at the left. */
const MIN_ROOM = 24;
const MIN_INDENT = 4;

/**
 * `rows` under `head`, each column as wide as its widest cell. The last one is broken where the
 * terminal has so many columns.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns?: number,
): string {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => width(row[i]))));
  const indent = widths.slice(0, -1).reduce((sum, column) => sum + column + 2, 0);
  return [head, ...rows].map((row) => folded(line(row, widths), indent, columns)).join('\n');
}

/**
 * Breaks a line between words, so that no piece is wider than the terminal, and indents all pieces
 * but the first. Without `columns` (a pipe) nothing is broken.
 */
export function folded(text: string, indent: number, columns: number | undefined): string {
  if (columns === undefined || columns < MIN_ROOM || width(text) <= columns) return text;
  const left = columns - indent < MIN_ROOM ? MIN_INDENT : indent;
  let length = 0;
  // Blanks before the indent belong to the columns.
  return text.replaceAll(/( *)([^ ]+)/g, (piece, blanks: string, word: string) => {
    const isFirst = length <= left;
    length += blanks.length + width(word);
    if (isFirst || length <= columns) return piece;
    length = left + width(word);
    return `\n${' '.repeat(left)}${word}`;
  });
}

function line(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map(
    (cell, i) => `${cell}${' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)))}`,
  );
  return cells.join('  ').trimEnd();
}

function width(cell = ''): number {
  return stripVTControlCharacters(cell).length;
}
