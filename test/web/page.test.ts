/** The dashboard's page, as it is built. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { dashboard } from '../../src/web/page.ts';

it('is small: what it shares with the program brings no schemas into the browser', async () => {
  const { html } = await dashboard();
  assert.ok(!html.includes('Zod'));
  assert.ok(html.length < 120_000, `${html.length} characters`);
});
