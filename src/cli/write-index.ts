/** `self-update index DIRECTORY`: writes releases.json from a tree of TAG/files. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { SIGNATURE_NAME } from '../effects/sources/releases-index.ts';
import { writeIndex } from '../effects/sources/write-index.ts';
import { toFault } from '../support/fault.ts';
import { visible } from '../support/visible.ts';
import { type Arguments, EXIT } from './arguments.ts';

/** It is the publisher's command: no settings, and no place of the updater's. */
export async function showIndex({ operand, json }: Arguments): Promise<number> {
  const directory = path.resolve(operand ?? '.');
  try {
    const { file, releases, passedOver, loose } = await writeIndex(directory);
    for (const name of passedOver)
      process.stderr.write(`update: ${visible(name)} is no regular file and was passed over\n`);
    if (releases === 0)
      process.stderr.write(
        `update: ${visible(directory)} has no directory of a tag, so the list is empty: ${
          loose[0] === undefined
            ? 'place files as'
            : `${visible(loose[0])} belongs in one, for instance`
        } ${visible(path.join(directory, 'v1.0.0', loose[0] ?? 'app.tar.gz'))}\n`,
      );
    if (json) process.stdout.write(`${JSON.stringify({ ok: true, file, releases })}\n`);
    else
      process.stdout.write(
        `${visible(file)}: ${releases} ${releases === 1 ? 'release' : 'releases'}\n`,
      );
    const signature = statSync(path.join(directory, SIGNATURE_NAME), { throwIfNoEntry: false });
    if (signature !== undefined && signature.mtimeMs < statSync(file).mtimeMs)
      process.stderr.write(
        `update: ${SIGNATURE_NAME} is of the list before: sign the new one with \`minisign -S -m ${visible(file)}\`\n`,
      );
    return EXIT.done;
  } catch (error) {
    const { code, message } = toFault(error, 'UNEXPECTED');
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
    process.stderr.write(`update: ${visible(message)} [${code}]\n`);
    return EXIT.failed;
  }
}
