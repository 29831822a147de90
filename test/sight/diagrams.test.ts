/**
 * The diagrams of docs/statechart.md, rendered by Mermaid as a reader's browser does, and held
 * against the machine.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Mermaid } from 'mermaid';
import type { Browser, Page } from 'playwright-core';
import { allStates, allWays, mainPath } from '../../scripts/chart.ts';
import { launch } from '../support/browser.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const MERMAID = createRequire(import.meta.url).resolve('mermaid/dist/mermaid.min.js');

type Box = { name: string; left: number; top: number; right: number; bottom: number };
type Drawn = {
  states: Box[];
  boxes: Box[];
  arrows: { from: string; to: string; label: string; isThick: boolean; isDotted: boolean }[];
};

const keyOf = (name: string) => name.split('.').at(-1) ?? '';
const sorted = (names: Iterable<string>) => [...names].sort();

describe('the diagrams of the machine', () => {
  let browser: Browser;
  let page: Page;
  const [main = '', handOver = '', whole = ''] = [
    ...readFileSync(path.join(ROOT, 'docs', 'statechart.md'), 'utf8').matchAll(
      /```mermaid\n(.*?)```/gs,
    ),
  ].map(([, code = '']) => code);
  before(async () => {
    browser = await launch();
    page = await browser.newPage();
    await page.addScriptTag({ path: MERMAID });
  });
  after(() => browser.close());

  async function render(code: string): Promise<Drawn> {
    return page.evaluate(async (text) => {
      const { mermaid } = globalThis as unknown as { mermaid: Mermaid };
      mermaid.initialize({ startOnLoad: false });
      document.body.innerHTML = (await mermaid.render('drawing', text)).svg;
      const all = (selector: string) => [
        ...document.querySelectorAll<SVGGraphicsElement>(selector),
      ];
      const boxOf = (element: Element, name: string) => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return { name, left, top, right, bottom };
      };
      const states = all('g.node').map((node) => boxOf(node, node.textContent?.trim() ?? ''));
      const boxes = all('g.cluster').map((box) =>
        boxOf(box.querySelector('rect') ?? box, box.textContent?.trim() ?? ''),
      );
      const arrows = all('path[data-id]').map((arrow) => {
        const id = arrow.getAttribute('data-id') ?? '';
        const [, from = '', to = ''] = id.split('_');
        return {
          from,
          to,
          label: document.querySelector(`g.edgeLabel [data-id="${id}"] p`)?.innerHTML ?? '',
          isThick: arrow.classList.contains('edge-thickness-thick'),
          isDotted: arrow.classList.contains('edge-pattern-dotted'),
        };
      });
      return { states, boxes, arrows };
    }, code);
  }

  it('name every state once: no two have one name', () => {
    const keys = allStates().map(({ key }) => key);
    assert.deepEqual(sorted(new Set(keys)), sorted(keys));
  });

  it('the whole shows every state, in the boxes that are around it', async () => {
    const { states, boxes } = await render(whole);
    assert.deepEqual(
      sorted(states.map(({ name }) => name)),
      sorted(
        allStates()
          .filter(({ type }) => type === 'atomic')
          .map(({ key }) => key),
      ),
    );
    assert.deepEqual(
      sorted(boxes.map(({ name }) => name)),
      sorted(
        allStates()
          .filter(({ type }) => type !== 'atomic')
          .map(({ key }) => key),
      ),
    );
    const isInside = (inner: Box, outer: Box) =>
      inner !== outer &&
      inner.left >= outer.left &&
      inner.right <= outer.right &&
      inner.top >= outer.top &&
      inner.bottom <= outer.bottom;
    for (const drawn of [...states, ...boxes]) {
      const node = allStates().find(({ key }) => key === drawn.name);
      const around = boxes.filter((box) => isInside(drawn, box)).map(({ name }) => name);
      assert.deepEqual(sorted(around), sorted(node?.path.slice(0, -1) ?? []), drawn.name);
    }
  });

  it('the whole shows every way that is no failure, with its facts, and no other', async () => {
    const { arrows } = await render(whole);
    const wanted = new Map<string, Set<string>>();
    for (const { from, to, fact, isFailure } of allWays()) {
      const ends = `${keyOf(from)} ${keyOf(to)}`;
      if (!isFailure && from !== to) wanted.set(ends, (wanted.get(ends) ?? new Set()).add(fact));
    }
    const told = arrows.map(
      ({ from, to, label }) => `${from} ${to}: ${sorted(label.split(/<br ?\/?>/).filter(Boolean))}`,
    );
    assert.deepEqual(
      sorted(told),
      sorted([...wanted].map(([ends, facts]) => `${ends}: ${sorted([...facts].filter(Boolean))}`)),
    );
  });

  it('the main path is the one that the machine takes, in both orders', async () => {
    const { states, arrows } = await render(main);
    const steps = (strategy: 'download-then-kill' | 'kill-then-download') =>
      mainPath(strategy)
        .map(({ state }) => keyOf(state))
        .flatMap((state, i, all) => (i === 0 ? [] : [`${all[i - 1]} ${state}`]));
    const name = ({ from, to }: Drawn['arrows'][number]) => `${from} ${to}`;
    assert.deepEqual(
      sorted(arrows.filter(({ isDotted }) => !isDotted).map(name)),
      sorted(steps('download-then-kill')),
    );
    assert.deepEqual(
      sorted(arrows.filter(({ isDotted, isThick }) => isDotted || isThick).map(name)),
      sorted(steps('kill-then-download')),
    );
    assert.deepEqual(
      sorted(states.map((state) => state.name)),
      sorted(new Set(mainPath('download-then-kill').map(({ state }) => keyOf(state)))),
    );
  });

  it('the way of a hand-over is the one that the machine takes', async () => {
    const { arrows } = await render(handOver);
    const path = mainPath('hand-over').map(({ state }) => keyOf(state));
    const begin = path.indexOf('startingBeside') - 1;
    assert.deepEqual(
      sorted(arrows.map(({ from, to }) => `${from} ${to}`)),
      sorted(path.slice(begin + 1).map((state, i) => `${path[begin + i]} ${state}`)),
    );
  });
});

describe('the tables of the machine', () => {
  it('have a row for every way that is a failure, and for every other', () => {
    const text = readFileSync(path.join(ROOT, 'docs', 'statechart.md'), 'utf8');
    for (const { from, to, fact, guard } of allWays())
      assert.ok(
        text.includes(
          `| \`${from}\` | ${fact === '' ? 'at once' : `\`${fact}\``} | ${guard ?? ''} | \`${to}\` |`,
        ),
        `${from} ${fact} ${to}`,
      );
  });
});
