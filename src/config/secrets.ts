/** What of a setting must be shown to nobody. */
import { metaOf, type SettingName } from './settings.ts';

/** A part of an address that is shorter is a word. */
const MIN_KEY_CHARACTERS = 16;

/** User and password in any address are secret; that of a notification is so as a whole. */
export function secretParts(name: SettingName, value: string | undefined): string[] {
  const { secret, secretAddress } = metaOf(name);
  if (value === undefined) return [];
  const address = name === 'HTTPS_PROXY' && !value.includes('://') ? `http://${value}` : value;
  if (!URL.canParse(address) || !/^https?:/.test(address))
    return secret ? [value, ...behindUser(name, value)] : [];
  const { username, password, pathname, search } = new URL(address);
  // A token may stand in the place of the user.
  const names =
    username !== '' && (password === '' || username.length >= MIN_KEY_CHARACTERS)
      ? [username, decoded(username)]
      : [];
  const written = /^[a-z]+:\/\/(?:[^/?#]*:)?([^/?#]*)@/i.exec(address)?.[1] ?? '';
  const passwords =
    password === ''
      ? []
      : [value, `${decoded(username)}:${decoded(password)}`, password, decoded(password), written];
  if (!secretAddress) return [...passwords, ...names];
  // The parts that are no words: "/releases" in such an address must not be blacked out everywhere.
  const keys = `${pathname}${search}`
    .split(/[/?&=]/)
    .filter((part) => part.length >= MIN_KEY_CHARACTERS);
  return [value, ...keys, ...passwords, ...names];
}

/** Of a registry: a token behind the name of its user. */
function behindUser(name: SettingName, value: string): string[] {
  const password = value.slice(value.indexOf(':') + 1);
  return name !== 'UPDATE_GH_TOKEN' || password === value || password === '' ? [] : [password];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
