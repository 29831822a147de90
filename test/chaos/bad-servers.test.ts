/**
 * Servers, proxies and networks at their worst: the old version answers all the time, the reason is
 * told, and the update is made once they behave.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { cases } from '../support/chaos/cases.ts';
import { Scenario } from '../support/chaos/scenario.ts';
import type { FakeGitHub, Misbehaviour } from '../support/github/server.ts';

type Api = Exclude<Misbehaviour['api'], string | undefined>;
type BadServer = {
  title: string;
  misbehave?: (github: FakeGitHub) => Misbehaviour;
  /** The network instead of the server. */
  env?: Record<string, string>;
  /** Codes of which one is told; null for trouble that is none, and the update is made. */
  codes: readonly string[] | null;
};

const JSON_TYPE = { 'content-type': 'application/json' };
const HTML = '<!doctype html><html><body>Sign in to the Wi-Fi</body></html>';
const VAGUE = [
  'ANSWER_MALFORMED',
  'ANSWER_UNEXPECTED',
  'SERVER_FAILED',
  'NETWORK_FAILED',
  'ANSWER_TOO_LARGE',
];

const api = (title: string, answer: Api | 'hang' | 'reset', ...codes: string[]): BadServer => ({
  title,
  misbehave: () => ({ api: answer }),
  codes: codes.length > 0 ? codes : VAGUE,
});
const body = (title: string, content: string | Buffer, ...codes: string[]): BadServer =>
  api(title, { status: 200, body: content }, ...codes);
const spoilt = (
  title: string,
  spoil: (release: Record<string, unknown>) => unknown,
  codes: readonly string[] | null,
): BadServer => ({
  title,
  misbehave: () => ({ spoil }),
  codes,
});
const asset = (
  title: string,
  misbehave: (github: FakeGitHub) => Misbehaviour,
  ...codes: string[]
): BadServer => ({
  title: `the asset: ${title}`,
  misbehave,
  codes,
});
const raw = (
  title: string,
  path: RegExp,
  send: (socket: Socket) => void,
  ...codes: string[]
): BadServer => ({
  title,
  misbehave: () => ({ takeOver: { path, send } }),
  codes,
});

const assetOf = (release: Record<string, unknown>): Record<string, unknown> =>
  (release['assets'] as Record<string, unknown>[])[0] ?? {};
const withAsset = (change: Record<string, unknown>) => (release: Record<string, unknown>) => ({
  ...release,
  assets: [{ ...assetOf(release), ...change }],
});
const contentOf = (github: FakeGitHub): Buffer =>
  github.releases.find(({ tag }) => tag === 'v0.0.2')?.assets[0]?.content ?? Buffer.alloc(0);
const flipped = (content: Buffer): Buffer => {
  const copy = Buffer.from(content);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
};
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
const API = /^\/repos\/[^/]+\/[^/]+\/releases(?:\/latest)?$/;
const STORAGE = /^\/storage\//;

const servers: BadServer[] = [
  ...[400, 401, 404, 406, 410, 418, 422, 451].map((status) =>
    api(
      `the API answers ${status}`,
      { status },
      ...VAGUE,
      'NOT_FOUND',
      'TOKEN_REJECTED',
      'REPOSITORY_BLOCKED',
    ),
  ),
  ...[500, 502, 503, 504, 520].map((status) =>
    api(`the API answers ${status}`, { status }, 'SERVER_FAILED'),
  ),
  api(
    'the API answers 502 with a page of HTML',
    { status: 502, body: HTML, headers: { 'content-type': 'text/html' } },
    'SERVER_FAILED',
  ),
  api(
    'the API answers 503 and asks for a year of patience',
    { status: 503, headers: { 'retry-after': '31536000' } },
    'SERVER_FAILED',
    'RATE_LIMITED',
  ),
  api(
    'the API answers 403: the limit is used up',
    { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '99999999999' } },
    'RATE_LIMITED',
  ),
  api(
    'the API answers 403 with a secondary limit',
    { status: 403, headers: { 'retry-after': '1' } },
    'RATE_LIMITED',
  ),
  api(
    'the API answers 429 with a date',
    { status: 429, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
    'RATE_LIMITED',
  ),
  api(
    'the API answers 429 with nonsense',
    { status: 429, headers: { 'retry-after': 'soon' } },
    'RATE_LIMITED',
  ),
  api('the API answers 204', { status: 204, body: '' }),
  api(
    'the API redirects to itself',
    { status: 302, headers: { location: '/repos/acme/app/releases' } },
    'REDIRECT_REFUSED',
    ...VAGUE,
  ),
  api(
    'the API redirects elsewhere',
    { status: 302, headers: { location: 'https://evil.example/' } },
    'REDIRECT_REFUSED',
  ),
  api(
    'the API redirects to a file',
    { status: 301, headers: { location: 'file:///etc/passwd' } },
    'REDIRECT_REFUSED',
  ),
  api('the API redirects to nowhere', { status: 307 }, 'REDIRECT_REFUSED', ...VAGUE),
  api('the API hangs', 'hang', 'NETWORK_FAILED'),
  api('the API resets the connection', 'reset', 'NETWORK_FAILED'),
  body('the API answers HTML', HTML),
  body('the API answers nothing', ''),
  body('the API answers JSON that breaks off', '[{"id": 1, "tag_name": "v0.0.2", "ass'),
  body('the API answers null', 'null'),
  body('the API answers a number', '42'),
  body('the API answers an empty object', '{}'),
  body('the API answers JSON of 100,000 levels', deep(100_000)),
  body(
    'the API answers 4 MB of JSON',
    JSON.stringify([{ body: 'x'.repeat(4_000_000) }]),
    'ANSWER_TOO_LARGE',
  ),
  body('the API answers bytes that are no UTF-8', Buffer.from([0x5b, 0xff, 0xfe, 0x5d])),
  api(
    'the API answers 200 MB, gzipped',
    {
      status: 200,
      body: gzipSync(Buffer.alloc(200_000_000, 0x20)),
      headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    },
    'ANSWER_TOO_LARGE',
  ),
  api('the API says gzip, and it is not', {
    status: 200,
    body: '[]',
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
  }),
  api(
    'the API says a compression that nobody knows',
    { status: 200, body: '[]', headers: { ...JSON_TYPE, 'content-encoding': 'zip' } },
    ...VAGUE,
  ),
  raw(
    'the API speaks no HTTP',
    API,
    (socket) => socket.end('220 mail.example.com ESMTP\r\n'),
    'NETWORK_FAILED',
  ),
  raw(
    'the API sends 100 kB of headers',
    API,
    (socket) => socket.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n[]`),
    'NETWORK_FAILED',
  ),
  raw(
    'the API promises more than it sends',
    API,
    (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n[]'),
    'NETWORK_FAILED',
    'ANSWER_MALFORMED',
  ),
  raw(
    'the API breaks off in a chunk',
    API,
    (socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[{'),
    'NETWORK_FAILED',
    'ANSWER_MALFORMED',
  ),
  raw(
    'the API answers status 999',
    API,
    (socket) => socket.end('HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n[]'),
    ...VAGUE,
  ),
  spoilt('a release without a tag', ({ tag_name: _, ...rest }) => rest, VAGUE),
  spoilt('a tag that is a number', (release) => ({ ...release, tag_name: 2 }), VAGUE),
  spoilt('no list of assets', (release) => ({ ...release, assets: null }), VAGUE),
  spoilt('an asset of negative size', withAsset({ size: -1 }), VAGUE),
  spoilt('an asset of a terabyte', withAsset({ size: 10 ** 12 }), ['ASSET_TOO_LARGE']),
  spoilt('an asset whose address is elsewhere', withAsset({ url: 'https://evil.example/app' }), [
    'REDIRECT_REFUSED',
    ...VAGUE,
  ]),
  spoilt('an asset whose address is a file', withAsset({ url: 'file:///etc/passwd' }), [
    'REDIRECT_REFUSED',
    ...VAGUE,
  ]),
  spoilt('an asset whose address is none', withAsset({ url: 'not an address' }), [
    'REDIRECT_REFUSED',
    ...VAGUE,
  ]),
  spoilt('a digest that is none', withAsset({ digest: 'sha256:zz' }), [...VAGUE, 'DIGEST_MISSING']),
  spoilt(
    'a digest of another algorithm',
    withAsset({ digest: 'md5:d41d8cd98f00b204e9800998ecf8427e' }),
    [...VAGUE, 'DIGEST_MISSING'],
  ),
  spoilt('no digest', withAsset({ digest: null }), ['DIGEST_MISSING']),
  spoilt('another digest', withAsset({ digest: `sha256:${'0'.repeat(64)}` }), ['DIGEST_MISMATCH']),
  spoilt('fields of tomorrow', (release) => ({ ...release, tomorrow: { a: [1] } }), null),
  asset('answers 403', () => ({ assetStatus: 403 }), 'DOWNLOAD_REFUSED'),
  asset('answers 404', () => ({ assetStatus: 404 }), 'DOWNLOAD_REFUSED'),
  asset('answers 500', () => ({ assetStatus: 500 }), 'DOWNLOAD_REFUSED', 'SERVER_FAILED'),
  asset(
    'is HTML with status 200',
    () => ({ lie: Buffer.from(HTML) }),
    'DOWNLOAD_CUT',
    'LENGTH_MISMATCH',
  ),
  asset('is empty', () => ({ lie: Buffer.alloc(0) }), 'DOWNLOAD_CUT', 'LENGTH_MISMATCH'),
  asset(
    'breaks off',
    (github) => ({ cutAfterBytes: contentOf(github).length >> 1 }),
    'DOWNLOAD_CUT',
  ),
  asset(
    'breaks off at the last byte',
    (github) => ({ cutAfterBytes: contentOf(github).length - 1 }),
    'DOWNLOAD_CUT',
  ),
  asset(
    'stalls',
    (github) => ({ stallAfterBytes: contentOf(github).length >> 1 }),
    'DOWNLOAD_STALLED',
    'DOWNLOAD_CUT',
  ),
  asset(
    'is other bytes of the same length',
    (github) => ({ lie: randomBytes(contentOf(github).length) }),
    'DIGEST_MISMATCH',
  ),
  asset(
    'has one bit flipped',
    (github) => ({ lie: flipped(contentOf(github)) }),
    'DIGEST_MISMATCH',
  ),
  asset(
    'is longer than announced',
    (github) => ({ lie: Buffer.concat([contentOf(github), Buffer.from('more')]) }),
    'LENGTH_MISMATCH',
  ),
  asset(
    'is redirected in a circle',
    (github) => ({
      redirectTo: `${github.url}/repos/acme/app/releases/assets/${github.releases[0]?.assets[0]?.id}`,
    }),
    'REDIRECT_REFUSED',
    'DOWNLOAD_REFUSED',
  ),
  asset(
    'is redirected to a file',
    () => ({ redirectTo: 'file:///etc/passwd' }),
    'REDIRECT_REFUSED',
  ),
  asset(
    'is redirected to a host that is not listed',
    () => ({ redirectTo: 'https://evil.example/app' }),
    'REDIRECT_REFUSED',
  ),
  asset(
    'is redirected to nobody',
    () => ({ redirectTo: 'http://localhost:1/app' }),
    'NETWORK_FAILED',
  ),
  raw(
    'the storage speaks no HTTP',
    STORAGE,
    (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
    'NETWORK_FAILED',
    'DOWNLOAD_CUT',
  ),
  {
    title: 'the asset is one whose range is answered from the start',
    misbehave: () => ({ ignoreRange: true }),
    codes: null,
  },
  {
    title: 'nobody listens',
    env: { UPDATE_GH_API_URL: 'http://127.0.0.1:1' },
    codes: ['NETWORK_FAILED'],
  },
  {
    title: 'no such host',
    env: { UPDATE_GH_API_URL: 'https://no-such-host.invalid' },
    codes: ['NETWORK_FAILED'],
  },
  {
    title: 'no TLS where TLS is expected',
    env: { UPDATE_GH_API_URL: '' },
    codes: ['TLS_FAILED', 'NETWORK_FAILED'],
  },
];

cases('bad-servers', servers, { sample: 45, concurrency: 4 }, async ({ misbehave, env, codes }) => {
  await using scenario = await Scenario.prepare({
    strategy: 'download-then-kill',
    story: 'update',
    mode: 'once',
  });
  const { product } = scenario;
  const before = product.apps();
  product.github.misbehave = misbehave?.(product.github) ?? {};
  // TLS is spoken to the stand-in, which knows none.
  const network =
    env?.['UPDATE_GH_API_URL'] === ''
      ? { UPDATE_GH_API_URL: product.github.url.replace('http:', 'https:') }
      : env;
  await scenario.update({ prefix: [], env: network ?? {}, ended: async () => {} });
  const version = await scenario.check(performance.now());
  const { lastError } = await product.status();
  if (codes === null) assert.equal(version, '0.0.2');
  else {
    assert.equal(version, '0.0.1');
    assert.ok(
      lastError && codes.includes(lastError.code),
      `told: ${lastError?.code} (${lastError?.message})`,
    );
    assert.deepEqual(product.apps(), before, 'the app was restarted');
  }
  product.github.misbehave = {};
  const { waitingFor, nextCheck } = await product.status();
  if (waitingFor?.reason === 'rateLimit') {
    // Also an operator's command obeys it; it ends within hours, whatever was asked for.
    const minutes = (Date.parse(nextCheck ?? '') - Date.now()) / 60_000;
    assert.ok(minutes > 0 && minutes < 125, String(nextCheck));
    return `0.0.1 ran on, told as ${lastError?.code}; the next check is in ${minutes < 2 ? 'a minute' : 'two hours at most'}`;
  }
  await product.command(['retry', '0.0.2']);
  // The second one takes what the first one learnt about the release.
  await product.command(['check']);
  await product.command(['update']);
  await product.command(['update']);
  assert.equal(
    await scenario.check(performance.now()),
    '0.0.2',
    JSON.stringify(await product.status()),
  );
  return codes === null
    ? 'no trouble: updated'
    : `0.0.1 ran on, told as ${lastError?.code}; then updated`;
});
