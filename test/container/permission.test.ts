/** A command by a user who may not read the updater's state: it says so, and fails. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';

describe('a command by another user than the updater', () => {
  const commands = [
    'status',
    'history',
    'events',
    'verify',
    'replay',
    'check',
    'update',
    'pause',
    'restart',
    'release',
    'deny 1.0.0',
  ];

  it('says that it may not read and how it may, and fails, each of them', async () => {
    await using container = await Container.run({
      run: [...PROFILES['root with four capabilities'], ...HARDENED],
    });
    await container.fact('versionBecameHealthy');
    for (const command of commands) {
      const { exitCode, stderr, stdout } = await container.exec(
        ['self-update', ...command.split(' ')],
        ['--user', '1000'],
      );
      assert.equal(exitCode, 1, command);
      assert.equal(stdout, '', command);
      assert.match(
        stderr,
        /state can't be read by user 1000: it belongs to user 0; .*\(docker exec -u 0 …\) \[PERMISSION_DENIED\]$/,
        command,
      );
    }
    const { stdout } = await container.exec(
      ['self-update', 'status', '--json'],
      ['--user', '1000'],
    );
    assert.equal(
      (JSON.parse(stdout) as { error: { code: string } }).error.code,
      'PERMISSION_DENIED',
    );
    // The advice, followed.
    assert.equal((await container.exec(['self-update', 'status'], ['-u', '0'])).exitCode, 0);
  });

  it('is none in a container that runs as one user', async () => {
    await using container = await Container.run({ run: PROFILES['one unprivileged user'] });
    await container.fact('versionBecameHealthy');
    assert.equal((await container.command('status')).exitCode, 0);
    assert.equal((await container.exec(['self-update', 'status'], ['--user', '1000'])).exitCode, 1);
  });
});
