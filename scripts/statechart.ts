/**
 * The statechart as a drawing for the dashboard, made from the machine itself: the way of an update
 * in a row (on a phone in a column), what is beside it below. States and arrows carry their names,
 * for the page to light.
 */
import type { AnyStateNode } from 'xstate';
import { isTransient } from '../src/machines/shown.ts';
import { allStates, allWays, mainPath, pathOf, toldOf } from './chart.ts';
import { type Box, column, group, leaf, place, type Rect, row } from './chart-layout.ts';

const MARGIN_PX = 10;
/** Between the way of an update and what is beside it: most arrows run there. */
const LANE_PX = 44;
/** Bows reach so far beyond the last box. */
const BOW_PX = 60;

/** An SVG document. `direction` is the way an update runs: right on a desk, down on a phone. */
export function drawStatechart(direction: 'RIGHT' | 'DOWN'): string {
  const rects = place(arrange(direction));
  const { width, height } = rects.get('') ?? { width: 0, height: 0 };
  const head = `head-${direction.toLowerCase()}`;
  const defs = `<defs><marker id="${head}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0.8 7.5 4 0 7.2z"/></marker></defs>`;
  const drawn = allStates().filter((node) => rects.has(pathOf(node)));
  const states = drawn.map((node) => ({
    node,
    svg: drawState(node, rects.get(pathOf(node)) as Rect),
  }));
  const arrows = arrowsBetween(rects).map(({ from, to, facts }) => {
    const name = `${toldName(from)} ${toldName(to)}`;
    const way = wayBetween(rects.get(from) as Rect, rects.get(to) as Rect, direction);
    const isOnTheWay = NEXT.has(`${from} ${to}`) ? ' next' : '';
    return `<path class="arrow${isOnTheWay}" data-arrow="${name}" d="${way}" marker-end="url(#${head})"><title>${name.replace(' ', ' → ')}: ${facts.join(', ')}</title></path>`;
  });
  // Arrows inside a group lie on its box, and states on them.
  const [groups, leaves] = [
    states.filter(({ node }) => node.type !== 'atomic'),
    states.filter(({ node }) => node.type === 'atomic'),
  ];
  const bow = direction === 'RIGHT' ? { x: 0, y: BOW_PX } : { x: BOW_PX, y: 0 };
  const size = [
    -MARGIN_PX,
    -MARGIN_PX,
    width + 2 * MARGIN_PX + bow.x,
    height + 2 * MARGIN_PX + bow.y,
  ]
    .map(Math.round)
    .join(' ');
  const inner = [
    defs,
    ...groups.map(({ svg }) => svg),
    ...arrows,
    ...leaves.map(({ svg }) => svg),
  ].join('');
  return `<svg class="${direction.toLowerCase()}" viewBox="${size}" xmlns="http://www.w3.org/2000/svg" aria-hidden="true" focusable="false">${inner}</svg>`;
}

/** What is left at once has no place of its own, but the one where it is decided where to rest. */
const DECIDING = 'steady.deciding';

/**
 * Steps of an update in one of its orders, between states or the boxes that they begin: what a
 * picture of the machine is about.
 */
const NEXT = new Set([
  'bringingUp.starting steady.deciding',
  'steady.deciding steady.running',
  ...(['download-then-kill', 'kill-then-download', 'hand-over'] as const).flatMap((strategy) => {
    const path = mainPath(strategy).map(({ state }) => around(state));
    return path
      .slice(1)
      .flatMap((to, i) =>
        (path[i] ?? []).flatMap((from) => to.map((target) => `${from} ${target}`)),
      );
  }),
]);

/** A state, then the boxes around it. */
function around(path: string): string[] {
  const keys = path.split('.');
  return keys.map((_, i) => keys.slice(0, keys.length - i).join('.'));
}

function arrange(direction: 'RIGHT' | 'DOWN'): Box {
  const isWide = direction === 'RIGHT';
  const [along, across] = isWide ? [row, column] : [column, row];
  const inside = (path: string, pack = along) =>
    group(
      path,
      pack(
        allStates()
          .filter(
            (node) =>
              pathOf(node).startsWith(`${path}.`) &&
              node.path.length === path.split('.').length + 1 &&
              !isTransient(node),
          )
          .map((node) => leaf(pathOf(node))),
      ),
    );
  const [permission, assets, retry, version] = [
    'forPermission',
    'forAssets',
    'forRetry',
    'forVersion',
  ].map((key) => leaf(`steady.waiting.${key}`)) as [Box, Box, Box, Box];
  const waiting = isWide
    ? column([row([permission, version]), row([assets, retry])])
    : column([permission, assets, retry, version]);
  const beside = row(
    [inside('steady.running'), column([leaf(DECIDING), group('steady.waiting', waiting)])],
    LANE_PX,
  );
  return along([
    across([leaf('checking'), leaf('idle')], LANE_PX),
    group('incoming', along([inside('incoming.fetching'), inside('incoming.preparing')])),
    inside('stopping', across),
    across(
      [
        inside('bringingUp'),
        inside('handingOver'),
        along([leaf('announcing'), leaf('rollingBack')]),
      ],
      LANE_PX,
    ),
    group(
      'steady',
      isWide
        ? column([inside('steady.running'), leaf(DECIDING), group('steady.waiting', waiting)])
        : beside,
    ),
  ]);
}

type Arrow = { from: string; to: string; facts: string[] };

/** One arrow for all the facts that lead from one place to another. */
function arrowsBetween(rects: ReadonlyMap<string, Rect>): Arrow[] {
  const found = new Map<string, Arrow>();
  for (const { from, to: target, fact } of allWays()) {
    const to = target === 'steady' ? DECIDING : target;
    if (!rects.has(from) || !rects.has(to) || from === to || to.startsWith(`${from}.`)) continue;
    const arrow = found.get(`${from} ${to}`) ?? { from, to, facts: [] };
    found.set(`${from} ${to}`, {
      ...arrow,
      facts: [...new Set([...arrow.facts, fact === '' ? 'at once' : fact])],
    });
  }
  return [...found.values()];
}

function toldName(path: string): string {
  const node = allStates().find((other) => pathOf(other) === path);
  return node === undefined ? path : toldOf(node);
}

function drawState(node: AnyStateNode, { x, y, width, height }: Rect): string {
  const isGroup = node.type !== 'atomic';
  const box = `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="${isGroup ? 10 : 8}"/>`;
  const at = isGroup
    ? { x: x + 10, y: y + 17, anchor: 'start' }
    : { x: x + width / 2, y: y + height / 2 + 5, anchor: 'middle' };
  const label = `<text x="${round(at.x)}" y="${round(at.y)}" text-anchor="${at.anchor}">${node.key}</text>`;
  // What is entered with it: itself and the boxes around it.
  const names = around(pathOf(node)).map(toldName);
  const transient = isTransient(node) ? ' data-transient=""' : '';
  return `<g class="${isGroup ? 'group' : 'state'}" data-state="${toldOf(node)}" data-around="${names.join(' ')}"${transient}>${box}${label}</g>`;
}

/**
 * From border to border: straight on along the way of an update, and back in a bow below it (beside
 * it, on a phone).
 */
function wayBetween(a: Rect, b: Rect, direction: 'RIGHT' | 'DOWN'): string {
  if (direction === 'DOWN') return flipped(wayBetween(flip(a), flip(b), 'RIGHT'));
  const [fromX, toX] = [a.x + a.width / 2, b.x + b.width / 2];
  const isBeside = a.y < b.y + b.height && b.y < a.y + a.height;
  if (isBeside && b.x >= a.x + a.width) {
    const y = Math.max(a.y, b.y) + Math.min(a.y + a.height, b.y + b.height);
    return curve(
      [a.x + a.width, y / 2],
      [a.x + a.width + 8, y / 2],
      [b.x - 8, y / 2],
      [b.x, y / 2],
    );
  }
  if (isBeside) {
    const depth = Math.max(a.y + a.height, b.y + b.height) + 24 + Math.abs(fromX - toX) / 20;
    return curve(
      [fromX - 8, a.y + a.height],
      [fromX - 8, depth],
      [toX + 8, depth],
      [toX + 8, b.y + b.height],
    );
  }
  const [startY, endY] = b.y >= a.y + a.height ? [a.y + a.height, b.y] : [a.y, b.y + b.height];
  const middle = (startY + endY) / 2;
  return curve([fromX, startY], [fromX, middle], [toX, middle], [toX, endY]);
}

type Point = readonly [number, number];

function curve(...[start, first, second, end]: [Point, Point, Point, Point]): string {
  return `M${text(start)}C${text(first)} ${text(second)} ${text(end)}`;
}

function text([x, y]: Point): string {
  return `${round(x)} ${round(y)}`;
}

function flip({ x, y, width, height }: Rect): Rect {
  return { x: y, y: x, width: height, height: width };
}

function flipped(path: string): string {
  return path.replace(/(-?[\d.]+) (-?[\d.]+)/g, '$2 $1');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
