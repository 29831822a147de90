/**
 * A child of the updater's that is the app's user: reads what is to be made of the app's data as
 * JSON, and makes it. Says what went wrong as JSON. It inherits nothing of the updater: no
 * environment, no descriptor but those of the directories that it copies from.
 */
import { readFileSync } from 'node:fs';
import { type LinkedData, prepareData } from './linked-data.ts';

process.umask(0o022);
try {
  await prepareData(JSON.parse(readFileSync(0, 'utf8')) as LinkedData);
} catch (error) {
  const { code = 'UNEXPECTED', message, syscall, path } = error as NodeJS.ErrnoException;
  process.stdout.write(JSON.stringify({ code, message, syscall, path }));
  process.exitCode = 1;
}
