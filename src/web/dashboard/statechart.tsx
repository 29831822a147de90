/** The machine, drawn from itself; the state it is in is lit, and the way that the last update took is shown. */
import { useEffect, useMemo, useRef } from 'preact/hooks';

const template = document.getElementById('statechart');

export function Statechart({ state, way, isThen }: { state: string; way: readonly string[]; isThen: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  const drawing = useMemo(() => ({ __html: template?.innerHTML ?? '' }), []);
  useEffect(() => {
    if (ref.current !== null) light(ref.current, state, way);
  }, [state, way]);
  return (
    <section class="panel" aria-labelledby="statechart-title">
      <h2 id="statechart-title">The machine</h2>
      <figure class={isThen ? 'statechart then' : 'statechart'}>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls on a phone must be reached by the keyboard (WCAG 2.1.1) */}
        <div ref={ref} class="drawing" role="img" aria-label="The statechart; what it shows is said below" tabIndex={0} dangerouslySetInnerHTML={drawing} />
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
  const active = new Set([state, state.split('.')[0]]);
  const passed = new Set(way.flatMap((path) => [path, path.split('.')[0]]));
  for (const element of root.querySelectorAll<SVGElement>('[data-state]')) {
    const name = element.dataset['state'] ?? '';
    element.classList.toggle('active', active.has(name));
    element.classList.toggle('passed', passed.has(name));
  }
  const arrows = [...root.querySelectorAll<SVGElement>('[data-arrow]')];
  const names = new Set(arrows.map(nameOf));
  const between = [...root.querySelectorAll<SVGElement>('[data-transient]')].map((element) => element.dataset['state'] ?? '');
  const steps = new Set(way.slice(1).flatMap((to, i) => arrowsBetween(way[i] ?? '', to, names, between)));
  for (const arrow of arrows) arrow.classList.toggle('passed', steps.has(nameOf(arrow)));
}

function nameOf(arrow: SVGElement): string {
  return arrow.dataset['arrow'] ?? '';
}

/** The arrows from one state to another: one, or several through states that are left at once. They begin and end at a state or at the one around it. */
function arrowsBetween(from: string, to: string, names: ReadonlySet<string>, between: readonly string[]): string[] {
  const around = (path: string) => [path, path.split('.')[0] ?? ''];
  const direct = around(from)
    .flatMap((source) => around(to).map((target) => `${source} ${target}`))
    .filter((name) => names.has(name));
  if (direct.length > 0) return direct.slice(0, 1);
  for (const state of between) {
    const first = around(from)
      .map((source) => `${source} ${state}`)
      .find((name) => names.has(name));
    const rest =
      first === undefined
        ? []
        : arrowsBetween(
            state,
            to,
            names,
            between.filter((other) => other !== state),
          );
    if (first !== undefined && rest.length > 0) return [first, ...rest];
  }
  return [];
}
