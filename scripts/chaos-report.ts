/** Writes the outcomes of the chaos suite as the table that docs/resilience.md refers to. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Outcome } from '../test/support/chaos/cases.ts';

/** `report`: one JSON object a line. Cases of one group are counted together, by how they ended. */
export function writeReport(report: string, file: string): void {
  const outcomes = readFileSync(report, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  const areas = Map.groupBy(outcomes, ({ area }) => area);
  const sections = [...areas].map(([area, ofArea]) => {
    const rows = [...Map.groupBy(ofArea, ({ group }) => group)].map(([group, ofGroup]) => `| ${cell(group)} | ${ofGroup.length} | ${cell(tally(ofGroup))} |`);
    return `## ${area}: ${ofArea.length} cases\n\n| case | times | outcome |\n|---|---|---|\n${rows.join('\n')}\n`;
  });
  writeFileSync(
    file,
    `# Cases and outcomes\n\nWritten by \`npm run test:chaos -- --full\`. What each area does, and what has to hold: [resilience.md](resilience.md).\n\n${sections.join('\n')}`,
  );
}

function tally(outcomes: readonly Outcome[]): string {
  const kinds = [...Map.groupBy(outcomes, ({ outcome }) => outcome)].map(([outcome, alike]) => ({ outcome, count: alike.length }));
  if (kinds.length === 1) return kinds[0]?.outcome ?? '';
  return kinds
    .sort((a, b) => b.count - a.count)
    .map(({ outcome, count }) => `${count} × ${outcome}`)
    .join('; ');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
