import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { OPERATOR_TOKEN, Served } from '../../support/http.ts';

describe('an action', () => {
  let served: Served;
  before(async () => {
    served = await Served.create({ env: { UPDATE_HTTP_HOSTS: 'updates.example.com' } });
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
  });
  after(() => served[Symbol.asyncDispose]());
  const pause = (headers: Record<string, string>) =>
    served.ask('/api/actions/pause', { method: 'POST', headers });
  const authorization = `Bearer ${OPERATOR_TOKEN}`;

  const refused: [string, Record<string, string>, number, string][] = [
    ['without a token', {}, 401, 'TOKEN_MISSING'],
    ['with a wrong token', { authorization: 'Bearer wrong' }, 401, 'TOKEN_REJECTED'],
    [
      'with the beginning of the token',
      { authorization: `Bearer ${OPERATOR_TOKEN.slice(0, -1)}` },
      401,
      'TOKEN_REJECTED',
    ],
    ['with the token and more', { authorization: `${authorization}x` }, 401, 'TOKEN_REJECTED'],
    ['with the token as a cookie', { cookie: `token=${OPERATOR_TOKEN}` }, 401, 'TOKEN_MISSING'],
    [
      'from a page of another site',
      { authorization, origin: 'https://evil.example' },
      403,
      'CROSS_SITE',
    ],
    ['from a page without an origin', { authorization, origin: 'null' }, 403, 'CROSS_SITE'],
    [
      'as a browser marks another site',
      { authorization, 'sec-fetch-site': 'cross-site' },
      403,
      'CROSS_SITE',
    ],
    [
      'as a browser marks a neighbour',
      { authorization, 'sec-fetch-site': 'same-site' },
      403,
      'CROSS_SITE',
    ],
    [
      'under a name of somebody else (DNS rebinding)',
      { authorization, host: 'evil.example' },
      403,
      'HOST_REFUSED',
    ],
    [
      'under such a name, from its own page',
      { authorization, host: 'evil.example:80', origin: 'http://evil.example' },
      403,
      'HOST_REFUSED',
    ],
  ];
  for (const [how, headers, status, code] of refused) {
    it(`is refused ${how}`, async () => {
      const answer = await pause(headers);
      assert.equal(answer.status, status);
      assert.match(answer.text, new RegExp(`"${code}"`));
      assert.equal((await served.product.status()).paused, false);
    });
  }

  it('names its scheme where a token is missing', async () => {
    assert.match((await pause({})).headers['www-authenticate'] ?? '', /^Bearer/);
  });

  for (const [how, host] of [
    ['its address', '127.0.0.1'],
    ['localhost', 'localhost:1234'],
    ['a short name', 'updater:9090'],
    ['IPv6', '[::1]:9090'],
    ['a listed name', 'updates.example.com'],
  ] as const) {
    it(`is taken under ${how}`, async () => {
      assert.equal((await pause({ authorization, host })).status, 202);
      await served.product.fact('paused');
      await served.act('resume');
      await served.product.fact('resumed');
    });
  }

  it('is taken from the page of this very server', async () => {
    const host = `127.0.0.1:${served.port}`;
    assert.equal(
      (
        await pause({
          authorization,
          host,
          origin: `http://${host}`,
          'sec-fetch-site': 'same-origin',
        })
      ).status,
      202,
    );
    await served.act('resume');
  });

  it('takes a token of any characters that a header can hold', async () => {
    const token = 'p@ss word: with {blanks}, and more';
    await using other = await Served.create({ env: { UPDATE_HTTP_TOKEN: token } });
    other.product.start();
    await other.ready();
    assert.equal(
      (
        await other.ask('/api/actions/pause', {
          method: 'POST',
          headers: { authorization: `Bearer ${token}` },
        })
      ).status,
      202,
    );
  });

  it('is refused when its body does not fit', async () => {
    for (const body of [{}, { version: '' }, { version: 7 }, { version: 'x'.repeat(300) }])
      assert.equal((await served.act('deny', body)).status, 400);
    const post = (body: string, headers: Record<string, string> = {}) =>
      served.ask('/api/actions/deny', {
        method: 'POST',
        headers: { authorization, ...headers },
        body,
      });
    assert.equal((await post('not json', { 'content-type': 'application/json' })).status, 400);
    assert.equal(
      (await post('version=1', { 'content-type': 'application/x-www-form-urlencoded' })).status,
      415,
    );
    assert.equal(
      (
        await post(JSON.stringify({ version: 'x'.repeat(20_000) }), {
          'content-type': 'application/json',
        })
      ).status,
      413,
    );
  });

  it('is answered with an id, which tells what became of it', async () => {
    const command = async (id: string) => {
      const { status, text } = await served.ask(`/api/command?id=${id}`, {
        headers: { authorization },
      });
      return {
        status,
        ...(JSON.parse(text) as {
          progress?: string;
          outcome?: { ok: boolean; version: string } | null;
        }),
      };
    };
    const { id } = JSON.parse((await served.act('update')).text) as { id: string };
    let answer = await command(id);
    while (answer.progress !== 'settled') {
      assert.ok(answer.status === 200 && answer.outcome === null, JSON.stringify(answer));
      answer = await command(id);
    }
    assert.deepEqual([answer.outcome?.ok, answer.outcome?.version], [true, '0.0.1']);
    assert.equal((await command('1-none')).status, 404);
    assert.equal((await command('../state/lock')).status, 400);
  });

  it('does what the command does: each of them', async () => {
    const { product } = served;
    assert.equal((await served.act('deny', { version: 'v9.9.9' })).status, 202);
    await product.fact('versionDenied', ({ version }) => version === '9.9.9');
    await served.act('retry', { version: '9.9.9' });
    await product.fact('versionRetried', ({ version }) => version === '9.9.9');
    await served.act('restart');
    await product.fact('restartRequested');
    await served.publish('0.0.2');
    await served.act('check');
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await served.act('install', { tag: 'v0.0.1' });
    await product.fact('installRequested', ({ tag }) => tag === 'v0.0.1');
    await product.fact('switched', ({ to, seq }) => to.version === '0.0.1' && seq > 20);
    await served.act('release');
    await product.fact('holdReleased');
  });
});

describe('a setting that does not do what was meant', () => {
  const firstLines = async (env: Record<string, string>) => {
    await using served = await Served.create({ env });
    return (await served.product.command(['run', '--once'])).stderr;
  };

  it('is warned of: a token where nothing listens, a token that may be guessed', async () => {
    const nowhere = await firstLines({ UPDATE_HTTP_ADDR: '' });
    assert.match(
      nowhere,
      /warning: UPDATE_HTTP_TOKEN is set, but has no effect without UPDATE_HTTP_ADDR/,
    );
    assert.match(
      await firstLines({ UPDATE_HTTP_TOKEN: 'short' }),
      /warning: UPDATE_HTTP_TOKEN is shorter than 16 characters/,
    );
    assert.doesNotMatch(await firstLines({}), /warning: UPDATE_(?:HTTP|WEBHOOK)/);
  });
});

describe('without a token', () => {
  it('there are no actions, and the probes, status and metrics are there', async () => {
    await using served = await Served.create({
      env: { UPDATE_HTTP_TOKEN: '', UPDATE_HTTP_READ: '', UPDATE_WEBHOOK_SECRET: '' },
    });
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    for (const authorization of ['Bearer ', 'Bearer null', 'Bearer undefined']) {
      const { status, text } = await served.ask('/api/actions/pause', {
        method: 'POST',
        headers: { authorization },
      });
      assert.equal(status, 403);
      assert.match(text, /ACTIONS_OFF/);
    }
    for (const path of ['/healthz', '/api/status', '/metrics'])
      assert.equal((await served.ask(path)).status, 200);
    assert.equal((await served.ask('/hooks/github', { method: 'POST', body: '{}' })).status, 404);
  });
});
