/**
 * `check`: whether an update is there, and why one that is newer does not count. It asks GitHub,
 * and changes nothing.
 */
import { check } from '../effects/check.ts';
import { highestKept, inboxDir, readWorld, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import { adoptPolicy } from '../machines/candidate.ts';
import { type Context, initialContext } from '../machines/context.ts';
import type { Release } from '../machines/model.ts';
import { replacementOf } from '../machines/unwanted.ts';
import { type Choice, checkInput, choiceOn, isNews } from '../machines/wanted.ts';
import { describeShownSource } from '../report/source.ts';
import { submit } from '../runtime/inbox.ts';
import { Fault } from '../support/fault.ts';
import { redact, redactJson } from '../support/redact.ts';
import { visible } from '../support/visible.ts';
import { type Arguments, EXIT } from './arguments.ts';
import { shownSource } from './followed-source.ts';
import { noteStore } from './notes.ts';
import { assetPatternOf, type Parts } from './parts.ts';
import { presenceOf, wakeUpdater } from './presence.ts';
import { readState } from './read.ts';
import { createSource } from './sources.ts';

/** `check`: asks GitHub without changing anything, and wakes a running updater. */
export async function checkOnly(
  args: Arguments,
  parts: Parts,
  signal: AbortSignal,
): Promise<number> {
  const { places, policy, config } = parts;
  const journal = Journal.openForReading(stateDir(places));
  const empty = {
    note: { read: () => readState(parts).note, write: () => {} },
    cache: { read: () => null, write: () => {} },
  };
  const { note, cache } = journal === null ? empty : noteStore(journal, false, config.secrets);
  try {
    const source = createSource(parts, cache);
    const known =
      readState(parts).state?.snapshot.context ??
      initialContext({
        policy,
        world: await readWorld(places),
        floor: await highestKept(places),
        at: Date.now(),
      });
    const context = { ...known, ...adoptPolicy(known, policy, Date.now()) };
    const fact = await check({ ...checkInput(context), request: null }, signal, {
      source,
      places,
      note,
      pollIntervalMs: config.pollIntervalMs,
      now: Date.now,
      random: Math.random,
      assetPattern: assetPatternOf(config),
    });
    const current = (context.current ?? context.baked)?.version ?? null;
    if (
      'code' in fact &&
      (!('tag' in fact) || fact.version === undefined || isNews(context, fact.version, fact.tag))
    )
      throw new Fault(fact.code, fact.message);
    const release = fact.type === 'releaseFound' ? fact.release : null;
    const choice = release === null ? null : choiceOn(context, release);
    const available = choice === 'follow';
    if (available) await wake(parts);
    const text =
      release === null || choice === null
        ? `up to date: ${current ?? 'nothing is installed'}`
        : describeChoice(choice, release, current, context);
    const asked = shownSource(config, source.webUntilMs ?? 0);
    const place = describeShownSource(asked);
    const answer = {
      updateAvailable: available,
      version: current,
      latest: release?.version ?? null,
      latestTag: release?.tag ?? null,
      source: asked,
    };
    process.stdout.write(
      args.json
        ? `${JSON.stringify(redactJson(answer, config.secrets()))}\n`
        : `${visible(redact(place === null ? text : `${text}; asked ${place}`, config.secrets()))}\n`,
    );
    return available ? EXIT.updateAvailable : EXIT.done;
  } finally {
    journal?.close();
  }
}

/**
 * "Up to date" is said only where it is true: a newer release may be denied, or wait for the
 * operator's word.
 */
function describeChoice(
  choice: Choice,
  release: Release,
  running: string | null,
  context: Context,
): string {
  const { version, tag, asset } = release;
  const { hold, highestHealthy } = context;
  const current = running ?? 'nothing is installed';
  const passedOver = (reason: string) =>
    `not up to date: ${current}. ${version} is available, but ${reason}`;
  switch (choice) {
    case 'follow':
      return `${running ?? 'nothing'} → ${version} (${tag}): ${asset.name}`;
    case 'notNewer':
      return `up to date: ${current}, latest ${version}`;
    case 'replaced':
      return `up to date: ${current}. ${replacementOf(context.current, release).message}`;
    case 'denied':
      return passedOver(`is denied (\`self-update retry ${version}\` allows it)`);
    case 'held':
      return passedOver(`${hold?.version} is held (\`self-update release\` ends that)`);
    case 'paused':
      return passedOver('updates are paused (`self-update resume` ends that)');
    case 'belowFloor':
      return passedOver(
        `is below ${highestHealthy}, which was healthy here (\`self-update deny ${highestHealthy}\` removes that limit, \`self-update install ${tag}\` installs it)`,
      );
    default:
      return choice satisfies never;
  }
}

/** Tells an updater, at work or asleep, to look now; where there is none, nobody needs to know. */
async function wake(parts: Parts): Promise<void> {
  const who = await presenceOf(parts);
  if (who === 'none' || who === 'elsewhere') return;
  submit(inboxDir(parts.places), { type: 'checkNow' });
  wakeUpdater(parts);
}
