/**
 * A 403 is a limit only if it says so; each other kind is told as what it is, and pauses nothing.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { check } from '../../src/effects/check.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { nextPollAt, type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { policy } from '../support/machine.ts';

let server: FakeGitHub;
let token: string | null;
let note: PollNote;
let nowMs: number;

beforeEach(async () => {
  token = 'token-one';
  server = await new FakeGitHub({ token: 'token-one' }).listen();
  server.publish('v1.0.0', { 'app_linux_amd64.tar.gz': Buffer.from('bytes') });
  note = pollNoteSchema.parse({});
  nowMs = Date.UTC(2026, 0, 1);
});
afterEach(() => server.close());

function client(): GitHub {
  const http = new Http({
    userAgent: 'test',
    apiUrl: server.url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => token,
    proxyEnvironment: {},
  });
  return new GitHub({
    http,
    repository: 'acme/app',
    cache: { read: () => null, write: () => {} },
    now: () => nowMs,
  });
}

let dice = 0;
async function poll(): Promise<{ code: string; message: string }> {
  const fact = await check(
    { policy, request: null, running: null, fresh: false },
    AbortSignal.timeout(10_000),
    {
      source: client(),
      places: {
        root: '/nonexistent',
        bakedDir: '/nonexistent',
        repository: 'acme/app',
        versioning: 'semver',
        tagPrefix: '',
      },
      note: {
        read: () => note,
        write: (written) => {
          note = written;
        },
      },
      pollIntervalMs: 300_000,
      now: () => nowMs,
      random: () => dice,
      assetPattern: null,
    },
  );
  return 'code' in fact ? fact : { code: fact.type, message: '' };
}

const json = (message: string, more: object = {}) =>
  JSON.stringify({ message, documentation_url: 'https://docs.github.com', ...more });

describe('a 403 that is no limit', () => {
  const cases: [
    title: string,
    code: string,
    message: RegExp,
    answer: { status: number; body: string; headers?: Record<string, string> },
  ][] = [
    [
      'single sign-on',
      'SSO_REQUIRED',
      /Configure SSO/,
      {
        status: 403,
        body: json(
          'Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization.',
        ),
        headers: {
          'x-github-sso':
            'required; url=https://github.com/orgs/acme/sso?authorization_request=SECRET',
          'x-ratelimit-remaining': '4999',
        },
      },
    ],
    [
      'an IP allow list',
      'IP_NOT_ALLOWED',
      /IP allow list/,
      {
        status: 403,
        body: json(
          'Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled, and 192.0.2.1 is not permitted.',
        ),
      },
    ],
    [
      'a blocked repository',
      'REPOSITORY_BLOCKED',
      /resolve that with GitHub/,
      { status: 403, body: json('Repository access blocked', { block: { reason: 'tos' } }) },
    ],
    [
      'a repository blocked by law',
      'REPOSITORY_BLOCKED',
      /\(451: Repository access blocked\)/,
      { status: 451, body: json('Repository access blocked', { block: { reason: 'dmca' } }) },
    ],
    [
      "a proxy's block page",
      'PROXY_BLOCKED',
      /a proxy or firewall blocks the address/,
      {
        status: 403,
        body: '<html><title>Blocked by policy</title>Contact abuse@example.com</html>',
        headers: { 'content-type': 'text/html' },
      },
    ],
    [
      'a token without the right',
      'ACCESS_REFUSED',
      /Resource not accessible by personal access token.*Contents: read/,
      { status: 403, body: json('Resource not accessible by personal access token') },
    ],
    [
      'an organization that forbids classic tokens',
      'TOKEN_KIND_REFUSED',
      /forbids access via a personal access token \(classic\).*Set UPDATE_GH_TOKEN to one that it accepts/,
      { status: 403, body: json('`acme` forbids access via a personal access token (classic).') },
    ],
    [
      'an organization that forbids tokens of a long life',
      'TOKEN_KIND_REFUSED',
      /github\.com\/settings\/personal-access-tokens\/1\b/,
      {
        status: 403,
        body: json(
          "The 'acme' organization forbids access via a fine-grained personal access tokens if the token's lifetime is greater than 366 days. Please adjust your token's lifetime at the following URL: https://github.com/settings/personal-access-tokens/1",
        ),
      },
    ],
    [
      'too many wrong tokens',
      'TOKEN_REJECTED',
      /Set UPDATE_GH_TOKEN to a valid token/,
      {
        status: 403,
        body: json('Maximum number of login attempts exceeded. Please try again later.'),
      },
    ],
    [
      "a proxy's block page that speaks of rates",
      'PROXY_BLOCKED',
      /a proxy or firewall blocks the address/,
      {
        status: 403,
        body: '<html>Access denied. Our rate limit policy is on the intranet.</html>',
        headers: { 'content-type': 'text/html' },
      },
    ],
    [
      'a network with a login page',
      'NETWORK_LOGIN',
      /requires a login/,
      { status: 511, body: '<html>Log in</html>', headers: { 'content-type': 'text/html' } },
    ],
  ];
  for (const [title, code, message, answer] of cases) {
    it(`${title}: ${code}, and the next poll comes as usual`, async () => {
      server.misbehave = { api: answer };
      const told = await poll();
      assert.equal(told.code, code);
      assert.match(told.message, message);
      assert.doesNotMatch(told.message, /SECRET/);
      assert.equal(note.limitedUntilAt, null);
      assert.equal(nextPollAt(note, 300_000, nowMs), nowMs + 300_000);
      server.misbehave = {};
      assert.equal((await poll()).code, 'releaseFound');
    });
  }
});

describe('a limit', () => {
  const cases: [
    title: string,
    answer: { status: number; body?: string; headers?: Record<string, string> },
  ][] = [
    ['429', { status: 429 }],
    ['403 with retry-after', { status: 403, headers: { 'retry-after': '60' } }],
    ['403 with no request left', { status: 403, headers: { 'x-ratelimit-remaining': '0' } }],
    [
      '403 in words',
      {
        status: 403,
        body: json(
          'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
        ),
      },
    ],
    [
      '403 in the old words',
      { status: 403, body: json('You have triggered an abuse detection mechanism.') },
    ],
    [
      'a page in words',
      { status: 403, body: '<html>Whoa there! You have exceeded a secondary rate limit.</html>' },
    ],
  ];
  for (const [title, answer] of cases) {
    it(`is told by ${title}`, async () => {
      server.misbehave = { api: answer };
      assert.equal((await poll()).code, 'RATE_LIMITED');
      assert.ok(note.limitedUntilAt !== null);
    });
  }

  it('is followed by all who met it within one interval, and not within seconds', async () => {
    server.misbehave = { api: { status: 403, headers: { 'retry-after': '3600' } } };
    dice = 0.5;
    await poll();
    dice = 0;
    assert.equal((note.nextCheckAt ?? 0) - (note.limitedUntilAt ?? 0), 150_000);
  });

  it('ends with a new token at once, and not with the old one', async () => {
    server.misbehave = { api: { status: 403, headers: { 'retry-after': '3600' } } };
    token = null;
    assert.equal((await poll()).code, 'RATE_LIMITED');
    server.misbehave = {};
    assert.equal((await poll()).code, 'RATE_LIMITED', 'the same one is limited still');
    assert.ok((nextPollAt(note, 300_000, nowMs, client().identity) ?? 0) >= nowMs + 3_600_000);
    token = 'token-two';
    server.misbehave = {
      api: {
        status: 200,
        body: '{"tag_name":"v1.0.0","draft":false,"prerelease":false,"assets":[]}',
      },
    };
    assert.equal(nextPollAt(note, 300_000, nowMs, client().identity), nowMs);
    assert.equal((await poll()).code, 'ASSET_MISSING', 'GitHub was asked');
    assert.equal(note.limitedUntilAt, null);
  });

  it('is kept without the token itself', async () => {
    server.misbehave = { api: { status: 429 } };
    await poll();
    assert.ok(note.limitedFor !== null && !JSON.stringify(note).includes('token-one'));
  });
});
