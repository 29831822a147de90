/** The table of settings for the documentation, made from the schema. */
import { defaultOf, metaOf, settingNames } from './settings.ts';

export function settingsTable(): string {
  const rows = settingNames.map((name) => {
    const { meaning, example, secret } = metaOf(name);
    const notes = [secret && name.startsWith('UPDATE_') ? `also as \`${name}_FILE\`` : ''].filter(
      Boolean,
    );
    const words = [meaning, ...notes].join('; ').replaceAll('|', '\\|');
    return `| \`${name}\` | ${defaultOf(name)} | ${words} | \`${example}\` |`;
  });
  return ['| variable | default | meaning | example |', '|---|---|---|---|', ...rows].join('\n');
}
