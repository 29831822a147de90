/**
 * Every route, by every method, with a body in every form that a client sends: always a documented
 * answer, never a 500, never none.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { OPERATOR_TOKEN, Served, WEBHOOK_SECRET } from '../../support/http.ts';
import { sendRaw } from '../../support/raw-http.ts';

const METHODS = [
  'GET',
  'HEAD',
  'OPTIONS',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'TRACE',
  'QUERY',
  'PROPFIND',
];
const AUTHORIZATION = `Authorization: Bearer ${OPERATOR_TOKEN}\r\n`;
const JSON_TYPE = 'Content-Type: application/json\r\n';
const MORE_THAN_TAKEN = 'x'.repeat(20_000);

const withLength = (body: string) => `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const inChunks = (...chunks: string[]) =>
  `Transfer-Encoding: chunked\r\n\r\n${chunks
    .filter(Boolean)
    .map((chunk) => `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`)
    .join('')}0\r\n\r\n`;
const signed = (body: string) =>
  `X-Hub-Signature-256: sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}\r\n`;

describe('a request over HTTP', () => {
  let served: Served;
  before(async () => {
    served = await Served.create();
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
  });
  after(() => served[Symbol.asyncDispose]());

  /**
   * A whole request: the head's further lines and the body are `rest`, which begins the body with
   * an empty line.
   */
  const send = (method: string, path: string, rest = '\r\n', version = '1.1') =>
    sendRaw(
      served.port,
      `${method} ${path} HTTP/${version}\r\n${version === '1.1' ? 'Host: localhost\r\nConnection: close\r\n' : ''}${rest}`,
    );

  /** Paths with the methods that they take, as the server itself says. */
  const routes = async (): Promise<[string, string[]][]> => {
    const { paths } = await served.describe();
    const described = Object.entries(paths).map(([path, route]): [string, string[]] => [
      path,
      Object.keys(route).map((name) => name.toUpperCase()),
    ]);
    return [...described, ['/', ['GET']], ['/api/openapi.json', ['GET']]];
  };

  for (const version of ['1.1', '1.0']) {
    it(`has an answer by each method at each path, in HTTP/${version}`, async () => {
      const expected: Record<string, string> = {};
      const answered: Record<string, string> = {};
      for (const [path, taken] of await routes()) {
        const allow = taken.includes('GET') ? 'GET, HEAD, OPTIONS' : 'POST, OPTIONS';
        for (const method of METHODS) {
          const isTaken = allow.split(', ').includes(method) && method !== 'OPTIONS';
          // Without the token and the signature, so that nothing happens.
          const isReading = path.startsWith('/api/') && path !== '/api/openapi.json';
          const refused = method === 'POST' || isReading ? '401' : '200';
          expected[`${method} ${path}`] = isTaken
            ? refused
            : `${method === 'OPTIONS' ? 204 : 405} ${allow}`;
          const { status, headers } = await send(method, path, '\r\n', version);
          answered[`${method} ${path}`] = isTaken
            ? String(status)
            : `${status} ${headers.get('allow')}`;
        }
      }
      assert.deepEqual(answered, expected);
    });
  }

  it('has an answer at each path for a reader, in HTTP/1.1 and HTTP/1.0', async () => {
    for (const version of ['1.1', '1.0'])
      for (const [path, taken] of await routes()) {
        if (!taken.includes('GET')) continue;
        const { status } = await send('GET', path, `${AUTHORIZATION}\r\n`, version);
        assert.equal(status, path === '/api/replay' || path === '/api/command' ? 400 : 200, path);
      }
  });

  it('has the same head by HEAD as by GET, and no body', async () => {
    for (const path of ['/', '/healthz', '/api/status', '/metrics', '/api/openapi.json']) {
      const [head, get] = [
        await send('HEAD', path, `${AUTHORIZATION}\r\n`),
        await send('GET', path, `${AUTHORIZATION}\r\n`),
      ];
      assert.deepEqual(
        [head.status, head.headers.get('content-type'), head.body],
        [get.status, get.headers.get('content-type'), ''],
        path,
      );
    }
  });

  const bodies: [string, string, number][] = [
    ['no body and no length', '\r\n', 202],
    ['a length of 0', withLength(''), 202],
    [
      'a length of 0, as a form (curl -d "")',
      `Content-Type: application/x-www-form-urlencoded\r\n${withLength('')}`,
      202,
    ],
    ['no chunk', inChunks(), 202],
    ['JSON with a length', JSON_TYPE + withLength('{}'), 202],
    ['JSON in one chunk', JSON_TYPE + inChunks('{}'), 202],
    ['JSON in chunks', JSON_TYPE + inChunks('{', '}'), 202],
    [
      'JSON, the type in capitals',
      `CONTENT-TYPE: Application/JSON; Charset=UTF-8\r\n${withLength('{}')}`,
      202,
    ],
    ['JSON after "100 Continue"', `Expect: 100-continue\r\n${JSON_TYPE}${withLength('{}')}`, 202],
    [
      'an expectation that nobody meets',
      `Expect: a-miracle\r\n${JSON_TYPE}${withLength('{}')}`,
      417,
    ],
    [
      'an offer of HTTP/2',
      `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n`,
      202,
    ],
    ['JSON without its type', withLength('{}'), 415],
    ['JSON in chunks without its type', inChunks('{}'), 415],
    ['a form', `Content-Type: application/x-www-form-urlencoded\r\n${withLength('{}=')}`, 415],
    [
      'a type that only begins like JSON',
      `Content-Type: application/jsonlines\r\n${withLength('{}')}`,
      415,
    ],
    ['something compressed', `${JSON_TYPE}Content-Encoding: gzip\r\n${withLength('{}')}`, 415],
    ['what is not JSON', JSON_TYPE + withLength('{'), 400],
    ['blanks', JSON_TYPE + withLength(' '), 400],
    ['null', JSON_TYPE + withLength('null'), 400],
    ['a list', JSON_TYPE + withLength('[]'), 400],
    ['a text', JSON_TYPE + withLength('"{}"'), 400],
    ['too much, with a length', JSON_TYPE + withLength(MORE_THAN_TAKEN), 413],
    ['too much, in a chunk', JSON_TYPE + inChunks(MORE_THAN_TAKEN), 413],
    ['too much announced, and nothing sent', `${JSON_TYPE}Content-Length: 99999999\r\n\r\n`, 413],
    ['two lengths', `Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400],
    ['a length and chunks', `Content-Length: 2\r\n${inChunks('{}')}`, 400],
    ['a length that is none', `Content-Length: two\r\n\r\n{}`, 400],
    ['a chunk whose size is none', 'Transfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
  ];
  for (const [what, rest, status] of bodies) {
    it(`an action with ${what} is answered with ${status}`, async () => {
      const answer = await send('POST', '/api/actions/check', AUTHORIZATION + rest);
      assert.equal(answer.status, status, answer.body);
    });
  }

  it('says of what is not JSON that it is not', async () => {
    const answer = await send(
      'POST',
      '/api/actions/check',
      AUTHORIZATION + JSON_TYPE + withLength('{'),
    );
    assert.match(answer.body, /"the body is not JSON"/);
  });

  it('an action with bytes that are not UTF-8 is answered with 400', async () => {
    const head = `POST /api/actions/check HTTP/1.1\r\nHost: localhost\r\n${AUTHORIZATION}${JSON_TYPE}Content-Length: 4\r\n\r\n`;
    const body = Buffer.from([0x22, 0xff, 0xfe, 0x22]);
    assert.equal(
      (await sendRaw(served.port, Buffer.concat([Buffer.from(head), body]))).status,
      400,
    );
  });

  it('an action in HTTP/1.0, which has no Host, is taken with and without a body', async () => {
    for (const rest of ['\r\n', withLength(''), JSON_TYPE + withLength('{}')])
      assert.equal(
        (await send('POST', '/api/actions/check', AUTHORIZATION + rest, '1.0')).status,
        202,
        rest,
      );
  });

  it('an action that has to name something is refused with 400 when it does not, in every form of nothing', async () => {
    for (const name of ['install', 'approve', 'deny', 'retry'])
      for (const rest of ['\r\n', withLength(''), inChunks(), JSON_TYPE + withLength('{}')])
        assert.equal(
          (await send('POST', `/api/actions/${name}`, AUTHORIZATION + rest)).status,
          400,
          `${name} ${rest}`,
        );
  });

  it('a webhook that is signed, and not what it should be, is told why', async () => {
    const webhooks: [string, string, string, number][] = [
      ['not JSON', JSON_TYPE, 'not json', 400],
      ['half of JSON', JSON_TYPE, '{"action":', 400],
      ['JSON of another kind', JSON_TYPE, '[]', 200],
      ['a form', 'Content-Type: application/x-www-form-urlencoded\r\n', 'payload=%7B%7D', 415],
      ['nothing', JSON_TYPE, '', 400],
    ];
    for (const [what, type, body, status] of webhooks)
      for (const form of [withLength, inChunks])
        assert.equal(
          (await send('POST', '/hooks/github', type + signed(body) + form(body))).status,
          status,
          `${what}, ${form.name}`,
        );
  });

  it('that makes no sense is refused, and the server goes on', async () => {
    const requests: [string, string, number][] = [
      ['no HTTP', 'hello\r\n\r\n', 400],
      ['HTTP/1.1 without Host', 'GET /api/status HTTP/1.1\r\n\r\n', 400],
      [
        'an impossible Host',
        'GET /api/status HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n',
        400,
      ],
      [
        'another host in the target',
        'GET http://evil.example/api/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
        403,
      ],
      [
        'the whole server',
        'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
        400,
      ],
      ['a tunnel', 'CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n', 0],
      [
        'a head without end',
        `GET /api/status HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
        431,
      ],
      [
        'a path that is not there',
        'POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
        404,
      ],
      [
        'a slash too many',
        'GET /api/status/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
        404,
      ],
      [
        'a broken escape',
        'GET /api/%ZZ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
        404,
      ],
    ];
    const answered = [];
    for (const [what, request] of requests)
      answered.push([what, (await sendRaw(served.port, request)).status]);
    assert.deepEqual(
      answered,
      requests.map(([what, , status]) => [what, status]),
    );
    assert.equal((await send('GET', '/healthz')).status, 200);
  });

  it('whose client goes away in the middle of its body leaves nothing behind', async () => {
    const half = `POST /api/actions/check HTTP/1.1\r\nHost: localhost\r\n${AUTHORIZATION}${JSON_TYPE}Content-Length: 10\r\n\r\n{`;
    for (let i = 0; i < 10; i += 1)
      await new Promise<void>((resolve) => {
        const socket = net.connect(served.port, '127.0.0.1', () =>
          socket.write(half, () => socket.destroy()),
        );
        socket.on('close', () => resolve());
      });
    assert.equal((await send('GET', '/healthz')).status, 200);
    assert.ok(
      !served.product.log.some((line) => /unexpected|\bat .*node_modules/i.test(line)),
      served.product.log.join('\n'),
    );
  });

  const url = () => `${served.url}/api/actions/check`;
  const isThere = (program: string) =>
    spawnSync(program, ['--help']).error === undefined
      ? {}
      : { skip: `there is no ${program} here` };
  const BEARER = `Authorization: Bearer ${OPERATOR_TOKEN}`;
  const curl = (...args: string[]) =>
    execa('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-H', BEARER, ...args], {
      reject: false,
      stripFinalNewline: true,
      input: '{}',
    });
  const curls: [string, string[], string][] = [
    ['-X POST, as documented', ['-X', 'POST'], '202'],
    ['-X POST, in HTTP/1.0', ['-0', '-X', 'POST'], '202'],
    ['-X POST, with an offer of HTTP/2', ['--http2', '-X', 'POST'], '202'],
    ["-d ''", ['-d', ''], '202'],
    ['--json', ['--json', '{}'], '202'],
    ['-T -, in chunks', ['-X', 'POST', '-H', 'Content-Type: application/json', '-T', '-'], '202'],
    ['-d and no type', ['-d', '{}'], '415'],
    ['-H Expect', ['--json', '{}', '-H', 'Expect: 100-continue'], '202'],
    [
      'a large body, which it announces first',
      ['--json', ' '.repeat(2_000_000).slice(0, 100_000)],
      '413',
    ],
    ['-X OPTIONS', ['-X', 'OPTIONS'], '204'],
    ['-G', ['-G'], '405'],
    ['-I', ['-I'], '405'],
  ];
  for (const [how, args, status] of curls) {
    it(`by curl ${how} is answered with ${status}`, isThere('curl'), async () => {
      const { stdout, stderr } = await curl(...args, url());
      assert.equal(stdout, status, stderr);
    });
  }

  it('by wget, with and without a body, does what it should', isThere('wget'), async () => {
    const wget = (...args: string[]) =>
      execa('wget', ['-q', '-O', '-', `--header=${BEARER}`, ...args], { reject: false });
    for (const args of [
      ['--method=POST'],
      ['--post-data='],
      ['--post-data={}', '--header=Content-Type: application/json'],
    ]) {
      const { exitCode, stdout } = await wget(...args, url());
      assert.deepEqual(
        [exitCode, (JSON.parse(stdout) as { ok: boolean }).ok],
        [0, true],
        args.join(' '),
      );
    }
    // 8: the server refused.
    assert.equal((await wget('--post-data={}', url())).exitCode, 8);
  });

  it('by Node’s own fetch, in each form that it has', async () => {
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    const typed = { ...headers, 'content-type': 'application/json' };
    const stream = () => new Blob(['{}']).stream();
    const forms: [RequestInit & { duplex?: 'half' }, number][] = [
      [{ headers }, 202],
      [{ headers, body: '' }, 202],
      [{ headers: typed, body: '{}' }, 202],
      [{ headers: typed, body: stream(), duplex: 'half' }, 202],
      [{ headers, body: '{}' }, 415],
      [{ headers, body: new URLSearchParams({ force: 'true' }) }, 415],
      [{ headers, body: new FormData() }, 415],
    ];
    for (const [form, status] of forms)
      assert.equal(
        (await fetch(url(), { method: 'POST', ...form })).status,
        status,
        JSON.stringify(form),
      );
  });
});
