/** How a registry is asked with a token, and who never gets one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { RegistryAuth } from '../../src/effects/sources/oci-auth.ts';
import type { Realm } from '../support/registry/realm.ts';
import {
  CREDENTIAL,
  NAME,
  type RegistryOptions,
  TestRegistry,
} from '../support/registry/registry.ts';
import { httpFor, NOW, type SourceOptions, signal, sourceFor } from '../support/registry/source.ts';

const BASIC = `Basic ${Buffer.from(CREDENTIAL).toString('base64')}`;
const FILES = { 'app.tar.gz': Buffer.from('0123456789') };
const running: TestRegistry[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((registry) => registry[Symbol.asyncDispose]()));
});

async function start(options: RegistryOptions = {}) {
  const registry = await TestRegistry.start(options);
  running.push(registry);
  await registry.publish('v1.0.0', FILES);
  const { front } = registry;
  const source = (more: SourceOptions = {}) => sourceFor(front.url, more);
  return { front, source };
}

/** With a realm; its counts are those of the clients under test. */
async function startPrivate(options: RegistryOptions = {}) {
  const { front, source } = await start({ ...options, authorization: 'token' });
  const realm = front.realm as Realm;
  const owned = (more: SourceOptions = {}) => source({ token: () => CREDENTIAL, ...more });
  return { front, realm, source, owned };
}

const fetched = async (source: ReturnType<typeof sourceFor>) => {
  const asset = (await source.latest(0, signal()))?.assets[0];
  assert.ok(asset);
  const answer = await source.fetch(asset, {}, signal(), { decompress: false });
  answer.stream.destroy();
  return answer.status;
};

describe('a registry with a realm', () => {
  it('gives a public repository to anybody, for a token that may only pull it', async () => {
    const { front, realm, source } = await startPrivate();
    realm.isPublic = true;
    assert.equal(await fetched(source()), 200);
    assert.deepEqual(
      realm.asked.map(({ authorization, query }) => [authorization, Object.fromEntries(query)]),
      [[undefined, { service: 'registry.test', scope: `repository:${NAME}:pull` }]],
    );
    const [refused, ...others] = front.requests.filter(({ path }) => path.startsWith('/v2/'));
    assert.equal(refused?.authorization, undefined);
    for (const { authorization } of others)
      assert.equal(authorization, `Bearer ${realm.tokens[0]}`);
  });

  it('gives a private one to its credential, which the registry never sees, nor storage either', async () => {
    const { front, realm, owned } = await startPrivate({ redirectsTo: 'localhost' });
    assert.equal(await fetched(owned({ assetHosts: ['127.0.0.1', 'localhost'] })), 200);
    assert.deepEqual(
      realm.asked.map(({ authorization }) => authorization),
      [BASIC],
    );
    const { host } = new URL(front.url);
    const elsewhere = front.requests.filter((request) => request.host !== host);
    assert.ok(elsewhere.length === 1 && elsewhere[0]?.path.startsWith('/docker/'));
    assert.equal(elsewhere[0]?.authorization, undefined);
    for (const { authorization = '', path } of front.requests.filter(({ path }) =>
      path.startsWith('/v2/'),
    ))
      assert.ok(!authorization.includes('Basic'), path);
  });

  it('does not redirect to a host that nobody allowed', async () => {
    const { owned } = await startPrivate({ redirectsTo: 'localhost' });
    await assert.rejects(fetched(owned()), {
      code: 'REDIRECT_REFUSED',
      message: /UPDATE_ASSET_HOSTS/,
    });
  });

  it('is asked for a token once in its life, and then at once', async () => {
    const { front, realm, owned } = await startPrivate();
    let nowMs = NOW;
    const source = owned({ now: () => nowMs });
    await source.latest(0, signal());
    await source.latest(0, signal());
    assert.equal(realm.tokens.length, 1);
    nowMs += 289_000;
    await source.latest(0, signal());
    assert.equal(realm.tokens.length, 1);
    nowMs += 2000;
    front.requests.length = 0;
    await source.latest(0, signal());
    assert.equal(realm.tokens.length, 2);
    assert.deepEqual(
      front.requests.map(({ path }) => path.split('?')[0]),
      ['/token', `/v2/${NAME}/tags/list`, `/v2/${NAME}/manifests/v1.0.0`],
    );
  });

  it('that says nothing of the life of its tokens gives them for a minute', async () => {
    const { realm, owned } = await startPrivate();
    realm.lifeSeconds = null;
    let nowMs = NOW;
    const source = owned({ now: () => nowMs });
    await source.latest(0, signal());
    nowMs += 49_000;
    await source.latest(0, signal());
    assert.equal(realm.tokens.length, 1);
    nowMs += 2000;
    await source.latest(0, signal());
    assert.equal(realm.tokens.length, 2);
  });

  it('is asked anew where the credential was exchanged, or the registry forgot its token', async () => {
    const { front, realm, owned } = await startPrivate();
    let token = 'robot:wrong-token-0123456789';
    const source = owned({ token: () => token });
    await assert.rejects(source.latest(0, signal()), {
      code: 'ACCESS_REFUSED',
      message: /UPDATE_GH_TOKEN is wrong.*USER:TOKEN/,
    });
    token = CREDENTIAL;
    await source.latest(0, signal());
    token = 'robot:wrong-token-0123456789';
    await assert.rejects(source.latest(0, signal()), { code: 'ACCESS_REFUSED' });
    token = CREDENTIAL;
    await source.latest(0, signal());
    const before = realm.tokens.length;
    let refusals = 1;
    front.wrong = ({ path }) =>
      !path.startsWith('/v2/') || refusals-- < 1
        ? null
        : { status: 401, headers: { 'www-authenticate': `Bearer realm="${front.url}/token"` } };
    assert.equal((await source.latest(0, signal()))?.tag, 'v1.0.0');
    assert.equal(realm.tokens.length, before + 1);
  });

  it('tells who has no credential that it may be private', async () => {
    const { source } = await startPrivate();
    await assert.rejects(source().latest(0, signal()), {
      code: 'ACCESS_REFUSED',
      message: /does not exist there, or is private.*set UPDATE_GH_TOKEN/,
    });
  });

  it('takes a token alone with any user, and no text that is no token', async () => {
    const { realm, source } = await startPrivate();
    await assert.rejects(source({ token: () => 'ghp_canary' }).latest(0, signal()));
    const basic = Buffer.from(
      realm.asked[0]?.authorization?.slice('Basic '.length) ?? '',
      'base64',
    );
    assert.equal(basic.toString(), 'token:ghp_canary');
    await assert.rejects(source({ token: () => 'two words' }).latest(0, signal()), {
      code: 'TOKEN_MALFORMED',
    });
    assert.equal(realm.asked.length, 1);
  });

  it('keeps its tokens out of what is kept, also where the registry repeats them', async () => {
    const { front, realm, owned } = await startPrivate();
    const kept = new Map();
    front.wrong = ({ authorization, path }) =>
      path.includes('/tags/list') && authorization !== undefined
        ? {
            status: 200,
            headers: { etag: '"1"' },
            body: JSON.stringify({ tags: ['v1.0.0'], echo: authorization }),
          }
        : null;
    await owned({ kept }).latest(0, signal());
    const [token = ''] = realm.tokens;
    assert.notEqual(token, '');
    assert.ok(!JSON.stringify([...kept.values()]).includes(token));
  });

  const answers: Record<string, [status: number, body: string, code: string]> = {
    'a limit': [429, '', 'RATE_LIMITED'],
    'trouble of its own': [503, '', 'SERVER_FAILED'],
    'that there is nothing': [404, '', 'ANSWER_UNEXPECTED'],
    'a page': [200, '<html>', 'ANSWER_MALFORMED'],
    'no token': [200, '{}', 'ANSWER_MALFORMED'],
    'a token that is no header': [200, '{"token":"a\\r\\nb"}', 'ANSWER_MALFORMED'],
    'a token without end': [200, `{"token":"${'a'.repeat(20_000)}"}`, 'ANSWER_MALFORMED'],
    'an answer without end': [200, ' '.repeat(4_000_000), 'ANSWER_TOO_LARGE'],
  };
  for (const [title, [status, body, code]] of Object.entries(answers))
    it(`that answers ${title} is told as that`, async () => {
      const { front, owned } = await startPrivate();
      front.wrong = ({ path }) => (path.startsWith('/token') ? { status, body } : null);
      await assert.rejects(owned().latest(0, signal()), { code });
    });

  it('may call its token by the name that OAuth has for it', async () => {
    const { front, realm, owned } = await startPrivate();
    const access_token = realm.tokenFor(NAME, ['pull']);
    front.wrong = ({ path }) =>
      path.startsWith('/token') ? { status: 200, body: JSON.stringify({ access_token }) } : null;
    assert.equal((await owned().latest(0, signal()))?.tag, 'v1.0.0');
  });
});

describe('a registry with users and passwords', () => {
  it('gets the credential, and where it redirects to does not', async () => {
    const { front, source } = await start({ authorization: 'basic', redirectsTo: 'localhost' });
    const assetHosts = ['127.0.0.1', 'localhost'];
    assert.equal(await fetched(source({ token: () => CREDENTIAL, assetHosts })), 200);
    const { host } = new URL(front.url);
    const [first, ...others] = front.requests;
    assert.equal(first?.authorization, undefined);
    for (const { authorization, path, ...request } of others)
      assert.equal(authorization, request.host === host ? BASIC : undefined, path);
    assert.ok(others.some((request) => request.host !== host));
  });

  it('tells that a credential is missing, or wrong', async () => {
    const { front, source } = await start({ authorization: 'basic' });
    await assert.rejects(source().latest(0, signal()), { code: 'ACCESS_REFUSED' });
    const wrong = source({ token: () => 'robot:wrong-token' });
    await assert.rejects(wrong.latest(0, signal()), { code: 'ACCESS_REFUSED' });
    assert.equal(front.asked.length, 3);
  });
});

describe('a hostile registry', () => {
  /** A registry that names this realm. */
  async function naming(realm: (url: URL) => string) {
    const { front, source } = await start();
    const said = realm(new URL(front.url));
    front.wrong = ({ path }) =>
      path.startsWith('/v2/') ? { status: 401, headers: { 'www-authenticate': said } } : null;
    const asked = () => front.requests.filter(({ path }) => !path.startsWith('/v2/'));
    return { asked, source: (more = {}) => source({ token: () => CREDENTIAL, ...more }) };
  }
  const elsewhere = ({ port }: URL) => `Bearer realm="http://localhost:${port}/token",service="x"`;

  it('gets no token sent to a host of its choice, not even an anonymous question', async () => {
    const { asked, source } = await naming(elsewhere);
    for (const more of [{}, { token: () => null }, { moreHosts: ['*.localhost', '*.host'] }])
      await assert.rejects(source(more).latest(0, signal()), {
        code: 'REALM_REFUSED',
        message: /to localhost.*add localhost to UPDATE_ASSET_HOSTS/,
      });
    assert.deepEqual(asked(), []);
  });

  it('may send it to a host that the operator named', async () => {
    const { asked, source } = await naming(elsewhere);
    await assert.rejects(source({ moreHosts: ['LOCALHOST:443'] }).latest(0, signal()));
    assert.deepEqual(
      asked().map(({ authorization }) => authorization),
      [BASIC],
    );
  });

  const realms: Record<string, [said: string, code: string]> = {
    'with a user in it': ['Bearer realm="http://a:b@127.0.0.1/token"', 'REALM_REFUSED'],
    'of another protocol': ['Bearer realm="ftp://127.0.0.1/token"', 'REALM_REFUSED'],
    'that is no address': ['Bearer realm="token"', 'ANSWER_MALFORMED'],
    'that is missing': ['Bearer service="x"', 'ANSWER_MALFORMED'],
    'of another kind': ['Negotiate', 'ACCESS_REFUSED'],
  };
  for (const [title, [said, code]] of Object.entries(realms))
    it(`is refused for a realm ${title}`, async () => {
      const { asked, source } = await naming(() => said);
      await assert.rejects(source().latest(0, signal()), { code });
      assert.deepEqual(asked(), []);
    });

  it('that redirects its realm elsewhere gets nothing there', async () => {
    const { front, owned } = await startPrivate();
    const location = front.url.replace('127.0.0.1', 'localhost');
    front.wrong = ({ path }) =>
      path.startsWith('/token') ? { status: 307, headers: { location } } : null;
    await assert.rejects(owned().latest(0, signal()), { code: 'REDIRECT_REFUSED' });
    const { host } = new URL(front.url);
    assert.ok(front.requests.every((request) => request.host === host));
  });

  it('has no way to be asked for a token by its storage', async () => {
    const { front, realm, owned } = await startPrivate({ redirectsTo: 'localhost' });
    front.wrong = ({ path }) =>
      path.startsWith('/docker/')
        ? { status: 401, headers: { 'www-authenticate': `Bearer realm="${front.url}/token"` } }
        : null;
    assert.equal(await fetched(owned({ assetHosts: ['127.0.0.1', 'localhost'] })), 401);
    assert.equal(realm.asked.length, 1);
  });
});

describe('the realms that everybody knows', () => {
  const cases: Record<string, [origin: string, realm: string, isAsked: boolean]> = {
    'Docker Hub': ['https://registry-1.docker.io', 'https://auth.docker.io/token', true],
    GitLab: ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth', true],
    'ghcr.io': ['https://ghcr.io', 'https://ghcr.io/token', true],
    'a registry that names the one of Docker Hub': [
      'https://registry.example.com',
      'https://auth.docker.io/token',
      false,
    ],
    'Docker Hub by plain http': [
      'https://registry-1.docker.io',
      'http://auth.docker.io/token',
      false,
    ],
  };
  for (const [title, [origin, realm, isAsked]] of Object.entries(cases))
    it(`${title}: ${isAsked ? 'trusted' : 'refused'}`, async () => {
      const asked: string[] = [];
      const proxy = http.createServer().on('connect', ({ url = '' }, socket) => {
        asked.push(url);
        socket.end('HTTP/1.1 502 no\r\n\r\n');
      });
      await once(proxy.listen(0, '127.0.0.1'), 'listening');
      try {
        const options = {
          token: () => CREDENTIAL,
          proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
        };
        const headers = { 'www-authenticate': `Bearer realm="${realm}",service="x"` };
        const auth = new RegistryAuth({
          http: httpFor(origin, options),
          origin,
          name: NAME,
          moreHosts: [],
          now: () => NOW,
          secrets: () => [],
        });
        await assert.rejects(auth.answerChallenge({ headers }, signal()), {
          code: isAsked ? 'PROXY_FAILED' : 'REALM_REFUSED',
        });
        assert.deepEqual(asked, isAsked ? [`${new URL(realm).hostname}:443`] : []);
      } finally {
        proxy.close();
      }
    });
});
