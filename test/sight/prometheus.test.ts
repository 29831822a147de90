/**
 * The metrics, by Prometheus' own tools: promtool finds nothing to say, and a real server scrapes
 * them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { archive } from '../support/app.ts';
import { Served } from '../support/http.ts';
import { freePort } from '../support/product.ts';

type Sample = { metric: Record<string, string>; value: [number, string] };

/** Of each panel of the dashboard for Grafana. That Grafana shows it is not tested: it is not here. */
function dashboard(): { title: string; expr: string }[] {
  const file = path.join(import.meta.dirname, '../../examples/grafana/self-update.json');
  const { panels } = JSON.parse(readFileSync(file, 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[];
  };
  const all = panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));
  assert.equal(all.length, 11);
  return all;
}

describe('the metrics', () => {
  let served: Served;
  before(async () => {
    served = await Served.create({ env: { SLEEP: '5' } });
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    await served.publish('0.0.2', { padBytes: 1_000_000 });
    await served.act('update');
    await served.product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    served.product.github.publish('v0.0.3', {
      'app_0.0.3.tar.gz': await archive({ app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } }),
    });
    await served.act('update');
    const failed = await served.product.fact('probationFailed');
    await served.product.fact('appStarted', ({ seq }) => seq > failed.seq);
  });
  after(() => served[Symbol.asyncDispose]());

  it('are clean in the eyes of promtool', async () => {
    const { text } = await served.ask('/metrics');
    const { exitCode, stdout, stderr } = await execa('promtool', ['check', 'metrics'], {
      input: text,
      reject: false,
    });
    assert.deepEqual([exitCode, stdout, stderr], [0, '', '']);
  });

  it('are found unclean by promtool when they are', async () => {
    const { exitCode } = await execa('promtool', ['check', 'metrics'], {
      input: 'self_update_things 1\n',
      reject: false,
    });
    assert.notEqual(exitCode, 0);
  });

  it('have alerts to begin with, which promtool accepts and which name metrics that are there', async () => {
    const file = path.join(
      import.meta.dirname,
      '..',
      '..',
      'examples',
      'prometheus',
      'alerts.yaml',
    );
    const { exitCode, stdout } = await execa('promtool', ['check', 'rules', file], {
      reject: false,
    });
    assert.equal(exitCode, 0, stdout);
    const { text } = await served.ask('/metrics');
    for (const [name] of readFileSync(file, 'utf8').matchAll(/self_update_\w+/g))
      assert.ok(text.includes(`# TYPE ${name} `), name);
  });

  it('are scraped by a real Prometheus, which can say what happened', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'prometheus-'));
    const port = await freePort();
    const config = {
      global: { scrape_interval: '1s' },
      scrape_configs: [
        { job_name: 'self-update', static_configs: [{ targets: [`127.0.0.1:${served.port}`] }] },
      ],
    };
    writeFileSync(path.join(directory, 'prometheus.yml'), JSON.stringify(config));
    const address = `127.0.0.1:${port}`;
    const args = [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${address}`,
    ];
    const prometheus = execa('prometheus', args, {
      reject: false,
      buffer: false,
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    });
    const query = async (expression: string): Promise<Sample[]> => {
      for (
        const deadline = performance.now() + 30_000;
        performance.now() < deadline;
        await sleep(200)
      ) {
        const response = await fetch(
          `http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`,
        ).catch(() => null);
        const body = response?.ok
          ? ((await response.json()) as { data: { result: Sample[] } })
          : null;
        if (body !== null && body.data.result.length > 0) return body.data.result;
      }
      throw new Error(`Prometheus has nothing for ${expression}`);
    };
    const value = async (expression: string) => Number((await query(expression))[0]?.value[1]);
    try {
      assert.equal(await value('up{job="self-update"} == 1'), 1);
      assert.equal((await query('self_update_app_info'))[0]?.metric['version'], '0.0.2');
      assert.equal(await value('self_update_app_up'), 1);
      assert.equal(await value('self_update_updates_total{outcome="updated"}'), 1);
      assert.equal(await value('self_update_updates_total{outcome="rolled_back"}'), 1);
      assert.equal(await value('self_update_updates_total{outcome="failed"}'), 0);
      assert.equal(await value('self_update_denied_versions'), 1);
      assert.equal(await value('self_update_app_downtime_seconds_count'), 2);
      assert.ok((await value('self_update_app_downtime_seconds_sum')) < 10);
      assert.equal(await value('self_update_download_duration_seconds_count'), 2);
      assert.ok((await value('self_update_downloaded_bytes_total')) > 1_000_000);
      assert.ok((await value('self_update_rate_limit_remaining')) > 0);
      assert.ok((await value('time() - self_update_last_successful_check_timestamp_seconds')) < 20);
      assert.equal(await value('self_update_update_available'), 1, '0.0.3 is newer, and denied');
      assert.equal(await value('sum(self_update_state)'), 1);
      for (const { title, expr } of dashboard())
        assert.ok((await query(expr)).length > 0, `${title}: ${expr}`);
    } finally {
      prometheus.kill('SIGTERM');
      await prometheus;
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
