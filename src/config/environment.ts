/** The settings as they were given: texts, out of variables and of the files that hold secrets. */
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { metaOf, type SettingName, settingNames } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** An empty variable is an unset one: that is how Compose and Akash files say "nothing". */
export function given(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value === undefined || value === '' ? undefined : value;
}

/** Of the names that every program shares, the one in small letters wins, as for curl. */
const IN_SMALL_LETTERS = new Set<SettingName>(['HTTPS_PROXY', 'NO_PROXY']);

/** The value of a variable, or of the file that NAME_FILE names. */
export function readSetting(
  environment: Environment,
  name: SettingName,
  problems: string[],
): string | undefined {
  const direct =
    (IN_SMALL_LETTERS.has(name) ? given(environment, name.toLowerCase()) : undefined) ??
    given(environment, name);
  const file =
    metaOf(name).secret && name.startsWith('UPDATE_')
      ? given(environment, `${name}_FILE`)
      : undefined;
  if (file === undefined) return direct?.trim();
  if (direct !== undefined)
    problems.push(`${name}: is given twice, also as ${name}_FILE. Keep one of them`);
  try {
    const value = readBounded(file, MAX_NOTE_BYTES).toString('utf8').trim();
    if (value === '') problems.push(`${name}_FILE: ${file} is empty. Write the secret into it`);
    return value;
  } catch (error) {
    // By a slip it is the secret itself, which would stand in the log.
    if (!/^\.{0,2}\//.test(file)) {
      problems.push(
        `${name}_FILE: is no file that can be read, and not shown, since it may be the secret itself. Set ${name} to that, or ${name}_FILE=/the/file/it/is/in`,
      );
      return undefined;
    }
    const reason =
      error instanceof Fault
        ? error.message
        : `${file} can't be read (${(error as NodeJS.ErrnoException).code})`;
    problems.push(
      `${name}_FILE: ${reason}. Mount the secret there, as a file that this user can read`,
    );
    return undefined;
  }
}

/** Unknown names with the prefix of the settings: probably typos. */
export function unknownNames(environment: Environment): string[] {
  const known = new Set<string>(
    settingNames.flatMap((name) => (metaOf(name).secret ? [name, `${name}_FILE`] : [name])),
  );
  return Object.keys(environment).filter((name) => name.startsWith('UPDATE_') && !known.has(name));
}
