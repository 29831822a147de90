/**
 * Actions by a browser's own fetch: from the server's own page, in each form that a body has there,
 * and from another site's.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launch, visit } from '../support/browser.ts';
import { OPERATOR_TOKEN, Served } from '../support/http.ts';

/**
 * The status of an action by fetch in this page; 0 where the browser does not let the page have the
 * answer.
 */
function act(
  page: Page,
  url: string,
  kind: 'none' | 'empty' | 'json' | 'text' | 'form' | 'blob',
): Promise<number> {
  return page.evaluate(
    async ([address, token, given]) => {
      const bodies = {
        none: undefined,
        empty: '',
        json: '{}',
        text: '{}',
        form: new URLSearchParams({ force: '1' }),
        blob: new Blob(['{}'], { type: 'application/json' }),
      };
      const headers = {
        authorization: `Bearer ${token}`,
        ...(given === 'json' ? { 'content-type': 'application/json' } : {}),
      };
      const body = bodies[given];
      return fetch(address, {
        method: 'POST',
        headers,
        ...(body === undefined ? {} : { body }),
      }).then(
        ({ status }) => status,
        () => 0,
      );
    },
    [url, OPERATOR_TOKEN, kind] as const,
  );
}

describe('a browser’s fetch', () => {
  let served: Served;
  let browser: Browser;
  before(async () => {
    served = await Served.create();
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await served[Symbol.asyncDispose]();
  });

  for (const [kind, status] of [
    ['none', 202],
    ['empty', 202],
    ['json', 202],
    ['blob', 202],
    ['text', 415],
    ['form', 415],
  ] as const) {
    it(`from the page of this server, with a body of the kind ${kind}, is answered with ${status}`, async () => {
      const { page, context } = await visit(browser, served.url);
      assert.equal(await act(page, `${served.url}/api/actions/check`, kind), status);
      await context.close();
    });
  }

  it('from the page of another site does nothing, and is not told the answer', async () => {
    const other = http
      .createServer((_request, response) =>
        response.setHeader('content-type', 'text/html').end('<title>other</title>'),
      )
      .listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { page, context } = await visit(
      browser,
      `http://127.0.0.1:${(other.address() as AddressInfo).port}/`,
    );
    assert.equal(await act(page, `${served.url}/api/actions/pause`, 'json'), 0);
    assert.equal((await served.product.status()).paused, false);
    await context.close();
    other.close();
  });
});
