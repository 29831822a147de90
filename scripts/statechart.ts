/** The statechart as a drawing, laid out by ELK from the machine itself. States and arrows carry their names, for the page to light. */
import ELK, { type ElkExtendedEdge, type ElkNode } from 'elkjs/lib/elk.bundled.js';
import type { AnyStateNode } from 'xstate';
import { updaterMachine } from '../src/machines/updater.ts';

/** At 15 px, as the page's style sheet has it. */
const CHARACTER_PX = 8.2;
const STATE_HEIGHT_PX = 32;
const MARGIN_PX = 8;

const LAYOUT = {
  'elk.algorithm': 'layered',
  'elk.direction': 'RIGHT',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'SPLINES',
  'elk.spacing.nodeNode': '14',
  'elk.layered.spacing.nodeNodeBetweenLayers': '24',
  'elk.layered.spacing.edgeNodeBetweenLayers': '8',
  'elk.spacing.edgeEdge': '4',
  'elk.spacing.edgeNode': '6',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.feedbackEdges': 'false',
};

type Arrow = { from: string; to: string; facts: Set<string> };

/** An SVG document. `direction` is the way it mostly runs: right on a desk, down on a phone. */
export async function drawStatechart(direction: 'RIGHT' | 'DOWN'): Promise<string> {
  // The package's types speak of a namespace, its file is the class.
  const elk = new (ELK as unknown as new () => { layout(graph: ElkNode): Promise<ElkNode> })();
  const graph = await elk.layout({
    id: 'updater',
    layoutOptions: { ...LAYOUT, 'elk.direction': direction },
    children: Object.values(updaterMachine.root.states).map(nodeOf),
    edges: arrows().map(({ from, to }) => ({ id: `${from} ${to}`, sources: [from], targets: [to] })),
  });
  const facts = new Map(arrows().map((arrow) => [`${arrow.from} ${arrow.to}`, [...arrow.facts].join(', ')]));
  const size = `${-MARGIN_PX} ${-MARGIN_PX} ${Math.ceil((graph.width ?? 0) + 2 * MARGIN_PX)} ${Math.ceil((graph.height ?? 0) + 2 * MARGIN_PX)}`;
  const offsets = new Map<string, { x: number; y: number }>([['updater', { x: 0, y: 0 }]]);
  const states = (graph.children ?? []).flatMap((child) => drawState(child, 0, 0, offsets));
  const head = `head-${direction.toLowerCase()}`;
  const lines = collectEdges(graph).map((edge) => drawArrow(edge, offsets, facts.get(edge.id) ?? '', head));
  const defs = `<defs><marker id="${head}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0.8 7.5 4 0 7.2z"/></marker></defs>`;
  // Arrows inside a group lie on its box.
  const [groups, leaves] = [states.filter((state) => state.startsWith('<g class="group"')), states.filter((state) => state.startsWith('<g class="state"'))];
  const drawn = [defs, ...groups, ...lines, ...leaves].join('');
  return `<svg class="${direction.toLowerCase()}" viewBox="${size}" xmlns="http://www.w3.org/2000/svg" aria-hidden="true" focusable="false">${drawn}</svg>`;
}

function nodeOf(node: AnyStateNode): ElkNode {
  const children = Object.values(node.states).map(nodeOf);
  const width = node.key.length * CHARACTER_PX + 18;
  const id = idOf(node);
  if (children.length === 0) return { id, width, height: STATE_HEIGHT_PX };
  return { id, children, layoutOptions: { 'elk.padding': '[top=28,left=12,bottom=12,right=12]' } };
}

/** `preparing.asking` */
function idOf(node: AnyStateNode): string {
  return node.path.join('.');
}

/** One arrow for all the facts that lead from one state to another. Those from a state to itself only change what is remembered. */
function arrows(): Arrow[] {
  const found = new Map<string, Arrow>();
  const visit = (node: AnyStateNode): void => {
    const groups = [...[...node.transitions].map(([fact, transitions]) => ({ fact, transitions })), { fact: 'at once', transitions: node.always ?? [] }];
    for (const { fact, transitions } of groups) for (const { target } of transitions) for (const to of target ?? []) add(found, node, to, fact);
    for (const child of Object.values(node.states)) visit(child);
  };
  for (const node of Object.values(updaterMachine.root.states)) visit(node);
  return [...found.values()];
}

function add(found: Map<string, Arrow>, source: AnyStateNode, target: AnyStateNode, fact: string): void {
  const [from, to] = [idOf(source), idOf(target)];
  if (from === to || to.startsWith(`${from}.`)) return;
  const arrow = found.get(`${from} ${to}`) ?? { from, to, facts: new Set() };
  found.set(`${from} ${to}`, { ...arrow, facts: arrow.facts.add(fact) });
}

function drawState(node: ElkNode, left: number, top: number, offsets: Map<string, { x: number; y: number }>): string[] {
  const [x, y] = [left + (node.x ?? 0), top + (node.y ?? 0)];
  offsets.set(node.id, { x, y });
  const name = node.id.split('.').at(-1) ?? '';
  const nested = (node.children ?? []).flatMap((child) => drawState(child, x, y, offsets));
  const isGroup = nested.length > 0;
  const box = `<rect x="${round(x)}" y="${round(y)}" width="${round(node.width)}" height="${round(node.height)}" rx="${isGroup ? 10 : 8}"/>`;
  const at = isGroup ? { x: x + 12, y: y + 18, anchor: 'start' } : { x: x + (node.width ?? 0) / 2, y: y + STATE_HEIGHT_PX / 2 + 4, anchor: 'middle' };
  const label = `<text x="${round(at.x)}" y="${round(at.y)}" text-anchor="${at.anchor}">${name}</text>`;
  const transient = isTransient(node.id) ? ' data-transient=""' : '';
  return [`<g class="${isGroup ? 'group' : 'state'}" data-state="${node.id}"${transient}>${box}${label}</g>`, ...nested];
}

/** Left at once: no fact is ever journaled in it. */
function isTransient(id: string): boolean {
  const node = id.split('.').reduce<AnyStateNode>((parent, key) => parent.states[key] as AnyStateNode, updaterMachine.root);
  return node.transitions.size === 0 && (node.always?.length ?? 0) > 0;
}

function collectEdges(node: ElkNode): ElkExtendedEdge[] {
  return [...(node.edges ?? []), ...(node.children ?? []).flatMap(collectEdges)];
}

/** Coordinates are those of the container that ELK chose for the edge. */
function drawArrow(edge: ElkExtendedEdge, offsets: ReadonlyMap<string, { x: number; y: number }>, facts: string, head: string): string {
  const { x, y } = offsets.get((edge as { container?: string }).container ?? 'updater') ?? { x: 0, y: 0 };
  const paths = (edge.sections ?? []).map(({ startPoint, endPoint, bendPoints = [] }) => {
    const points = [startPoint, ...bendPoints, endPoint].map((point) => `${round(point.x + x)} ${round(point.y + y)}`);
    return spline(points);
  });
  return `<path class="arrow" data-arrow="${edge.id}" d="${paths.join('')}" marker-end="url(#${head})"><title>${edge.id.replace(' ', ' → ')}: ${facts}</title></path>`;
}

/** ELK's splines are cubic Bézier curves, three points each after the first; what is left over is a straight line. */
function spline([first = '', ...rest]: string[]): string {
  let path = `M${first}`;
  for (let i = 0; i < rest.length; i += 3) path += rest.length - i >= 3 ? `C${rest.slice(i, i + 3).join(' ')}` : `L${rest.slice(i).join(' ')}`;
  return path;
}

function round(value = 0): number {
  return Math.round(value * 10) / 10;
}
