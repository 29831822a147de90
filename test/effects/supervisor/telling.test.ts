import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readOr } from '../../../src/effects/supervisor/container.ts';
import { EmbeddedSupervisor } from '../../../src/effects/supervisor/embedded.ts';

/** Notes each TERM; a second one is "abort now". */
const SERVER = `const { appendFileSync } = require('node:fs');
let told = 0;
process.on('SIGTERM', () => {
  appendFileSync('log', 'told\\n');
  if (++told > 1) process.exit(1);
  setTimeout(() => { appendFileSync('log', 'saved\\n'); process.exit(0); }, 500);
});
appendFileSync('log', 'up\\n');
setInterval(() => {}, 1000);`;

describe('the embedded supervisor', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  for (const [title, script] of [
    ['a script without exec', 'node server.js; echo never'],
    ['a script with a trap', 'trap : TERM; node server.js; echo ends'],
    ['a script that passes the signal on', 'node server.js & pid=$!; trap "kill -TERM $pid" TERM; wait $pid; wait $pid'],
  ] as const)
    it(`tells each process once, and waits for it: ${title}`, async () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'telling-'));
      writeFileSync(path.join(directory, 'server.js'), SERVER);
      const stop = { signalName: 'TERM', waitMs: 60_000 };
      const environment = { PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}` };
      const supervisor = new EmbeddedSupervisor({ directory, environment, output: 'inherit', stop, log: () => {} });
      await supervisor.start(directory, { file: '/bin/sh', args: ['-c', script], cwd: directory });
      const log = () => readOr(path.join(directory, 'log'), '');
      while (log() !== 'up\n') await sleep(10);
      assert.deepEqual(await supervisor.stop(stop), { killed: false });
      assert.equal(log(), 'up\ntold\nsaved\n');
      rmSync(directory, { recursive: true });
    });
});
