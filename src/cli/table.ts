/** Columns for people. Colour takes no room. */
import { stripVTControlCharacters } from 'node:util';

/** `rows` under `head`, each column as wide as its widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => width(row[i]))));
  return [head, ...rows].map((row) => line(row, widths)).join('\n');
}

function line(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, i) => `${cell}${' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)))}`);
  return cells.join('  ').trimEnd();
}

function width(cell = ''): number {
  return stripVTControlCharacters(cell).length;
}
