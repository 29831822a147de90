/** Where a repository is in a registry, and what is said where the address is of something else. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.ts';
import { registryAddress } from '../../src/config/registry-address.ts';

const given = (url: string | undefined, more: Record<string, string> = {}) =>
  parseConfig({
    GH_USER: 'acme',
    GH_REPO: 'app',
    UPDATE_SOURCE: 'oci',
    UPDATE_SOURCE_URL: url,
    ...more,
  });

describe('the address of a repository in a registry', () => {
  const addresses: Record<string, [origin: string, name: string]> = {
    'https://ghcr.io/acme/app': ['https://ghcr.io', 'acme/app'],
    'https://docker.io/acme/app': ['https://registry-1.docker.io', 'acme/app'],
    'https://index.docker.io/acme/app': ['https://registry-1.docker.io', 'acme/app'],
    'http://127.0.0.1:5000/a.b/c_d__e/f--g/': ['http://127.0.0.1:5000', 'a.b/c_d__e/f--g'],
  };
  for (const [url, [origin, name]] of Object.entries(addresses))
    it(`is read from ${url}`, () => {
      assert.deepEqual(registryAddress(url), { origin, name });
      const result = given(url, { SLEEP: '5' });
      assert.ok(result.ok, JSON.stringify(result));
    });

  const wrong: Record<string, RegExp> = {
    'https://ghcr.io': /names a registry and no repository.*https:\/\/ghcr\.io\/owner\/app/,
    'https://ghcr.io/Acme/App': /names no repository.*in small letters/,
    'https://ghcr.io/acme//app': /names no repository/,
    'https://ghcr.io/acme%2fapp': /names no repository/,
    [`https://ghcr.io/${'a'.repeat(256)}`]: /names no repository/,
    'https://ghcr.io/acme/app:v1.2.3': /Set .*=https:\/\/ghcr\.io\/acme\/app; UPDATE_TAG/,
    'https://ghcr.io/acme/app@sha256:ab': /names a tag or a digest/,
    'https://ghcr.io/v2/acme/app': /begins with v2/,
    'https://hub.docker.com/r/acme/app': /web page.*=https:\/\/docker\.io\/acme\/app$/,
    'https://github.com/Acme/App': /web page.*=https:\/\/ghcr\.io\/acme\/app$/,
    'https://gitlab.com/acme/app/-/x': /web page.*=https:\/\/registry\.gitlab\.com\/owner\/app$/,
    'http://registry.corp/acme/app': /plain http.*UPDATE_INSECURE_HTTP=1/,
    'https://a:b@registry.corp/acme/app': /more than the address of a repository.*UPDATE_GH_TOKEN/,
    'file:///srv/registry': /is for UPDATE_SOURCE=directory only/,
  };
  for (const [url, message] of Object.entries(wrong))
    it(`is none: ${url.slice(0, 60)}`, () => {
      const result = given(url);
      assert.ok(!result.ok && result.problems.length === 1, JSON.stringify(result));
      assert.match(result.problems[0] ?? '', message);
    });

  it('is needed', () => {
    const result = given(undefined);
    assert.match(
      result.ok ? '' : result.problems.join(),
      /^UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=oci.*Example: UPDATE_SOURCE_URL=https/,
    );
  });

  it('stands beside a token with the name of its user, of which the token is the secret', () => {
    const secretsOf = (token: string) => {
      const result = given('https://ghcr.io/acme/app', { UPDATE_GH_TOKEN: token });
      return result.ok ? result.config.secrets() : [];
    };
    const token = 'dckr_pat_0123456789';
    assert.deepEqual(secretsOf(`ada:${token}`), [`ada:${token}`, token]);
    assert.deepEqual(secretsOf('ada:'), ['ada:']);
    assert.deepEqual(secretsOf(token), [token]);
  });
});
