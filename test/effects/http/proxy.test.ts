/** What stands between: proxies, certificates and clocks, each told with its remedy. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { Http, networkFault } from '../../../src/effects/http/http.ts';
import { Fault } from '../../../src/support/fault.ts';

const URL_ASKED = 'https://api.github.com/repos/acme/app/releases/latest';

/** What a proxy was asked, and the fault that its answer becomes. */
async function through(
  answer: string,
  { user = '', noProxy }: { user?: string; noProxy?: string } = {},
): Promise<{ asked: string; fault: Fault }> {
  let asked = '';
  const proxy = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      asked = data.toString();
      socket.end(answer);
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = `http://${user}127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  try {
    const fault = await faultOf({ HTTPS_PROXY: address, NO_PROXY: noProxy });
    return { asked, fault };
  } finally {
    proxy.close();
  }
}

async function faultOf(
  proxyEnvironment: { HTTPS_PROXY?: string; NO_PROXY?: string | undefined },
  token: string | null = null,
  headWithinMs = 60_000,
): Promise<Fault> {
  const http = new Http({
    userAgent: 'test',
    apiUrl: 'https://api.github.com',
    assetHosts: ['api.github.com'],
    mayBePlain: () => false,
    token: () => token,
    proxyEnvironment,
    headWithinMs,
  });
  const error = await http
    .get(URL_ASKED, {}, AbortSignal.timeout(10_000), { decompress: true, sameHost: true })
    .catch((reason: unknown) => reason);
  assert.ok(error instanceof Fault, String(error));
  return error;
}

describe('a proxy', () => {
  it('that wants a user and a password (407) is told as that', async () => {
    const { fault } = await through(
      'HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n',
    );
    assert.equal(fault.code, 'PROXY_AUTH');
    assert.match(fault.message, /407.*HTTPS_PROXY.*user:password@/);
  });

  it('is given both from its address, decoded', async () => {
    const { asked, fault } = await through('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n', {
      user: 'ada:p%40ss@',
    });
    assert.match(asked, /^CONNECT api\.github\.com:443 /);
    assert.ok(asked.includes(Buffer.from('ada:p@ss').toString('base64')));
    assert.equal(fault.code, 'PROXY_FAILED');
    assert.match(fault.message, /answered 403.*blocks the address/);
    assert.doesNotMatch(fault.message, /p%40ss|p@ss/);
  });

  it('that closes the connection is told as the proxy', async () => {
    assert.match((await through('')).fault.message, /the proxy closed the connection/);
  });

  it('that takes the connection and says nothing is given up: the app may be down meanwhile', async () => {
    const silent = net
      .createServer((socket) => socket.on('error', () => {}))
      .listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const fault = await faultOf(
      { HTTPS_PROXY: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` },
      null,
      200,
    );
    silent.close();
    assert.ok(['NETWORK_FAILED', 'PROXY_FAILED'].includes(fault.code), fault.code);
    assert.match(fault.message, /proxy|did not end within/);
  });

  for (const [title, begin, again] of [
    ['a status line without an end', 'HTTP/1.1 200 ', 'x'.repeat(65_536)],
    ['headers without an end', 'HTTP/1.1 200 OK\r\n', `x: ${'y'.repeat(1000)}\r\n`.repeat(60)],
    ['interim answers without an end', '', `HTTP/1.1 102 Processing\r\n\r\n`.repeat(2000)],
  ] as const)
    it(`that answers CONNECT with ${title} is cut off`, async () => {
      let sentBytes = 0;
      const closed: Promise<unknown>[] = [];
      const endless = net.createServer((socket) => {
        socket.on('error', () => {});
        closed.push(new Promise((resolve) => socket.on('close', resolve)));
        const pour = (): void => {
          while (!socket.destroyed && socket.write(again)) sentBytes += again.length;
          sentBytes += again.length;
        };
        socket.once('data', () => {
          socket.write(begin);
          pour();
        });
        socket.on('drain', () => setImmediate(pour));
      });
      endless.listen(0, '127.0.0.1');
      await once(endless, 'listening');
      const before = process.memoryUsage().rss;
      const fault = await faultOf(
        { HTTPS_PROXY: `http://127.0.0.1:${(endless.address() as AddressInfo).port}` },
        null,
        2000,
      );
      assert.equal(fault.code, 'PROXY_FAILED');
      assert.match(
        fault.message,
        /^the proxy (?:sent an invalid response to CONNECT \(HPE_|did not answer within 2 s|answered 102)/,
      );
      await Promise.all(closed);
      endless.close();
      assert.ok(
        process.memoryUsage().rss - before < 256 * 1024 * 1024,
        `${sentBytes} bytes were sent, and kept`,
      );
    });

  it('that does not listen is named by its address', async () => {
    const closed = net.createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    const fault = await faultOf({ HTTPS_PROXY: `http://127.0.0.1:${port}` });
    assert.equal(fault.code, 'NETWORK_FAILED');
    assert.match(
      fault.message,
      new RegExp(
        `^api\\.github\\.com can't be reached: the proxy at 127\\.0\\.0\\.1 port ${port} refused the connection.*HTTPS_PROXY`,
      ),
    );
  });
});

describe('a server that refuses the connection', () => {
  it('is told without a word about proxies, and its address once', () => {
    const refused = (port: number) =>
      networkFault(
        Object.assign(new Error('x'), { code: 'ECONNREFUSED', address: '127.0.0.1', port }),
        'http://127.0.0.1:7100/',
      );
    assert.equal(
      refused(7100).message,
      "127.0.0.1:7100 can't be reached: the connection was refused. Nothing listens there, or a firewall is in the way",
    );
  });
});

describe('a server that does not speak TLS', () => {
  it('is told as that, also where Node only says EPROTO', async () => {
    const server = net
      .createServer((socket) =>
        socket
          .on('error', () => {})
          .once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
      )
      .listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const failing = once(tls.connect({ host: '127.0.0.1', port }), 'secureConnect');
    const error = await failing.then(
      () => assert.fail('TLS was spoken'),
      (reason: unknown) => reason,
    );
    server.close();
    for (const raised of [
      error,
      Object.assign(new Error('SSL routines:ssl3_get_record:wrong version number'), {
        code: 'EPROTO',
      }),
    ]) {
      const fault = networkFault(raised, `https://127.0.0.1:${port}/`);
      assert.equal(fault.code, 'TLS_FAILED');
      assert.match(fault.message, /does not speak TLS there/);
    }
  });
});

describe('a token', () => {
  it('that was rewritten with a line break in it is refused before it is sent, and not quoted', async () => {
    const fault = await faultOf({}, 'ghp_one\nghp_two');
    assert.equal(fault.code, 'TOKEN_MALFORMED');
    assert.doesNotMatch(fault.message, /ghp_/);
  });
});

describe('a certificate', () => {
  const told = (code: string) => networkFault(Object.assign(new Error('x'), { code }), URL_ASKED);

  it('of other dates than the clock points to the clock', () => {
    for (const code of ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED']) {
      const fault = told(code);
      assert.equal(fault.code, 'CERTIFICATE_DATE');
      assert.match(fault.message, /by this machine's clock, which says \d{4}-.*NTP/);
    }
  });

  it('of an unknown authority points to NODE_EXTRA_CA_CERTS', () => {
    for (const code of [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ]) {
      const fault = told(code);
      assert.equal(fault.code, 'TLS_FAILED');
      assert.match(fault.message, /NODE_EXTRA_CA_CERTS/);
    }
  });

  it('for another name, and no TLS at all, are told as what they are', () => {
    assert.match(told('ERR_TLS_CERT_ALTNAME_INVALID').message, /is for another name/);
    assert.match(told('ERR_SSL_WRONG_VERSION_NUMBER').message, /does not speak TLS/);
  });
});

describe('an app that holds all local ports', () => {
  it('is named as the likely reason, and what to do', () => {
    const error = Object.assign(new Error('connect EADDRNOTAVAIL'), {
      code: 'EADDRNOTAVAIL',
      address: '127.0.0.1',
      port: 7100,
    });
    const { code, message } = networkFault(error, 'http://127.0.0.1:7100/');
    assert.equal(code, 'NETWORK_FAILED');
    assert.match(
      message,
      /no local port was free\. Something on this machine holds all of them, probably the app: restart it/,
    );
  });
});
