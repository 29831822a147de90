/**
 * The machine, drawn from itself; the state it is in is lit, and the way that the last update took
 * is shown.
 */
import { useEffect, useMemo, useRef } from 'preact/hooks';

const template = document.getElementById('statechart');

export function Statechart({
  state,
  way,
  isThen,
}: {
  state: string;
  way: readonly string[];
  isThen: boolean;
}) {
  const ref = useRef<HTMLDivElement>(null);
  const drawing = useMemo(() => ({ __html: template?.innerHTML ?? '' }), []);
  useEffect(() => {
    if (ref.current !== null) light(ref.current, state, way);
  }, [state, way]);
  return (
    <section class="panel" aria-labelledby="statechart-title">
      <h2 id="statechart-title">The machine</h2>
      <figure class={isThen ? 'statechart then' : 'statechart'}>
        <div
          ref={ref}
          class="drawing"
          role="img"
          aria-label="The statechart; what it shows is said below"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: WCAG 2.1.1, what scrolls is reached by keys
          tabIndex={0}
          dangerouslySetInnerHTML={drawing}
        />
        <figcaption>
          <span aria-live="polite">
            {isThen ? 'Then it was' : 'It is'} <strong data-testid="lit">{state}</strong>.
          </span>{' '}
          {way.length > 0 && <>The last update went {way.join(' → ')}.</>}
        </figcaption>
      </figure>
    </section>
  );
}

function light(root: HTMLElement, state: string, way: readonly string[]): void {
  const states = [...root.querySelectorAll<SVGElement>('[data-state]')];
  const around = new Map(
    states.map((element) => [
      element.dataset['state'] ?? '',
      (element.dataset['around'] ?? '').split(' '),
    ]),
  );
  const active = new Set(around.get(state) ?? [state]);
  const passed = new Set(way.flatMap((name) => around.get(name) ?? []));
  for (const element of states) {
    const name = element.dataset['state'] ?? '';
    element.classList.toggle('active', active.has(name));
    element.classList.toggle('passed', passed.has(name));
  }
  const arrows = [...root.querySelectorAll<SVGElement>('[data-arrow]')];
  const names = new Set(arrows.map(nameOf));
  const between = states
    .filter(({ dataset }) => dataset['transient'] !== undefined)
    .map(({ dataset }) => dataset['state'] ?? '');
  const steps = new Set(
    way
      .slice(1)
      .flatMap((to, i) =>
        arrowsBetween(around.get(way[i] ?? '') ?? [], around.get(to) ?? [], names, between),
      ),
  );
  for (const arrow of arrows) arrow.classList.toggle('passed', steps.has(nameOf(arrow)));
}

function nameOf(arrow: SVGElement): string {
  return arrow.dataset['arrow'] ?? '';
}

/**
 * The arrows from one state to another: one, or two through a state that is left at once. They
 * begin and end at a state or at a box around it.
 */
function arrowsBetween(
  from: readonly string[],
  to: readonly string[],
  names: ReadonlySet<string>,
  between: readonly string[],
): string[] {
  const first = (sources: readonly string[], targets: readonly string[]) =>
    sources
      .flatMap((source) => targets.map((target) => `${source} ${target}`))
      .find((name) => names.has(name));
  const direct = first(from, to);
  if (direct !== undefined) return [direct];
  for (const state of between) {
    const [before, after] = [first(from, [state]), first([state], to)];
    if (before !== undefined && after !== undefined) return [before, after];
  }
  return [];
}
