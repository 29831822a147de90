/**
 * What is ours only we may write, whatever umask(2) we were started with; the app gets that one
 * back.
 */
const OURS = 0o022;
let given = OURS;

/** Called once, before anything is written. */
export function claimUmask(): void {
  given = process.umask(OURS);
}

/**
 * Starts a process with the umask that we were given. `start` returns once it is started: libuv
 * forks within the call.
 */
export function underGivenUmask<T>(start: () => T): T {
  process.umask(given);
  try {
    return start();
  } finally {
    process.umask(OURS);
  }
}
