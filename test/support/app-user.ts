/**
 * The app's user as tests that run as root have it: a Debian machine has util-linux' setpriv where
 * the image has chpst.
 */
import type { User } from '../../src/effects/as-app.ts';

export function testUser(id: number, privateDir = '/nowhere'): User {
  return {
    uid: id,
    gid: id,
    become: ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'],
    privateDir,
  };
}
