/**
 * Packages that not every run needs, loaded when one does: a check that finds nothing starts no
 * process and reads no archive, and `status` asks nobody. They are two thirds of the program.
 */

/**
 * Each call says `cleanup: false`: by default (signal-exit) a signal ends this process at once while
 * a child runs, before the app is stopped and what is half done is removed.
 */
export const loadExeca = () => import('execa');

export const loadGot = () => import('got');
export const loadHttp = () => Promise.all([import('node:http'), import('node:https')]);
export const loadTar = () => import('./archive/tar.ts');
export const loadZip = () => import('./archive/zip.ts');

/** All of them, before the app is stopped: nothing is loaded while it is down. */
export async function loadPackages(): Promise<void> {
  await Promise.all([loadExeca(), loadGot(), loadHttp(), loadTar(), loadZip()]);
}
