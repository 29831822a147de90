import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { type Config, parseConfig } from '../../src/config/config.ts';
import { settingNames } from '../../src/config/settings.ts';
import { settingsTable } from '../../src/config/table.ts';
import { redact } from '../../src/support/redact.ts';
import { mkfifo } from '../support/others.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'config-'));
after(() => rmSync(directory, { recursive: true }));

const MINIMAL = { GH_USER: 'acme', GH_REPO: 'app' };

function parsed(environment: Record<string, string> = {}): Config {
  const result = parseConfig({ ...MINIMAL, ...environment });
  assert.ok(result.ok, result.ok ? '' : result.problems.join('\n'));
  return result.config;
}

function problems(environment: Record<string, string | undefined>): string[] {
  const result = parseConfig({ ...MINIMAL, ...environment });
  return result.ok ? [] : result.problems;
}

describe('the configuration', () => {
  it('needs nothing but a repository', () => {
    const config = parsed();
    assert.equal(config.pollIntervalMs, 300_000);
    assert.equal(config.stop.waitMs, 7000);
    assert.equal(config.strategy, 'kill-then-download');
    assert.equal(config.apiUrl, 'https://api.github.com');
    assert.equal(config.maxAssetBytes, 1024 ** 3);
    assert.equal(config.token(), null);
  });

  for (const [updateDir, linkedDir] of [
    ...[
      ['/data/self-update', '/data'],
      ['/data/self-update', '/data/'],
      ['/data/self-update', '/'],
      ['/data/app', '/data/app'],
    ],
    ...[
      ['/data/app/updater', ''],
      ['/data/self-update', '/data/self-update/linked'],
      ['/data/self-update', '/data/app/..'],
    ],
  ] as [string, string][])
    it(`refuses the app's data at "${linkedDir}" beside UPDATE_DIR=${updateDir} where the app has a user of its own, and only there`, () => {
      const environment = { ...MINIMAL, UPDATE_DIR: updateDir, UPDATE_LINKED_DIR: linkedDir };
      const result = parseConfig(environment, true);
      assert.match(
        result.ok ? '' : result.problems.join(),
        /are not apart.*Set directories of which neither holds the other/,
      );
      assert.ok(parseConfig(environment).ok);
    });

  it("refuses versions of the image in the app's data, where the app has a user of its own: it could say that it is a newer one", () => {
    for (const [baked, linked] of [
      ['/data/app/baked', ''],
      ['/data/app/', ''],
      ['/srv/x/../app', '/srv/app'],
    ] as const) {
      const environment = {
        ...MINIMAL,
        UPDATE_DIR: '/data/self-update',
        UPDATE_BAKED_DIR: baked,
        UPDATE_LINKED_DIR: linked,
      };
      const result = parseConfig(environment, true);
      assert.match(
        result.ok ? '' : result.problems.join(),
        /^UPDATE_BAKED_DIR: .* is the app's.* Example: UPDATE_BAKED_DIR=\/opt\/app\/baked$/,
        baked,
      );
      assert.ok(parseConfig(environment).ok);
    }
    for (const baked of ['', '/opt/app/baked', '/data/baked', '/data/app-baked'])
      assert.ok(
        parseConfig({ ...MINIMAL, UPDATE_DIR: '/data/self-update', UPDATE_BAKED_DIR: baked }, true)
          .ok,
        baked,
      );
  });

  it("takes the app's data beside the updater's directory, also where a name begins with the other's", () => {
    for (const linkedDir of ['/data/app', '/data/self-update-data', '/data/..data', '/srv'])
      assert.ok(
        parseConfig(
          { ...MINIMAL, UPDATE_DIR: '/data/self-update', UPDATE_LINKED_DIR: linkedDir },
          true,
        ).ok,
        linkedDir,
      );
  });

  it('takes an empty variable as an unset one', () => {
    assert.equal(parsed({ SLEEP: '', UPDATE_TAG: '', VERBOSE: '' }).tag, null);
  });

  it('asks no host but its own of a directory, and lets it be asked every few seconds', () => {
    const { source, moreAssetHosts } = parsed({
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: 'https://files.corp/app//',
      SLEEP: '5',
    });
    assert.deepEqual(source, { name: 'directory', url: 'https://files.corp/app' });
    assert.deepEqual(moreAssetHosts, []);
  });

  const GITLAB = { UPDATE_SOURCE: 'gitlab', UPDATE_SOURCE_URL: 'https://gitlab.corp/git/' };
  const FORGEJO = { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: 'https://codeberg.org' };
  const owners: [source: Record<string, string>, owner: string][] = [
    [GITLAB, 'acme'],
    [GITLAB, 'acme/tools/.net'],
    [GITLAB, 'acme.dev/team_1'],
    [GITLAB, '_ops'],
    [FORGEJO, 'acme.dev'],
  ];
  for (const [source, owner] of owners)
    it(`follows ${owner} on a ${source['UPDATE_SOURCE']}`, () => {
      const { repository, repositoryName } = parsed({ ...source, GH_USER: owner });
      assert.deepEqual([repository, repositoryName], [`${owner}/app`, 'app']);
    });

  const pasted: [source: Record<string, string>, given: Record<string, string>, told: RegExp][] = [
    [GITLAB, { GH_REPO: 'acme/tools/app' }, /Set GH_USER=acme\/tools and GH_REPO=app$/],
    [
      GITLAB,
      { GH_REPO: 'https://gitlab.com/acme/tools/app/-/releases/v1' },
      /Set GH_USER=acme\/tools and GH_REPO=app$/,
    ],
    [
      GITLAB,
      { GH_USER: 'https://gitlab.corp/git/acme/app' },
      /^GH_USER: "https:.* Set GH_USER=acme and GH_REPO=app$/,
    ],
    [
      GITLAB,
      { GH_USER: 'git@gitlab.com:acme/tools/app.git' },
      /Set GH_USER=acme\/tools and GH_REPO=app$/,
    ],
    [GITLAB, { GH_USER: 'gitlab.com/acme/tools' }, /is an address. Set GH_USER=acme\/tools$/],
    [GITLAB, { GH_USER: 'acme/../other' }, /is not the name of a user or group/],
    [GITLAB, { GH_USER: '/acme' }, /is not the name of a user or group/],
    [GITLAB, { GH_USER: 'acme?x' }, /is not the name of a user or group/],
    [
      FORGEJO,
      { GH_USER: 'https://codeberg.org/acme.dev/app' },
      /Set GH_USER=acme\.dev and GH_REPO=app$/,
    ],
    [FORGEJO, { GH_USER: 'codeberg.org/acme' }, /Set GH_USER=acme$/],
    [FORGEJO, { GH_USER: 'acme/tools' }, /need UPDATE_SOURCE=gitlab$/],
    [FORGEJO, { GH_USER: '..' }, /is not the name of a user or organization/],
    [{ UPDATE_SOURCE: 'gitlub' }, { GH_USER: 'acme/tools' }, /^UPDATE_SOURCE: "gitlub"/],
  ];
  for (const [source, given, told] of pasted)
    it(`refuses ${Object.values(given)} on a ${source['UPDATE_SOURCE']}`, () => {
      const [problem, ...others] = problems({ ...MINIMAL, ...source, ...given });
      assert.match(problem ?? '', told);
      assert.deepEqual(others, []);
    });

  it('says every problem at once, each with its variable and an example', () => {
    const found = problems({
      GH_USER: 'a b',
      SLEEP: '-1',
      UPDATE_KEEP: '1',
      UPDATE_GH_API_URL: 'ftp://x',
      UPDATE_STOP_SIGNAL: 'FOO',
    });
    assert.equal(found.length, 5);
    for (const problem of found) assert.match(problem, /^[A-Z_]+: .+ Example: [A-Z_]+=.+$/);
  });

  const wrong: [string, Record<string, string | undefined>, RegExp][] = [
    ['no owner', { GH_USER: undefined }, /^GH_USER: is required/],
    [
      'an owner with a slash',
      { GH_USER: 'a/b' },
      /^GH_USER: "a\/b" names owner and repository. Set GH_USER=a and GH_REPO=b/,
    ],
    [
      'an owner that is none',
      { GH_USER: '-acme!' },
      /^GH_USER: "-acme!" is not the name of a GitHub user/,
    ],
    [
      'a subgroup, which only GitLab has',
      { GH_USER: 'acme/tools' },
      /Set GH_USER=acme and GH_REPO=tools; groups within groups are GitLab's, and need UPDATE_SOURCE=gitlab$/,
    ],
    [
      "an address of GitLab's under another source",
      { GH_REPO: 'https://gitlab.com/acme/tools/app' },
      /is an address of a GitLab. Set UPDATE_SOURCE=gitlab and UPDATE_SOURCE_URL=https:\/\/gitlab\.com$/,
    ],
    ['a dot in a login of GitHub', { GH_USER: 'acme.dev' }, /is not the name of a GitHub user/],
    ['an owner with an @', { GH_USER: '@acme' }, /Set GH_USER=acme$/],
    ['an address as owner', { GH_USER: 'https://github.com/acme/' }, /Set GH_USER=acme$/],
    [
      'a repository with an owner',
      { GH_REPO: 'acme/app.js' },
      /^GH_REPO: "acme\/app\.js" names owner and repository. Set GH_USER=acme and GH_REPO=app\.js$/,
    ],
    [
      'an address of a repository',
      { GH_REPO: 'https://github.com/acme/app/releases' },
      /Set GH_USER=acme and GH_REPO=app$/,
    ],
    [
      'an address to clone from',
      { GH_REPO: 'git@github.com:acme/app.git' },
      /Set GH_USER=acme and GH_REPO=app$/,
    ],
    ['a repository that ends in .git', { GH_REPO: 'app.git' }, /Set GH_REPO=app$/],
    [
      "GitHub's web site as its API",
      { UPDATE_GH_API_URL: 'https://github.com/acme' },
      /^UPDATE_GH_API_URL: .* is GitHub's web site, not its API/,
    ],
    [
      'a token of two lines',
      { UPDATE_GH_TOKEN: 'ghp_one\nghp_two' },
      /^UPDATE_GH_TOKEN: holds a line break: give the token alone, on one line/,
    ],
    ['a token in quotes', { UPDATE_GH_TOKEN: '"ghp_one"' }, /^UPDATE_GH_TOKEN: is set in quotes/],
    [
      'a token with the word before it',
      { UPDATE_GH_TOKEN: 'Bearer ghp_one' },
      /^UPDATE_GH_TOKEN: begins with a word/,
    ],
    ['a token with a blank', { UPDATE_GH_TOKEN: 'ghp one' }, /^UPDATE_GH_TOKEN: holds a blank/],
    [
      'a proxy of another kind',
      { HTTPS_PROXY: 'socks5://127.0.0.1:1080' },
      /^HTTPS_PROXY: is not the address of an http\(s\) proxy/,
    ],
    ['a repository that is a path', { GH_REPO: '..' }, /^GH_REPO: /],
    ['sleep in words', { SLEEP: 'often' }, /^SLEEP: "often" is not a number of seconds/],
    ['sleep below 5', { SLEEP: '4', UPDATE_GH_TOKEN: 't0ken' }, /^SLEEP: "4" is below 5/],
    [
      'a time above the limit, which is named in the unit that people write',
      { SLEEP: '40d' },
      /^SLEEP: "40d" is above 30d\. /,
    ],
    [
      'seconds with a wrong unit, and names the right ones',
      { SLEEP: '5x' },
      /is not a number of seconds, nor a time such as 90s, 5m, 12h or 3d/,
    ],
    [
      'bytes with a wrong unit, and names the right ones',
      { UPDATE_MAX_ASSET_BYTES: '5X' },
      /is not a number of bytes, nor a size such as 500M or 2GiB/,
    ],
    ['a port that is none', { UPDATE_HTTP_ADDR: ':99999' }, /":99999" has a port above 65535\. /],
    [
      'sleep below 60 without a token',
      { SLEEP: '59' },
      /^SLEEP: "59" is below 60.*60 requests an hour/,
    ],
    [
      'so of a GitLab, which is not called GitHub',
      { ...GITLAB, SLEEP: '59' },
      /^SLEEP: "59" is below 60, and servers limit requests without a token\. Set/,
    ],
    [
      'plain http to elsewhere',
      { UPDATE_GH_API_URL: 'http://github.corp/api/v3' },
      /plain http.*UPDATE_INSECURE_HTTP=1/,
    ],
    [
      'a directory without an address',
      { UPDATE_SOURCE: 'directory' },
      /^UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=directory.*Example: UPDATE_SOURCE_URL=https/,
    ],
    [
      'a forge without its address',
      { UPDATE_SOURCE: 'forgejo' },
      /^UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=forgejo.*Example: UPDATE_SOURCE_URL=https/,
    ],
    [
      'the API of a GitLab',
      { UPDATE_SOURCE: 'gitlab', UPDATE_SOURCE_URL: 'https://gitlab.corp/api/v4/' },
      /is the API of the gitlab.*Set UPDATE_SOURCE_URL=https:\/\/gitlab\.corp$/,
    ],
    [
      'a GitLab without its address',
      { UPDATE_SOURCE: 'gitlab' },
      /^UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=gitlab.*Example: UPDATE_SOURCE_URL=https:\/\/gitlab\.com$/,
    ],
    [
      'a directory by plain http elsewhere',
      { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'http://files.corp/app' },
      /plain http.*UPDATE_INSECURE_HTTP=1/,
    ],
    [
      'a file as the address of a server',
      { UPDATE_SOURCE_URL: 'file:///srv/releases' },
      /is for UPDATE_SOURCE=directory only/,
    ],
    [
      'the address of a forge, without its kind',
      { UPDATE_SOURCE_URL: 'https://codeberg.org' },
      /has no effect without UPDATE_SOURCE.*Set UPDATE_SOURCE=forgejo/,
    ],
    [
      'the address of a repository in place of its forge',
      { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: 'https://codeberg.org/acme/app.git' },
      /names? already\. Set UPDATE_SOURCE_URL=https:\/\/codeberg\.org$/,
    ],
    [
      'a directory by file: with two slashes',
      { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'file://mnt/releases' },
      /three slashes.*Set UPDATE_SOURCE_URL=file:\/\/\/mnt\/releases\/, with your path$/,
    ],
    [
      'a directory on another host by file:',
      { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'file://nas/releases' },
      /is no http\(s\) or file: address/,
    ],
    [
      'a directory with a password in its address',
      { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'https://a:b@files.corp/app' },
      /more than the address of a directory.*UPDATE_GH_TOKEN/,
    ],
    [
      'a directory with a query in its address',
      { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'https://files.corp/app?list' },
      /more than the address of a directory/,
    ],
    [
      'a range that is none',
      { UPDATE_RANGE: 'latest' },
      /^UPDATE_RANGE: "latest" is not a semver range/,
    ],
    ['an unknown strategy', { UPDATE_STRATEGY: 'fast' }, /kill-then-download, download-then-kill/],
    [
      'both health checks',
      { UPDATE_HEALTH_URL: 'http://127.0.0.1/', UPDATE_HEALTH_CMD: 'true' },
      /Keep one/,
    ],
    [
      'a linked name that leaves the tree',
      { UPDATE_LINKED: 'world ../etc' },
      /^UPDATE_LINKED: \.\.\/etc would leave the tree/,
    ],
    [
      'a hand-over without a held socket',
      { UPDATE_STRATEGY: 'hand-over' },
      /^UPDATE_STRATEGY: hand-over .* held for them\. Set UPDATE_LISTEN/,
    ],
    [
      'a hand-over with linked data',
      { UPDATE_STRATEGY: 'hand-over', UPDATE_LISTEN: '8080', UPDATE_LINKED: 'world' },
      /^UPDATE_LINKED: .*two versions would write the same data/,
    ],
    [
      'a hand-over with a pre-start hook',
      { UPDATE_STRATEGY: 'hand-over', UPDATE_LISTEN: '8080', UPDATE_PRE_START_CMD: 'true' },
      /^UPDATE_PRE_START_CMD: .*download-then-kill/,
    ],
    [
      'what is no minisign key, and names the one of several that is wrong',
      {
        UPDATE_MINISIGN_KEYS: `RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 RWQf6`,
        UPDATE_VERIFY: 'minisign',
      },
      /^UPDATE_MINISIGN_KEYS: "RWQf6" is not a minisign public key \(the 56 characters after the comment in minisign\.pub\)$/,
    ],
    [
      '56 characters that only look like a key',
      { UPDATE_MINISIGN_KEYS: `RW${'A'.repeat(54)}` },
      /^UPDATE_MINISIGN_KEYS: "RWA+" is not a minisign public key/,
    ],
    ['a relative directory', { UPDATE_DIR: 'data' }, /is not an absolute path/],
    ['bytes in words', { UPDATE_MAX_ASSET_BYTES: 'lots' }, /is not a number of bytes/],
    [
      'a time zone that is none',
      { TZ: 'Mars/Olympus', UPDATE_WINDOW: '02:00-05:00' },
      /is not a time zone/,
    ],
    [
      'a secret in the place of the name of its file',
      { UPDATE_GH_TOKEN_FILE: 'ghp_canary0123456789' },
      /^UPDATE_GH_TOKEN_FILE: is no file that can be read, and not shown, .*Set UPDATE_GH_TOKEN to that(?!.*canary)/,
    ],
    [
      'an address with a password, in a setting that is none',
      { UPDATE_HTTP_ADDR: 'user:canary0123456789@host:80' },
      /^UPDATE_HTTP_ADDR: "\[secret\]@host:80" is not host:port(?!.*canary)/,
    ],
    ['a group with a blank', { UPDATE_FLEET_GROUP: 'a b' }, /is not of letters, digits/],
    ['a name of many lines', { UPDATE_FLEET_ID: 'a\nb' }, /or blanks/],
    ['a place behind the last', { UPDATE_ROLLOUT_WARINESS: '1.5' }, /is not a number from 0 to 1/],
    ['a place before the first', { UPDATE_ROLLOUT_WARINESS: '-0.1' }, /is not a number from 0/],
    [
      'a lock without a server',
      { UPDATE_FLEET_LOCK_URL: 'airlock:80' },
      /is not an http\(s\) addr/,
    ],
    [
      'a secret file that is not there',
      { UPDATE_GH_TOKEN_FILE: '/nowhere/token' },
      /^UPDATE_GH_TOKEN_FILE: \/nowhere\/token can't be read \(ENOENT\)/,
    ],
  ];
  for (const [title, environment, message] of wrong) {
    it(`refuses ${title}`, () => {
      const found = problems(environment);
      assert.ok(
        found.some((problem) => message.test(problem)),
        found.join('\n') || 'accepted',
      );
    });
  }

  it('says of an empty secret file that it is empty, and no more', () => {
    const file = path.join(directory, 'empty');
    writeFileSync(file, '');
    assert.deepEqual(problems({ UPDATE_GH_TOKEN_FILE: file }), [
      `UPDATE_GH_TOKEN_FILE: ${file} is empty. Write the secret into it`,
    ]);
  });

  it('waits for no FIFO in the place of a secret or of a trust root, and reads none without an end', () => {
    const [fifo, huge] = [path.join(directory, 'fifo'), path.join(directory, 'huge')];
    mkfifo(fifo);
    writeFileSync(huge, 'secret');
    truncateSync(huge, 10 * 1024 ** 3);
    const said: [string, RegExp][] = [
      [fifo, /is a FIFO, and not a regular file\. Mount the secret there/],
      ['/dev/zero', /is a device, and not a regular file/],
      [huge, /is larger than 65536 bytes/],
    ];
    for (const [file, expected] of said) {
      const found = problems({ UPDATE_GH_TOKEN_FILE: file });
      assert.equal(found.length, 1);
      assert.match(found[0] ?? '', expected);
      assert.match(
        problems({ UPDATE_ATTESTATION_ROOT: file }).join(),
        /^UPDATE_ATTESTATION_ROOT: /,
      );
    }
  });

  it('accepts units, loopback without TLS, and short sleeps with a token', () => {
    const config = parsed({
      SLEEP: '5',
      UPDATE_GH_TOKEN: 'secret',
      UPDATE_GH_API_URL: 'http://127.0.0.1:8080/',
      UPDATE_PROBATION: '2m',
      UPDATE_MAX_ASSET_BYTES: '500MiB',
    });
    assert.deepEqual(
      [config.pollIntervalMs, config.apiUrl, config.probationMs, config.maxAssetBytes],
      [5000, 'http://127.0.0.1:8080', 120_000, 500 * 1024 ** 2],
    );
  });

  it("has no fleet's lock and no rollout unless they are set", () => {
    const { fleet, rollout } = parsed({});
    assert.deepEqual([fleet.isAsked, fleet.url(), rollout], [false, null, null]);
    const set = parsed({
      UPDATE_FLEET_LOCK_URL: 'http://airlock:3333',
      UPDATE_FLEET_ON_FAILURE: 'release',
      UPDATE_ROLLOUT: '24h',
      UPDATE_ROLLOUT_WARINESS: '0.25',
    });
    assert.deepEqual(
      [set.fleet.isAsked, set.fleet.url(), set.fleet.group, set.fleet.keepsOnFailure],
      [true, 'http://airlock:3333', 'default', false],
    );
    assert.deepEqual(set.rollout, { periodMs: 86_400_000, wariness: 0.25 });
  });

  it('accepts logins of managed users, and names with dots', () => {
    assert.equal(
      parsed({ GH_USER: 'ada_acme', GH_REPO: 'app.github.io_v2' }).repository,
      'ada_acme/app.github.io_v2',
    );
  });

  it('takes off the line break behind a token', () => {
    assert.equal(parsed({ UPDATE_GH_TOKEN: ' ghp_one\r\n' }).token(), 'ghp_one');
  });

  it('reads the proxy as curl does: host:port, and small letters first', () => {
    assert.equal(
      parsed({ HTTPS_PROXY: 'proxy.example.com:3128' }).proxy.HTTPS_PROXY,
      'http://proxy.example.com:3128',
    );
    assert.equal(
      parsed({ https_proxy: 'proxy:3128', HTTPS_PROXY: 'http://other:1' }).proxy.HTTPS_PROXY,
      'http://proxy:3128',
    );
    assert.equal(
      parsed({ no_proxy: 'localhost example.com, *.corp .lan 10.0.0.1', NO_PROXY: 'x' }).proxy
        .NO_PROXY,
      'localhost,.localhost,example.com,.example.com,*.corp,.lan,10.0.0.1',
    );
    const config = parsed({ https_proxy: 'ada:p%40ss-word@proxy:3128' });
    assert.ok(
      config.secrets().includes('p@ss-word') && config.secrets().includes('p%40ss-word'),
      config.secrets().join(),
    );
  });

  it('reads a secret from its file anew each time, and not twice', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'secret-'));
    const file = path.join(directory, 'token');
    try {
      writeFileSync(file, 'first\n');
      const { token } = parsed({ UPDATE_GH_TOKEN_FILE: file });
      assert.equal(token(), 'first');
      writeFileSync(file, 'second\n');
      assert.equal(token(), 'second');
      assert.match(
        problems({ UPDATE_GH_TOKEN_FILE: file, UPDATE_GH_TOKEN: 'x' }).join(),
        /given twice/,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('never repeats a secret in a complaint', () => {
    assert.ok(!problems({ HTTPS_PROXY: 'hunter2 is my password' }).join().includes('hunter2'));
  });

  it('takes user and password of every address for a secret, in the form in which they are sent too', () => {
    for (const name of [
      'UPDATE_GH_API_URL',
      'UPDATE_HEALTH_URL',
      'HTTPS_PROXY',
      'UPDATE_NOTIFY_URL',
      'UPDATE_ATTESTATION_ISSUER',
    ]) {
      const secrets = parsed({
        [name]: 'https://ops:hunt%2Fer2@github.example.com/api/v3',
      }).secrets();
      for (const part of ['hunt/er2', 'hunt%2Fer2', 'ops:hunt/er2'])
        assert.ok(secrets.includes(part), `${name}: ${part}`);
      assert.ok(!secrets.includes('ops'), 'a user alone is a word');
      assert.ok(
        parsed({ [name]: 'https://ghp_0123456789abcdef@github.example.com/' })
          .secrets()
          .includes('ghp_0123456789abcdef'),
        `${name}: a token as user`,
      );
    }
    const proxy = parsed({ HTTPS_PROXY: 'ops:hunt%2Fer2@proxy:3128' }).secrets();
    for (const part of ['hunt/er2', 'hunt%2Fer2', 'ops:hunt/er2'])
      assert.ok(proxy.includes(part), `a proxy as host:port: ${part}`);
    assert.deepEqual(parsed({ HTTPS_PROXY: 'proxy:3128' }).secrets(), []);
  });

  it('takes no secret for one that is a public name, or a part of one, and says where it is', () => {
    for (const [password, environment] of [
      ['megacorp', { GH_USER: 'megacorp' }],
      ['megacorp', { GH_USER: 'MegaCorp' }],
      ['frontend', { GH_REPO: 'frontend' }],
      ['frontend', { GH_REPO: 'our-frontend2' }],
    ] as const) {
      const config = parsed({
        HTTPS_PROXY: `http://ops:${password}@proxy:3128`,
        UPDATE_GH_TOKEN: 'ghp_0123456789abcdef',
        ...environment,
      });
      const secrets = config.secrets();
      assert.equal(
        redact(`${config.repository} is followed`, secrets),
        `${config.repository} is followed`,
      );
      assert.ok(secrets.includes('ghp_0123456789abcdef'));
      assert.equal(
        redact(`ops:${password} via http://ops:${password}@proxy`, secrets),
        '[secret] via http://[secret]@proxy',
      );
      assert.deepEqual(config.publicSecrets(), ['HTTPS_PROXY']);
    }
    const apart = parsed({ HTTPS_PROXY: 'http://ops:corp1@proxy:3128', GH_USER: 'megacorp1' });
    assert.ok(
      apart.secrets().includes('corp1'),
      'what would not be blacked out within a word stays a secret',
    );
    assert.deepEqual(apart.publicSecrets(), []);
  });

  it("says no address's password in a complaint, also where it is no address", () => {
    for (const name of [
      'UPDATE_GH_API_URL',
      'UPDATE_HEALTH_URL',
      'UPDATE_ATTESTATION_ISSUER',
      'HTTPS_PROXY',
      'UPDATE_NOTIFY_URL',
      'UPDATE_SOURCE_URL',
    ])
      for (const value of [
        'ftp://ops:hunter2@x',
        'ops:hunter2@github.corp',
        'https//ops:hunter2@x',
        'http://ops:hunter2/x@github.corp',
        'http://ops:p@hunter2@x:port',
        'ftp://x/app?sig=hunter2',
        'files.corp/app?sig=hunter2',
      ])
        assert.ok(
          !problems({ [name]: value })
            .join()
            .includes('hunter2'),
          `${name}=${value}: ${problems({ [name]: value })}`,
        );
    assert.ok(
      !problems({ UPDATE_GH_API_URL: 'http://ops:hunter2@github.corp/api' })
        .join()
        .includes('hunter2'),
      'plain http',
    );
    const signed = problems({
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: 'https://files.corp/app?sig=hunter2',
    }).join();
    assert.match(signed, /more than the address of a directory/);
    assert.ok(!signed.includes('hunter2'), signed);
    const webSite = problems({ UPDATE_GH_API_URL: 'https://ops:hunter2@github.com/acme' }).join();
    assert.match(webSite, /web site/);
    assert.ok(!webSite.includes('hunter2'), webSite);
  });

  it('notices slips of the pen', () => {
    const result = parseConfig({ ...MINIMAL, UPDATE_STRATEGI: 'x' });
    assert.deepEqual(result.ok && result.unknown, ['UPDATE_STRATEGI']);
  });

  it('is what docs/settings.md says', () => {
    const documented = readFileSync(
      path.join(import.meta.dirname, '..', '..', 'docs', 'settings.md'),
      'utf8',
    );
    assert.ok(documented.includes(settingsTable()), 'docs/settings.md is stale: npm run docs');
    for (const name of settingNames) assert.ok(documented.includes(`\`${name}\``), name);
  });
});
