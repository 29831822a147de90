import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readOr } from '../../../src/effects/supervisor/container.ts';
import { EmbeddedSupervisor } from '../../../src/effects/supervisor/embedded.ts';
import { groupMembers, ignoresInterrupts } from '../../../src/effects/supervisor/process-table.ts';
import { Telling } from '../../../src/effects/supervisor/telling.ts';

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
    [
      'a script that passes the signal on',
      'node server.js & pid=$!; trap "kill -TERM $pid" TERM; wait $pid; wait $pid',
    ],
  ] as const)
    it(`tells each process once, and waits for it: ${title}`, async () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'telling-'));
      writeFileSync(path.join(directory, 'server.js'), SERVER);
      const stop = { signalName: 'TERM', waitMs: 60_000 };
      const environment = { PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}` };
      const supervisor = new EmbeddedSupervisor({
        directory,
        environment,
        output: 'inherit',
        stop,
        log: () => {},
      });
      await supervisor.start(directory, { file: '/bin/sh', args: ['-c', script], cwd: directory });
      const log = () => readOr(path.join(directory, 'log'), '');
      while (log() !== 'up\n') await sleep(10);
      assert.deepEqual(await supervisor.stop(stop), { killed: false });
      assert.equal(log(), 'up\ntold\nsaved\n');
      rmSync(directory, { recursive: true });
    });
});

describe('an app of many processes that makes each look at them slow', {
  skip: process.platform !== 'linux' && 'reads /proc',
}, () => {
  /** A shell with `count` children, as the leader of a group that is told to stop. */
  async function group(
    count: number,
  ): Promise<{ leader: number; members: number[]; [Symbol.dispose]: () => void }> {
    const script =
      'trap : TERM; i=0; while [ "$i" -lt "$1" ]; do sleep 1000 & i=$((i + 1)); done; echo up; wait; wait';
    // Interrupts are not ignored by them, as they are by what a shell starts in the background:
    // then a look is needed.
    const child = spawn(
      '/bin/sh',
      ['-c', script.replace('sleep', 'env --default-signal=INT,QUIT sleep'), 'sh', `${count}`],
      { detached: true },
    );
    const leader = child.pid ?? assert.fail();
    await once(child.stdout, 'data');
    while (groupMembers(leader).some((pid) => pid !== leader && ignoresInterrupts(pid)))
      await sleep(5);
    return {
      leader,
      members: groupMembers(leader),
      [Symbol.dispose]: () => process.kill(-leader, 'SIGKILL'),
    };
  }

  it('has all looks end after two seconds together', async () => {
    using app = await group(40);
    let looks = 0;
    const slow = async () => {
      looks += 1;
      await sleep(300);
      return null;
    };
    const telling = new Telling(
      { signalName: 'TERM', waitMs: 600_000 },
      app.leader,
      app.members,
      slow,
    );
    telling.tell(app.leader);
    await telling.tellRest(app.members);
    await telling.tellRest(app.members);
    assert.ok(looks > 0 && looks <= 7, `${looks} looks`);
  });

  it('has nobody looked at after the end of the wait', async () => {
    using app = await group(5);
    let looks = 0;
    const slow = async () => {
      looks += 1;
      await sleep(30);
      return null;
    };
    const telling = new Telling({ signalName: 'TERM', waitMs: 20 }, app.leader, app.members, slow);
    telling.tell(app.leader);
    await telling.tellRest(app.members);
    assert.ok(looks <= 1, `${looks} looks`);
  });
});
