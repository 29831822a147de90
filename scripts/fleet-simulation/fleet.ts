/** A fleet that takes one release: all of a scenario, from before its publication to the end. */
import type { Fact } from '../../src/machines/facts.ts';
import type { Policy } from '../../src/machines/model.ts';
import type { State } from '../../src/runtime/fold.ts';
import { facts, policy, running, tree } from '../../test/support/machine.ts';
import { Container } from './container.ts';
import { randomOf } from './events.ts';
import { MINUTE_MS, type Scenario } from './scenarios.ts';
import { GROUP, NEW, OLD, PUBLISHED_AT, World } from './world.ts';

export { NEW } from './world.ts';

/** A container that has been updated once, and whose app is trusted. */
function settled(): State {
  const update: Fact[] = [
    facts.found(OLD),
    facts.downloaded(OLD),
    { type: 'verified', checks: ['digest'], repositoryId: 1 },
    facts.installed(OLD),
    facts.allowed(),
    facts.switchStarted(OLD),
    facts.stopped(),
    facts.switched(tree(OLD)),
    facts.started(OLD),
    facts.healthy(OLD),
    facts.tidied(),
  ];
  const first = running({ policy: { strategy: 'download-then-kill' } });
  return update.reduce((story, fact) => story.when(fact), first).state;
}

function policyOf(index: number, scenario: Scenario): Policy {
  const id = `container-${index}`;
  const { slots, keepsOnFailure, rolloutMs, canaries } = scenario;
  const wariness = canaries === 0 ? null : index < canaries ? 0 : 1;
  return {
    ...policy,
    strategy: 'download-then-kill',
    retryBaseMs: scenario.pollIntervalMs,
    probationMs: scenario.probationMs,
    fleet: slots === null ? null : { id, group: GROUP, keepsOnFailure },
    rollout: rolloutMs === null ? null : { id, periodMs: rolloutMs, wariness },
  };
}

export type Fleet = { world: World; containers: readonly Container[] };

/**
 * Until all that can be updated are, the scenario's time is over, or nothing moves any more. The
 * same seed makes the same course.
 */
export async function simulate(scenario: Scenario, seed = 1): Promise<Fleet> {
  const world = new World(scenario);
  const rested = settled();
  const addresses = Math.ceil(scenario.containers / scenario.behindOneAddress);
  const containers = Array.from({ length: scenario.containers }, (_, index) => {
    const random = randomOf(seed * 1_000_003 + index);
    const isBad = random() < scenario.badShare;
    const startsAfterMs = Math.round((random() * scenario.warmUpMs) / 3);
    const traits = { index, address: index % addresses, isBad, random };
    const container = new Container(
      world,
      { ...traits, policy: policyOf(index, scenario) },
      rested,
    );
    world.events.add(world.now + startsAfterMs, () => container.start());
    return container;
  });
  let until = PUBLISHED_AT + scenario.untilMs;
  for (let event = world.events.next(); event !== null; event = world.events.next()) {
    if (event.at > until) break;
    world.now = event.at;
    // The last ones give their slots back.
    if (isOver(world)) until = Math.min(until, world.now + MINUTE_MS);
    await event.run();
  }
  return { world, containers };
}

function isOver({ scenario, meter, now }: World): boolean {
  const { updatedAfterMs, victims } = meter;
  if (updatedAfterMs.length + victims.size >= scenario.containers) return meter.down === 0;
  const last = updatedAfterMs.at(-1);
  if (last === undefined || scenario.rolloutMs !== null) return false;
  return now - PUBLISHED_AT - last > scenario.standstillMs;
}

/** Whether it runs the release by now. */
export function isUpdated({ running }: Container): boolean {
  return running === NEW;
}
