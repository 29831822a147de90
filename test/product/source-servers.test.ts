/**
 * What each source that has a server has to pass: bad answers, limits, redirects, resumed downloads,
 * and what is kept. One row for each is in test/support/sources/rows.ts.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Follower } from '../support/sources/follower.ts';
import type { MisbehavingProxy, Misbehaviour } from '../support/sources/misbehaving-proxy.ts';
import { CANARY, SERVERS } from '../support/sources/rows.ts';
import { type SourceHarness, withSums } from '../support/sources/source-under-test.ts';

const NAME = 'app_linux_amd64.tar.gz';
const BYTES = randomBytes(300_000);
const HALF = BYTES.length / 2;
/** More than a hostile server gets rid of before its connection is closed. */
const ENOUGH_BYTES = 64 * 1024 * 1024;

/** Another host: it has what is placed there, and keeps what was asked of it. */
let elsewhere: {
  asked: http.IncomingHttpHeaders[];
  origin: (host: string) => string;
  keep: (body: Buffer) => string;
};
let close: () => Promise<unknown>;
beforeEach(async () => {
  const asked: http.IncomingHttpHeaders[] = [];
  const kept: Buffer[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.headers);
    response.end(kept[Number(request.url?.slice(1))] ?? BYTES);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const origin = (host: string) => `http://${host}:${port}`;
  const keep = (body: Buffer) => `${origin('localhost')}/${kept.push(body) - 1}`;
  elsewhere = { asked, origin, keep };
  close = async () => {
    server.closeAllConnections();
    await once(server.close(), 'close');
  };
});
afterEach(() => close());

type Case = { harness: SourceHarness; proxy: MisbehavingProxy; follower: Follower };

/** What metadata may be answered with, and what the check then tells. */
const REFUSED: Record<string, [way: () => Misbehaviour, code: string]> = {
  'a refused token (401)': [() => ({ status: 401 }), 'ACCESS_REFUSED'],
  'a refusal (403)': [() => ({ status: 403 }), 'ACCESS_REFUSED'],
  'nothing (404)': [() => ({ status: 404 }), 'NOT_FOUND'],
  'a proxy that asks for a password (407)': [() => ({ status: 407 }), 'PROXY_AUTH'],
  'a status of nobody (418)': [() => ({ status: 418 }), 'ANSWER_UNEXPECTED'],
  'trouble (500)': [() => ({ status: 500 }), 'SERVER_FAILED'],
  'trouble (503)': [() => ({ status: 503 }), 'SERVER_FAILED'],
  'a page of HTML': [() => ({ status: 200, body: '<html>' }), 'ANSWER_MALFORMED'],
  'another shape of JSON': [() => ({ status: 200, body: '{"tag_name":1}' }), 'ANSWER_MALFORMED'],
  'half of it': [() => ({ cutAfterBytes: 20 }), 'NETWORK_FAILED'],
  'no end': [() => 'endless', 'ANSWER_TOO_LARGE'],
  'a redirect to itself': [() => 'loop', 'REDIRECT_REFUSED'],
  'a redirect to another host': [
    () => ({ redirectTo: elsewhere.origin('localhost') }),
    'REDIRECT_REFUSED',
  ],
  'a redirect to a host that nobody allowed': [
    () => ({ redirectTo: elsewhere.origin('127.0.0.2') }),
    'REDIRECT_REFUSED',
  ],
};

const LIMITS: Record<string, Misbehaviour> = {
  '429': { status: 429, headers: { 'retry-after': '1800' } },
  '403 with a time': { status: 403, headers: { 'retry-after': '1800' } },
};
const LIMITED_FOR_MS = 1_800_000;

/** What the bytes may be answered with, and what the download then tells. */
const NOT_DOWNLOADED: Record<string, [way: () => Misbehaviour, code: string]> = {
  'a refusal (403)': [() => ({ status: 403 }), 'DOWNLOAD_REFUSED'],
  'nothing (404)': [() => ({ status: 404 }), 'DOWNLOAD_REFUSED'],
  'trouble (503)': [() => ({ status: 503 }), 'DOWNLOAD_REFUSED'],
  'a limit': [() => ({ status: 429, headers: { 'retry-after': '1800' } }), 'RATE_LIMITED'],
  'a page of HTML': [() => ({ status: 200, body: '<html>' }), 'LENGTH_MISMATCH'],
  'half of it': [() => ({ cutAfterBytes: 150_000 }), 'DOWNLOAD_CUT'],
  'no end': [() => 'endless', 'LENGTH_MISMATCH'],
  'a redirect to itself': [() => 'loop', 'REDIRECT_REFUSED'],
  'a redirect to a host that nobody allowed': [
    () => ({ redirectTo: elsewhere.origin('127.0.0.2') }),
    'REDIRECT_REFUSED',
  ],
};

const failure = async (follower: Follower) => {
  const fact = await follower.check();
  return 'code' in fact ? fact.code : fact.type;
};
const isOfGitHub = (source: string) => source.startsWith('github');

for (const { name, start, isAnonymous = false, codes = {} } of SERVERS) {
  describe(`the server of ${name}`, () => {
    const cases = (title: string, run: (given: Case) => Promise<void>) =>
      it(title, async () => {
        await using harness = await start();
        const { proxy } = harness;
        assert.ok(proxy !== null);
        await harness.publish('v1.0.0', withSums({ [NAME]: BYTES }));
        using follower = new Follower(harness.env);
        await run({ harness, proxy, follower });
      });

    for (const [answer, [way, code]] of Object.entries(REFUSED))
      cases(`that answers with ${answer} is told as that`, async ({ proxy, follower }) => {
        proxy.misbehave = { metadata: way() };
        assert.equal(await failure(follower), codes[answer] ?? code);
        assert.ok(proxy.endlessBytes < ENOUGH_BYTES, `${proxy.endlessBytes} bytes were taken`);
        assert.deepEqual(elsewhere.asked, []);
        const { message = '' } = follower.note.lastError ?? {};
        assert.match(message, /[:.;] \w/, 'what happened, and the remedy');
        if (!isOfGitHub(name)) assert.doesNotMatch(message, /GitHub|GH_API_URL/);
        proxy.misbehave = {};
        assert.equal((await follower.find()).tag, 'v1.0.0', 'it is asked again');
      });

    for (const way of ['silent', 'stalled'] as const)
      cases(`that is ${way} is given up with the check`, async ({ proxy, follower }) => {
        proxy.misbehave = { metadata: way };
        const ending = new AbortController();
        const asked = once(proxy.events, 'request');
        const closed = once(proxy.events, 'closed');
        const checked = assert.rejects(follower.check({ signal: ending.signal }));
        await asked;
        ending.abort();
        await Promise.all([checked, closed]);
      });

    for (const [answer, limit] of Object.entries(LIMITS))
      cases(`that says "limit" (${answer}) is not asked until then`, async (given) => {
        const { proxy, follower } = given;
        proxy.misbehave = { metadata: limit };
        assert.equal(await failure(follower), 'RATE_LIMITED');
        const forMs = (follower.note.limitedUntilAt ?? 0) - Date.now();
        assert.ok(Math.abs(forMs - LIMITED_FOR_MS) < 60_000, `${forMs}`);
        const { message = '' } = follower.note.lastError ?? {};
        assert.match(message, /answers no requests until \d{4}-/);
        proxy.misbehave = {};
        const before = proxy.requests.length;
        const again = await follower.check();
        assert.ok(again.type === 'checkFailed' && again.code === 'RATE_LIMITED');
        assert.doesNotMatch(again.message, /GitHub/);
        assert.equal(proxy.requests.length, before);
      });

    for (const [answer, [way, code]] of Object.entries(NOT_DOWNLOADED))
      cases(`that sends ${answer} for the bytes is told as that`, async (given) => {
        const { proxy, follower } = given;
        const found = await follower.find();
        proxy.misbehave = { file: way() };
        await assert.rejects(follower.download(found), { code: codes[`bytes: ${answer}`] ?? code });
        assert.ok(proxy.endlessBytes < ENOUGH_BYTES, `${proxy.endlessBytes} bytes were taken`);
        assert.deepEqual(elsewhere.asked, []);
        proxy.misbehave = {};
        const { fact } = await follower.download(found);
        assert.ok(readFileSync(fact.path).equals(BYTES), 'it is whole the next time');
      });

    for (const [ranges, later] of [
      ['with ranges resumes', undefined],
      ['without ranges begins anew', 'whole'],
    ] as const)
      cases(`${ranges} a download that was cut`, async ({ proxy, follower }) => {
        const found = await follower.find();
        proxy.misbehave = { file: { cutAfterBytes: HALF } };
        await assert.rejects(follower.download(found), { code: 'DOWNLOAD_CUT' });
        proxy.misbehave = later === undefined ? {} : { file: later };
        proxy.requests.length = 0;
        const downloaded = await follower.download(found);
        assert.ok(readFileSync(downloaded.fact.path).equals(BYTES));
        assert.equal((await follower.verify(downloaded)).type, 'verified');
        const [range] = proxy.requests.flatMap(({ headers }) => headers.range ?? []);
        assert.match(range ?? '', /^bytes=[1-9]\d*-$/);
      });

    cases('may keep its files on a host that is allowed, which gets no token', async (given) => {
      const { proxy, follower } = given;
      const found = await follower.find();
      proxy.misbehave = { file: { keep: elsewhere.keep } };
      const downloaded = await follower.download(found);
      assert.ok(readFileSync(downloaded.fact.path).equals(BYTES));
      assert.equal((await follower.verify(downloaded)).type, 'verified');
      assert.ok(elsewhere.asked.length > 0);
      assert.ok(!JSON.stringify(elsewhere.asked).includes(CANARY));
      const own = new URL(proxy.url).host;
      const withToken = proxy.requests.filter(({ headers }) => headers.authorization !== undefined);
      assert.equal(withToken.length > 0, !isAnonymous);
      assert.ok(withToken.every(({ host }) => host === own));
    });

    cases('is asked for no more than whether something changed', async ({ proxy, follower }) => {
      const found = await follower.find();
      proxy.requests.length = 0;
      assert.deepEqual((await follower.find()).asset, found.asset);
      assert.ok(proxy.requests.length > 0);
      assert.deepEqual(
        proxy.requests.filter(({ sentBytes }) => sentBytes > 0),
        [],
      );
    });

    cases('is asked anew with another token', async ({ harness, proxy, follower }) => {
      await follower.check();
      proxy.requests.length = 0;
      const env = { ...harness.env, UPDATE_GH_TOKEN: 'another-token-0123456789' };
      using other = new Follower(env, follower.kept);
      await other.check();
      assert.ok(proxy.requests.length > 0);
      const first = new Map(proxy.requests.toReversed().map((one) => [one.path, one.headers]));
      for (const [path, headers] of first) assert.equal(headers['if-none-match'], undefined, path);
    });
  });
}
