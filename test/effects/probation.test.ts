/** A version's health is judged by the head of the answer, and by the status of the command. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { observeProbation, type ProbationDependencies } from '../../src/effects/probation.ts';
import type { Exit, Supervisor } from '../../src/effects/supervisor/supervisor.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'probation-'));
/** Answers on the path `/<status>` with that status and a body without an end. */
const endless = http.createServer((request, response) => {
  response.writeHead(Number(request.url?.slice(1)), { 'content-type': 'text/event-stream' });
  const piece = Buffer.alloc(64 * 1024, 'x');
  const pour = (): void => {
    while (!response.destroyed && response.write(piece)) sent += piece.length;
  };
  response.on('drain', pour);
  response.on('close', () => closed.resolve());
  pour();
});
let sent = 0;
let closed = Promise.withResolvers<void>();

before(() => new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve)));
after(() => {
  endless.close();
  endless.closeAllConnections();
  rmSync(directory, { recursive: true });
});

function probation(
  health: Partial<ProbationDependencies['health']>,
  { supervisor, again = true }: { supervisor?: Supervisor; again?: boolean } = {},
) {
  const steady = {
    isAlive: async () => true,
    running: () => null,
    exitAgesMs: () => [],
    nextExit: (signal: AbortSignal) =>
      new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      ),
  } as unknown as ProbationDependencies['supervisor'];
  const places = {
    root: directory,
    bakedDir: directory,
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  } as const;
  const deps: ProbationDependencies = {
    supervisor: supervisor ?? steady,
    places,
    health: {
      url: null,
      command: null,
      startPeriodMs: 0,
      intervalMs: 10,
      timeoutMs: 20_000,
      retries: 1,
      ...health,
    },
    environment: { PATH: process.env['PATH'] ?? '' },
    heldPorts: [],
    now: Date.now,
  };
  return observeProbation(
    { version: '1.0.0', startedAt: Date.now(), probationMs: 10, again },
    AbortSignal.timeout(60_000),
    deps,
  );
}

const address = (status: number) =>
  `http://127.0.0.1:${(endless.address() as AddressInfo).port}/${status}`;

describe('a health address that streams without an end', () => {
  it('is healthy by its status, and the connection is dropped after a few pieces', async () => {
    closed = Promise.withResolvers();
    sent = 0;
    assert.equal((await probation({ url: address(200) })).type, 'versionBecameHealthy');
    await closed.promise;
    assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
  });

  it('is unhealthy by its status', async () => {
    await assert.rejects(probation({ url: address(503) }), {
      code: 'UNHEALTHY',
      message: /status 503/,
    });
  });

  it('that compresses is not unpacked', async () => {
    const server = http.createServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.write('no gzip at all');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      assert.equal(
        (await probation({ url: `http://127.0.0.1:${port}/` })).type,
        'versionBecameHealthy',
      );
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});

describe('a health address that never answers', () => {
  it('but with ever more preliminary answers (103) is unhealthy when its time is up', async () => {
    const server = http.createServer((request) => {
      const { socket } = request;
      const pour = (): void => {
        while (socket.write('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(100)));
      };
      socket.on('drain', pour);
      socket.on('error', () => {});
      pour();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      await assert.rejects(probation({ url: `http://127.0.0.1:${port}/`, timeoutMs: 300 }), {
        code: 'UNHEALTHY',
      });
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});

describe('an end on probation', () => {
  const endedBy = (exit: Exit, again = true) => {
    const supervisor = {
      isAlive: async () => true,
      running: () => null,
      exitAgesMs: () => [],
      nextExit: async () => exit,
    } as unknown as ProbationDependencies['supervisor'];
    return probation({}, { supervisor, again });
  };
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGUSR1', 'signal 37'])
    it(`by ${signal} is somebody else's doing`, async () => {
      await assert.rejects(endedBy({ exitCode: null, signal }), {
        code: 'APP_KILLED',
        message: new RegExp(`killed by ${signal}.*memory`),
      });
    });
  for (const signal of [
    'SIGSEGV',
    'SIGABRT',
    'SIGBUS',
    'SIGILL',
    'SIGFPE',
    'SIGTRAP',
    'SIGSYS',
    'SIGPIPE',
  ])
    it(`by ${signal} is its own`, async () => {
      await assert.rejects(endedBy({ exitCode: null, signal }), {
        code: 'APP_EXITED',
        message: new RegExp(signal),
      });
    });
  it('is the same where a shell in front of it tells its signal', async () => {
    await assert.rejects(endedBy({ exitCode: 137, signal: null }), {
      code: 'APP_KILLED',
      message: /SIGKILL/,
    });
    await assert.rejects(endedBy({ exitCode: 139, signal: null }), {
      code: 'APP_EXITED',
      message: /SIGSEGV/,
    });
    await assert.rejects(endedBy({ exitCode: 1, signal: null }), {
      code: 'APP_EXITED',
      message: /status 1/,
    });
    await assert.rejects(endedBy({ exitCode: null, signal: null }), {
      code: 'APP_EXITED',
      message: /unknown status/,
    });
  });
  it('is forgiven once', async () => {
    const fact = await endedBy({ exitCode: null, signal: 'SIGKILL' }, false);
    assert.deepEqual([fact.type, 'code' in fact && fact.code], ['appExitedEarly', 'APP_KILLED']);
  });
  it('in the last moment is told by how it was, once the supervisor knows', async () => {
    const told = Promise.withResolvers<Exit>();
    let looks = 0;
    const isAlive = async () =>
      looks++ === 0 ? true : (told.resolve({ exitCode: null, signal: 'SIGKILL' }), false);
    const supervisor = {
      isAlive,
      exitAgesMs: () => [],
      nextExit: () => told.promise,
    } as unknown as ProbationDependencies['supervisor'];
    await assert.rejects(probation({}, { supervisor }), { code: 'APP_KILLED' });
  });
});

describe('a health command', () => {
  it('whose output has no end is heard by nobody, and judged by its status', async () => {
    assert.equal(
      (await probation({ command: 'head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2' }))
        .type,
      'versionBecameHealthy',
    );
  });

  it('that fails is told by its status', async () => {
    await assert.rejects(probation({ command: 'exit 7' }), {
      code: 'UNHEALTHY',
      message: /exited with status 7/,
    });
  });

  it('that does not end is told by its time limit', async () => {
    await assert.rejects(probation({ command: 'sleep 300', timeoutMs: 200 }), {
      code: 'UNHEALTHY',
      message: /took longer than 0\.2 s/,
    });
  });
});
