/** What is wrong with UPDATE_SOURCE_URL, under the rules of the source that it is the address of. */
import { quoted } from './complaint.ts';
import { registryAddress } from './registry-address.ts';
import type { SettingName, Settings } from './settings.ts';
import { mayBePlain } from './source-url.ts';

/** `texts`: as given. `values`: what they mean, of those that mean something. */
type Given = {
  texts: Readonly<Partial<Record<SettingName, string>>>;
  values: Partial<Settings>;
};

/** Sources without an address of their own. */
const NEEDED_URLS: Partial<Record<Settings['UPDATE_SOURCE'], string>> = {
  directory:
    'the address of the directory that holds releases.json. Example: UPDATE_SOURCE_URL=https://releases.example.com/app/',
  forgejo: 'the address of the forge. Example: UPDATE_SOURCE_URL=https://codeberg.org',
  // Token theft: most are servers of one's own, and an address that was forgotten would send their
  // token to gitlab.com.
  gitlab: 'the address of the GitLab. Example: UPDATE_SOURCE_URL=https://gitlab.com',
  oci: 'the registry, and the repository in it where that is not GH_USER/GH_REPO. Example: UPDATE_SOURCE_URL=https://ghcr.io/owner/app',
};

export function sourceUrlProblems({ texts, values }: Given): string[] {
  const { UPDATE_SOURCE: name, UPDATE_SOURCE_URL: url } = values;
  if (name === undefined) return [];
  if (url === undefined)
    return NEEDED_URLS[name] === undefined || texts.UPDATE_SOURCE_URL !== undefined
      ? []
      : [`UPDATE_SOURCE_URL: is needed by UPDATE_SOURCE=${name}: ${NEEDED_URLS[name]}`];
  const shown = quoted('UPDATE_SOURCE_URL', url);
  const { protocol, username, password, search, hash } = new URL(url);
  if (protocol === 'file:' && name !== 'directory')
    return [
      `UPDATE_SOURCE_URL: ${shown} is for UPDATE_SOURCE=directory only. Set that, or an https address`,
    ];
  // Token theft: GitHub would be asked, where somebody else may have this name, and given a token
  // that is for another server.
  if (texts.UPDATE_SOURCE === undefined && texts.UPDATE_GH_API_URL === undefined)
    return [
      `UPDATE_SOURCE_URL: ${shown} has no effect without UPDATE_SOURCE, which is github by default. Set UPDATE_SOURCE=forgejo, gitlab, oci or directory, or leave the address out`,
    ];
  if (protocol === 'http:' && !mayBePlain(url, values.UPDATE_INSECURE_HTTP === true))
    return [
      `UPDATE_SOURCE_URL: ${shown} is plain http, which anyone on the way can change. Use https, or set UPDATE_INSECURE_HTTP=1`,
    ];
  if ((name === 'gitlab' || name === 'forgejo') && /\/api\/v\d+\/*$/.test(url))
    return [
      `UPDATE_SOURCE_URL: ${shown} is the API of the ${name}, which is found by itself. Set UPDATE_SOURCE_URL=${url.replace(/\/api\/v\d+\/*$/, '')}`,
    ];
  if (NEEDED_URLS[name] !== undefined && `${username}${password}${search}${hash}` !== '')
    return [
      `UPDATE_SOURCE_URL: ${shown} is more than the address of a ${name === 'oci' ? 'repository' : name}: a user, a query or a fragment would be lost, or stand in logs. Leave them out; a token goes into UPDATE_GH_TOKEN`,
    ];
  const repository = `${texts.GH_USER}/${texts.GH_REPO}`;
  const suffix = `/${repository}`;
  if (
    (name === 'forgejo' || name === 'gitlab') &&
    new URL(url).pathname.replace(/(?:\.git)?\/*$/, '') === suffix
  )
    return [
      `UPDATE_SOURCE_URL: ${shown} is the address of the repository, which GH_USER and GH_REPO name already. Set UPDATE_SOURCE_URL=${new URL(url).origin}`,
    ];
  const registry = name === 'oci' ? registryAddress(url, repository) : null;
  if (registry !== null && 'problem' in registry)
    return [`UPDATE_SOURCE_URL: ${shown} ${registry.problem}`];
  return [];
}
