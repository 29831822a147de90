/** By what an app says before it ends: whether it bound an address that is held for it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { heldPortIn } from '../../../src/effects/supervisor/last-words.ts';

/** As they are really said, each of port 8080. */
const SAID: Record<string, string> = {
  Node: 'Error: listen EADDRINUSE: address already in use :::8080\n    at Server.setupListenHandle (node:net:1940:16)\n',
  'Node, by address': 'Error: listen EADDRINUSE: address already in use 127.0.0.1:8080',
  Go: '2026/11/28 20:05:12 listen tcp :8080: bind: address already in use\n',
  Python:
    'Traceback (most recent call last):\n  File "app.py", line 3\nOSError: [Errno 98] Address already in use\n',
  uvicorn:
    "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8080): address already in use\n",
  gunicorn:
    "[2026-11-28 20:05:12 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8080)\n[2026-11-28 20:05:12 +0000] [7] [ERROR] Retrying in 1 second.\n",
  Flask: 'Address already in use\nPort 8080 is in use by another program.\n',
  Rust: 'thread \'main\' panicked at src/main.rs:5:54:\nError: Os { code: 98, kind: AddrInUse, message: "Address already in use" }\n',
  'Rust, shown': 'Error: Address already in use (os error 98)',
  Java: 'java.net.BindException: Address already in use (Bind failed)\n\tat java.base/sun.nio.ch.Net.bind0(Native Method)\n',
  Spring: 'Web server failed to start. Port 8080 was already in use.',
  nginx: 'nginx: [emerg] bind() to 0.0.0.0:8080 failed (98: Address already in use)\n',
  HAProxy:
    '[ALERT] (1) : Starting frontend web: cannot bind socket (Address already in use) [0.0.0.0:8080]',
  Caddy:
    'Error: loading initial config: listening on :8080: listen tcp :8080: bind: address already in use',
  '.NET':
    'System.IO.IOException: Failed to bind to address http://[::]:8080: address already in use.',
};

describe('the last words of an app', () => {
  for (const [who, words] of Object.entries(SAID))
    it(`tell of the held port: ${who}`, () => {
      assert.equal(heldPortIn(`starting\n${words}\nbye`, [8080]), 8080);
      assert.equal(heldPortIn(words, [9000, 8080]), /8080/.test(words) ? 8080 : 9000);
    });

  for (const [what, words] of Object.entries({
    'another port': 'Error: listen EADDRINUSE: address already in use :::9100',
    'another port, and the held one elsewhere':
      'listening on :8080\nmetrics: listen tcp :9100: bind: address already in use',
    'another reason': 'Error: connect ECONNREFUSED 127.0.0.1:8080',
    'another file': 'database is in use',
    nothing: '',
  }))
    it(`tell nothing of it: ${what}`, () => assert.equal(heldPortIn(words, [8080]), null));
});
