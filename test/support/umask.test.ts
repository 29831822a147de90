/** What is ours is writable for nobody else; what we start has the umask that we were given. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { it } from 'node:test';
import { execaSync } from 'execa';

it('the umask of a process started under umask 0 is 022, and 0 again for what it starts', () => {
  const module = path.join(import.meta.dirname, '..', '..', 'src', 'support', 'umask.ts');
  const script = `import { execFileSync } from 'node:child_process';
import { claimUmask, underGivenUmask } from '${module}';
claimUmask();
const ask = () => execFileSync('sh', ['-c', 'umask'], { encoding: 'utf8' }).trim();
console.log(ask(), underGivenUmask(ask), ask());`;
  const { stdout } = execaSync('sh', [
    '-c',
    'umask 0; exec "$0" --input-type=module --eval "$1"',
    process.execPath,
    script,
  ]);
  assert.equal(stdout, '0022 0000 0022');
});
