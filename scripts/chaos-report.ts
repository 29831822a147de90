/** Writes the outcomes of the chaos suite as the table that docs/resilience.md refers to. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Outcome } from '../test/support/chaos/cases.ts';

const FILE = path.join(import.meta.dirname, '..', 'docs', 'resilience-cases.md');

/** `report`: one JSON object a line. Cases of one group are counted together, by how they ended. */
export function writeReport(report: string): void {
  const outcomes = readFileSync(report, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  // A case that was run again counts once, by its last outcome.
  const latest = [
    ...new Map(outcomes.map((outcome) => [`${outcome.area}/${outcome.number}`, outcome])).values(),
  ];
  const areas = Map.groupBy(latest, ({ area }) => area);
  const sections = [...areas].map(([area, ofArea]) => {
    const rows = [...Map.groupBy(ofArea, ({ group }) => group)].map(
      ([group, ofGroup]) => `| ${cell(group)} | ${ofGroup.length} | ${cell(tally(ofGroup))} |`,
    );
    return `## ${area}: ${ofArea.length} cases\n\n| case | times | outcome |\n|---|---|---|\n${rows.join('\n')}\n`;
  });
  writeFileSync(
    FILE,
    `# Cases and outcomes\n\nWritten by \`npm run test:chaos -- --full\`. What each area does, and what has to hold: [resilience.md](resilience.md).\n\n${sections.join('\n')}`,
  );
}

function tally(outcomes: readonly Outcome[]): string {
  const kinds = [...Map.groupBy(outcomes, ({ outcome }) => outcome)].map(([outcome, alike]) => ({
    outcome,
    count: alike.length,
  }));
  if (kinds.length === 1) return kinds[0]?.outcome ?? '';
  return kinds
    .sort((a, b) => b.count - a.count)
    .map(({ outcome, count }) => `${count} × ${outcome}`)
    .join('; ');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

if (import.meta.main) writeReport(process.argv[2] ?? '');
