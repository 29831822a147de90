import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import examples from '@octokit/webhooks-examples' with { type: 'json' };
import { Served, WEBHOOK_SECRET } from '../../support/http.ts';

type Recorded = {
  name: string;
  examples: { action?: string; repository?: { full_name: string } }[];
};
const recorded = examples as unknown as Recorded[];
const examplesOf = (name: string) => recorded.find((one) => one.name === name)?.examples ?? [];

function signed(body: string, secret = WEBHOOK_SECRET): Record<string, string> {
  return {
    'content-type': 'application/json',
    'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
  };
}

describe("GitHub's webhook", () => {
  let served: Served;
  // The repository of GitHub's recorded payloads.
  before(async () => {
    served = await Served.create({ owner: 'Codertocat', repo: 'Hello-World' });
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
  });
  after(() => served[Symbol.asyncDispose]());

  const deliver = (
    payload: object | string,
    event = 'release',
    headers: Record<string, string> = {},
  ) => {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
    return served.ask('/hooks/github', {
      method: 'POST',
      body,
      headers: {
        ...signed(body),
        'x-github-event': event,
        'x-github-delivery': crypto.randomUUID(),
        ...headers,
      },
    });
  };
  /** Resolves at the next question about releases. */
  const nextCheck = () =>
    new Promise<void>((resolve) => {
      const { events } = served.product.github;
      const look = ({ path }: { path: string }) => {
        if (!path.includes('/releases')) return;
        events.off('request', look);
        resolve();
      };
      events.on('request', look);
    });
  const checks = () =>
    served.product.github.requests.filter(({ path }) => path.includes('/releases')).length;

  const releases = examplesOf('release');
  it('has recorded payloads to be tested with', () =>
    assert.ok(releases.length >= 2, String(releases.length)));

  it('takes what is signed with a BOM before it: the signature is over the bytes', async () => {
    const body = `\ufeff${JSON.stringify(releases[0])}`;
    assert.equal((await deliver(body, 'ping')).status, 200);
    assert.equal((await deliver(body, 'ping', signed(body.slice(1)))).status, 401);
  });

  for (const [i, payload] of releases.entries()) {
    it(`starts a check at once, not after SLEEP: recorded payload ${i}, ${payload.action}`, async () => {
      const asked = nextCheck();
      assert.equal((await deliver(payload)).status, 202);
      // SLEEP is an hour here.
      await asked;
    });

    it(`does nothing when recorded payload ${i} is played again, under whatever delivery id`, async () => {
      const before = checks();
      const { status, text } = await deliver(payload);
      assert.deepEqual([status, JSON.parse(text)], [200, { ok: true, outcome: 'duplicate' }]);
      await served.product.command(['pause']);
      await served.product.command(['resume']);
      assert.ok(checks() - before <= 1, 'resume looks once by itself');
    });
  }

  it('does nothing when a payload is played again after a restart', async () => {
    await served.product.killUpdater();
    served.product.start();
    await served.ready();
    const { text } = await deliver(releases[0] ?? {});
    assert.match(text, /duplicate/);
  });

  it('passes over other events, other repositories and the first ping', async () => {
    for (const name of ['ping', 'push', 'issues', 'star']) {
      const [payload = {}] = examplesOf(name);
      const { status, text } = await deliver(payload, name);
      assert.equal(status, 200, name);
      assert.match(text, /ignored/);
    }
    const { text } = await deliver({ ...releases[0], repository: { full_name: 'somebody/else' } });
    assert.match(text, /ignored/);
  });

  it('takes the name of the repository in any case, as GitHub does', async () => {
    const asked = nextCheck();
    assert.equal(
      (
        await deliver({
          ...releases[0],
          extra: 1,
          repository: { full_name: 'codertocat/hello-world' },
        })
      ).status,
      202,
    );
    await asked;
  });

  const body = JSON.stringify({ ...releases[0], extra: 2 });
  const forged: [string, Record<string, string>][] = [
    ['without a signature', { 'x-hub-signature-256': '' }],
    ['with the signature of another secret', signed(body, 'other')],
    ['with the signature of another body', signed(`${body} `)],
    [
      'with the old, weak signature only',
      {
        'x-hub-signature-256': '',
        'x-hub-signature': `sha1=${createHmac('sha1', WEBHOOK_SECRET).update(body).digest('hex')}`,
      },
    ],
    [
      'with a signature that is cut',
      { 'x-hub-signature-256': signed(body)['x-hub-signature-256']?.slice(0, -1) ?? '' },
    ],
  ];
  for (const [how, headers] of forged) {
    it(`is refused ${how}`, async () => {
      const before = checks();
      assert.equal((await deliver(body, 'release', headers)).status, 401);
      assert.equal(checks(), before);
    });
  }

  it('is refused when a byte of the body was changed', async () => {
    const { status } = await served.ask('/hooks/github', {
      method: 'POST',
      body: body.replace('published', 'publishee'),
      headers: { ...signed(body), 'x-github-event': 'release' },
    });
    assert.equal(status, 401);
  });

  it('is refused when it is too large, before it is held', async () => {
    const request = http.request({
      host: '127.0.0.1',
      port: served.port,
      path: '/hooks/github',
      method: 'POST',
      headers: {
        'content-length': String(6 * 1024 * 1024),
        'x-hub-signature-256': `sha256=${'0'.repeat(64)}`,
      },
    });
    request.on('error', () => {});
    request.write('x');
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(response.statusCode, 413);
    request.destroy();
  });

  it('says what to change when it comes as a form', async () => {
    const { status, text } = await deliver(body, 'release', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    assert.equal(status, 415);
    assert.match(text, /application\/json/);
  });
});
