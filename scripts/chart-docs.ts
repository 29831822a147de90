/** docs/statechart.md: two pictures and three tables of the machine. */
import type { AnyStateNode } from 'xstate';
import type { Policy } from '../src/machines/model.ts';
import { isTransient } from '../src/machines/shown.ts';
import { updaterMachine } from '../src/machines/updater.ts';
import { allStates, allWays, mainPath, pathOf, type Way } from './chart.ts';

export function statechartPage(): string {
  return `# Statechart

Made from \`src/machines/updater.ts\` by \`npm run docs\`. A state is one thing that the updater does or waits for; facts are the events between them.
Further data (the machine's context) is in \`src/machines/context.ts\`. \`self-update status\` names the innermost state, or the one around it where
that is what the updater does: \`waiting\`, with \`forRetry\` as its phase.

## The main path

Both orders of stop and download use the same states. Thick: both. Thin: \`download-then-kill\`. Dotted: \`kill-then-download\`. With hooks, \`draining\`
comes before \`inspecting\`, \`migrating\` before \`switching\`, and \`announcing\` at the end. A version that passed probation is \`settled\`.

${fenced(mainPicture())}

With \`hand-over\` the new version is started beside the old one, which serves until then:

${fenced(handOverPicture())}

## All states

Without failures, which are in the table below. Rounded: a state that is left at once. An arrow from a box applies to all states in it; one
without a fact is taken at once. \`steady\` is entered by \`deciding\`, \`incoming\` by \`ordering\`, \`waiting\` by \`forWhat\`.

${fenced(wholePicture())}

## When something fails

Of one fact, rows of the inner state are tried first, then those of the states around it; within one state, from the top. If no row applies,
the state does not change.

${table(allWays().filter(({ isFailure }) => isFailure))}

## Everything else

${table(allWays().filter(({ isFailure }) => !isFailure))}

## The states

| state | what happens |
|---|---|
${allStates()
  .map((node) => `| \`${pathOf(node)}\` | ${node.description ?? ''} |`)
  .join('\n')}
`;
}

function fenced(text: string): string {
  return `\`\`\`mermaid\n${text}\n\`\`\``;
}

/**
 * Mermaid: the way of both strategies in one picture. It begins and ends where the app runs: those
 * states have no box, so that the way is a line.
 */
export function mainPicture(): string {
  const [first, second] = [stepsOf('download-then-kill'), stepsOf('kill-then-download')];
  const isIn = (steps: readonly Step[], { from, to }: Step) =>
    steps.some((step) => step.from === from && step.to === to);
  const lines = [
    ...first.map(
      (step) => `  ${keyOf(step.from)} ${isIn(second, step) ? '==>' : '-->'} ${keyOf(step.to)}`,
    ),
    ...second
      .filter((step) => !isIn(first, step))
      .map((step) => `  ${keyOf(step.from)} -.-> ${keyOf(step.to)}`),
  ];
  const passed = new Set(first.flatMap(({ from, to }) => [from, to]));
  const around = Map.groupBy(passed, (path) => path.split('.').at(-2) ?? '');
  const drawn = [...around].flatMap(([box, paths]) => {
    const states = paths.map((path) => `  ${keyOf(path)}`);
    return box === 'running'
      ? states
      : [`  subgraph ${box}`, ...states.map((state) => `  ${state}`), '  end'];
  });
  return ['flowchart LR', ...drawn, ...lines].join('\n');
}

/** Mermaid: the way of a hand-over, from where it parts with the others. */
export function handOverPicture(): string {
  const steps = stepsOf('hand-over');
  const parts = steps.slice(steps.findIndex(({ to }) => to.startsWith('handingOver.')));
  const states = parts.slice(0, -1).map(({ to }) => `    ${keyOf(to)}`);
  return [
    'flowchart LR',
    '  subgraph handingOver',
    ...states,
    '  end',
    ...parts.map(({ from, to }) => `  ${keyOf(from)} --> ${keyOf(to)}`),
  ].join('\n');
}

type Step = { from: string; to: string };
function stepsOf(strategy: Policy['strategy']): Step[] {
  const path = mainPath(strategy);
  return path.slice(1).map(({ state }, i) => ({ from: path[i]?.state ?? '', to: state }));
}

/** Mermaid: every state, and every way that is no failure. */
export function wholePicture(): string {
  const labels = new Map<string, Set<string>>();
  for (const { from, to, fact, isFailure } of allWays()) {
    if (isFailure || from === to) continue;
    const ends = `${keyOf(from)} ${keyOf(to)}`;
    labels.set(ends, (labels.get(ends) ?? new Set()).add(fact));
  }
  const lines = [...labels].map(([ends, facts]) => {
    const [from, to] = ends.split(' ');
    const text = [...facts].filter((fact) => fact !== '').join('<br>');
    return `  ${from} -->${text === '' ? '' : `|${text}|`} ${to}`;
  });
  return ['flowchart TB', ...boxes(updaterMachine.root, 1), ...lines].join('\n');
}

/** States are named by their last key alone, which no two share. */
function keyOf(path: string): string {
  return path.split('.').at(-1) ?? '';
}

function boxes(node: AnyStateNode, depth: number): string[] {
  const indent = '  '.repeat(depth);
  return Object.values(node.states).flatMap((child) => {
    const inner = boxes(child, depth + 1);
    if (inner.length > 0) return [`${indent}subgraph ${child.key}`, ...inner, `${indent}end`];
    return [`${indent}${child.key}${isTransient(child) ? `([${child.key}])` : ''}`];
  });
}

function table(ways: readonly Way[]): string {
  const rows = ways.map(
    ({ from, to, fact, guard }) =>
      `| \`${from}\` | ${fact === '' ? 'at once' : `\`${fact}\``} | ${guard ?? ''} | \`${to}\` |`,
  );
  return ['| in | fact | if | leads to |', '|---|---|---|---|', ...rows].join('\n');
}
