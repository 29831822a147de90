/**
 * `/metrics`, derived from the journal at each scrape. Names follow
 * https://prometheus.io/docs/practices/naming/
 */
import { Counter, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import * as z from 'zod';
import type { Context } from '../machines/context.ts';
import type { PollNote } from '../machines/poll-note.ts';
import { shownStates } from '../machines/shown.ts';
import { compareVersions } from '../machines/version.ts';
import type { Update } from '../report/history.ts';
import type { Status } from '../report/status.ts';
import { visibleJson } from '../support/visible.ts';
import { viewOf, type WebContext } from './context.ts';
import { type Api, refusal } from './describe.ts';
import type { UpdaterView } from './updater-view.ts';

const OUTCOMES = {
  updated: 'updated',
  rolledBack: 'rolled_back',
  failed: 'failed',
} as const satisfies Record<Exclude<Update['outcome'], 'inProgress'>, string>;
const DOWNTIME_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const DOWNLOAD_BUCKETS_SECONDS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600];

export function addMetrics(api: Api, context: WebContext): void {
  api.add(
    {
      method: 'get',
      path: '/metrics',
      summary: 'Metrics for Prometheus',
      responses: {
        200: { description: 'text format', schema: z.string(), type: 'text/plain' },
        503: refusal('the updater is starting'),
      },
    },
    async (c) =>
      c.text(await measure(viewOf(context), context.programVersion), 200, {
        'content-type': Registry.PROMETHEUS_CONTENT_TYPE,
      }),
  );
}

/**
 * In Prometheus' text format. Made anew each time: figures that are derived need no state beside
 * the journal.
 */
export async function measure(
  { timeline, note, status, isAppUp, state }: UpdaterView,
  programVersion: string,
): Promise<string> {
  await timeline.catchUp();
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number | null): void => {
    if (value !== null)
      add(registry, new Gauge({ name: `self_update_${name}`, help, registers: [] })).set(value);
  };
  const info = (name: string, help: string, labels: Record<string, string>): void => {
    add(
      registry,
      new Gauge({
        name: `self_update_${name}`,
        help,
        labelNames: Object.keys(labels),
        registers: [],
      }),
    ).set(visibleJson(labels), 1);
  };
  const now = await status();
  const learnt = note();
  info('build_info', 'The updater itself.', { version: programVersion });
  info('app_info', 'The current version.', {
    version: now.version ?? '',
    tag: now.tag ?? '',
    repository: now.repository ?? '',
  });
  const isUp = await isAppUp();
  gauge('app_up', 'Whether the app runs.', isUp ? 1 : 0);
  gauge(
    'update_available',
    'Whether a version newer than the current one is known.',
    isNewerKnown(state().snapshot.context, learnt.latest) ? 1 : 0,
  );
  gauge(
    'last_check_timestamp_seconds',
    'When the source was last asked.',
    seconds(learnt.lastCheckAt),
  );
  gauge(
    'last_successful_check_timestamp_seconds',
    'When the source last answered.',
    seconds(learnt.lastSuccessAt),
  );
  gauge(
    'next_check_timestamp_seconds',
    'When the source is asked next.',
    seconds(learnt.nextCheckAt),
  );
  gauge(
    'rate_limit_remaining',
    "Requests left of GitHub's quota.",
    learnt.quota?.remaining ?? null,
  );
  gauge(
    'rate_limit_reset_timestamp_seconds',
    'When the quota is reset.',
    seconds(learnt.quota?.resetAt ?? null),
  );
  gauge('denied_versions', 'Versions that are not installed automatically.', now.denied.length);
  gauge('paused', 'Whether the operator paused updates.', now.paused ? 1 : 0);
  gauge('app_copies', 'Copies of the app: two in a hand-over.', copies(now.beside, isUp));
  addHeldSockets(registry, now);
  addFleetLock(registry, now);
  const states = add(
    registry,
    new Gauge({
      name: 'self_update_state',
      help: 'The state of the updater: 1 for the current one.',
      labelNames: ['state'],
      registers: [],
    }),
  );
  for (const state of shownStates()) states.set({ state }, state === now.state ? 1 : 0);
  add(
    registry,
    new Counter({ name: 'self_update_facts_total', help: 'Facts in the journal.', registers: [] }),
  ).inc(timeline.seq);
  const updates = add(
    registry,
    new Counter({
      name: 'self_update_updates_total',
      help: 'Tries to update, by outcome.',
      labelNames: ['outcome'],
      registers: [],
    }),
  );
  for (const [outcome, count] of Object.entries(timeline.ends))
    updates.inc({ outcome: OUTCOMES[outcome as keyof typeof OUTCOMES] }, count);
  const downtime = histogram(
    registry,
    'app_downtime_seconds',
    'How long the app was down for an update.',
    DOWNTIME_BUCKETS_SECONDS,
  );
  for (const { downtimeMs } of timeline.updates)
    if (downtimeMs !== null) downtime.observe(downtimeMs / 1000);
  const overlap = histogram(
    registry,
    'app_overlap_seconds',
    'How long two copies of the app ran at the same time, in a hand-over.',
    DOWNTIME_BUCKETS_SECONDS,
  );
  for (const { overlapMs } of timeline.updates)
    if (overlapMs !== null) overlap.observe(overlapMs / 1000);
  const durations = histogram(
    registry,
    'download_duration_seconds',
    'How long downloads took.',
    DOWNLOAD_BUCKETS_SECONDS,
  );
  const bytes = add(
    registry,
    new Counter({
      name: 'self_update_downloaded_bytes_total',
      help: 'Bytes of the downloads that were completed.',
      registers: [],
    }),
  );
  for (const { durationMs, sizeBytes } of timeline.downloads) {
    durations.observe(durationMs / 1000);
    bytes.inc(sizeBytes);
  }
  return registry.metrics();
}

function copies(beside: Status['beside'], isUp: boolean): number {
  return (isUp ? 1 : 0) + (beside === null ? 0 : 1);
}

function addHeldSockets(registry: Registry, { listening, listenOverflows }: Status): void {
  if (listening.length === 0) return;
  const queue = add(
    registry,
    new Gauge({
      name: 'self_update_listen_queue',
      help: 'Connections that wait for the app on a held socket.',
      labelNames: ['name'],
      registers: [],
    }),
  );
  for (const { name, waiting } of listening)
    if (waiting !== null) queue.set(visibleJson({ name }), waiting);
  if (listenOverflows === null) return;
  add(
    registry,
    new Counter({
      name: 'self_update_listen_overflows_total',
      help: 'Connections that found an accept queue full, in this network namespace.',
      registers: [],
    }),
  ).inc(listenOverflows);
}

function addFleetLock(registry: Registry, { fleet }: Status): void {
  if (fleet === null || fleet.lock === 'off') return;
  const lock = add(
    registry,
    new Gauge({
      name: 'self_update_fleet_lock',
      help: "The fleet's lock: 1 for what is known of it. kept: a version failed, and goes no further.",
      labelNames: ['state'],
      registers: [],
    }),
  );
  for (const state of ['none', 'unknown', 'held', 'kept'])
    lock.set({ state }, state === fleet.lock ? 1 : 0);
}

function isNewerKnown(
  { candidate, current, policy }: Context,
  latest: PollNote['latest'],
): boolean {
  if (candidate !== null || latest === null) return candidate !== null;
  return (
    current === null || compareVersions(latest.version, current.version, policy.versioning) > 0
  );
}

function add<M extends Metric>(registry: Registry, metric: M): M {
  registry.registerMetric(metric);
  return metric;
}

function histogram(registry: Registry, name: string, help: string, buckets: number[]): Histogram {
  return add(
    registry,
    new Histogram({ name: `self_update_${name}`, help, buckets, registers: [] }),
  );
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}
