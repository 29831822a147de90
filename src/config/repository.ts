/**
 * GH_USER and GH_REPO, under the rules of the source that they are for: GitHub's logins, Forgejo's
 * names with dots, GitLab's groups within groups. Addresses that were pasted are told as what to set.
 */
import { complaint } from './complaint.ts';
import type { SettingName, Settings } from './settings.ts';

type SourceName = Settings['UPDATE_SOURCE'];
type Named = { owner: string; name: string };

/** GitHub's own rules, and the underscore in logins of Enterprise Managed Users (`ada_acme`). */
const LOGIN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$/;
/** See "Limitations on project and group names", https://docs.gitlab.com/user/reserved_names/ */
const GROUP = '(?!\\.{1,2}(?:/|$))[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}';
/** GitLab allows twenty levels. */
const OWNERS: Record<'github' | 'forgejo' | 'gitlab', { form: RegExp; what: string }> = {
  github: { form: LOGIN, what: 'a GitHub user or organization' },
  forgejo: { form: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$/, what: 'a user or organization' },
  gitlab: { form: new RegExp(`^${GROUP}(?:/${GROUP}){0,19}$`), what: 'a user or group' },
};
const REPOSITORY = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/;

/** `source`: null where UPDATE_SOURCE is wrong itself; only what no source takes is told then. */
export function repositoryProblems(
  texts: Readonly<Partial<Record<SettingName, string>>>,
  source: SourceName | null,
  sourceUrl: string | undefined,
): string[] {
  const { GH_USER: user, GH_REPO: repository } = texts;
  const told = (name: 'GH_USER' | 'GH_REPO', message: string | null) =>
    message === null
      ? []
      : [complaint(name, texts[name], { code: 'custom', message, path: [], input: undefined })];
  const rules = { kind: kindOf(source), sourceUrl };
  return [
    ...(user === undefined ? [] : told('GH_USER', ownerProblem(user, rules, repository))),
    ...(repository === undefined ? [] : told('GH_REPO', nameProblem(repository, rules))),
  ];
}

type Rules = { kind: keyof typeof OWNERS; sourceUrl: string | undefined };

function kindOf(source: SourceName | null): Rules['kind'] {
  if (source === null) return 'gitlab';
  return source === 'gitlab' || source === 'forgejo' ? source : 'github';
}

function ownerProblem(text: string, rules: Rules, name: string | undefined): string | null {
  const { form, what } = OWNERS[rules.kind];
  const path = rules.kind === 'gitlab' ? addressed(text, rules.sourceUrl) : null;
  if (path === null && form.test(text)) return null;
  // `https://gitlab.com/group/subgroup` is a group where GH_REPO is not its last word.
  const isGroup = path !== null && name !== undefined && path.split('/').at(-1) !== name;
  if (isGroup && form.test(path)) return `is an address. Set GH_USER=${path}`;
  const pasted = pastedRepository(text, rules);
  if (pasted !== null) {
    const isNested = name !== undefined && name !== pasted.name && /^[^:.]+$/.test(text);
    return `${bothNamed(pasted, text, rules.kind)}${isNested ? "; groups within groups are GitLab's, and need UPDATE_SOURCE=gitlab" : ''}`;
  }
  const inner =
    /^(?:(?:https?:\/\/)?(?:[\w.-]+\.[a-z]{2,})\/|@)(?<login>[^/]+)\/?$/i.exec(text)?.groups?.[
      'login'
    ] ?? '';
  return `is not the name of ${what}${form.test(inner) ? `. Set GH_USER=${inner}` : ''}`;
}

function nameProblem(text: string, rules: Rules): string | null {
  const pasted = pastedRepository(text, rules);
  if (pasted !== null) return bothNamed(pasted, text, rules.kind);
  if (!REPOSITORY.test(text)) return "is not a repository's name (without the owner)";
  // No forge gives a repository such a name: it is the end of an address to clone from.
  const name = text.replace(/\.git$/i, '');
  return name === text ? null : `ends in .git, as no name does. Set GH_REPO=${name}`;
}

function bothNamed({ owner, name }: Named, text: string, kind: Rules['kind']): string {
  const remedy = `names owner and repository. Set GH_USER=${owner} and GH_REPO=${name}`;
  if (kind === 'gitlab') return remedy;
  const host = /^(?:[a-z]+:\/\/)?(?:[^@/\s]+@)?(gitlab\.[a-z0-9.-]+)[/:]/i.exec(text)?.[1];
  if (host !== undefined)
    return `is an address of a GitLab. Set UPDATE_SOURCE=gitlab and UPDATE_SOURCE_URL=https://${host.toLowerCase()}`;
  return remedy;
}

/** `acme/app`, or an address of it; null for anything else. */
function pastedRepository(text: string, { kind, sourceUrl }: Rules): Named | null {
  if (kind === 'gitlab') {
    const path = addressed(text, sourceUrl) ?? text;
    const [, owner = '', name = ''] = /^(.+)\/([^/]+)$/.exec(path) ?? [];
    return OWNERS.gitlab.form.test(owner) && REPOSITORY.test(name) ? { owner, name } : null;
  }
  const match =
    /^(?:(?:https?|ssh|git):\/\/)?(?:[^@/\s]+@)?(?:[A-Za-z0-9.-]+\.[A-Za-z]{2,}[/:])?(?<owner>[^/:\s]+)\/(?<name>[^/\s]+?)(?:\.git)?(?:\/.*)?$/.exec(
      text,
    );
  const { owner = '', name = '' } = match?.groups ?? {};
  // Names of hosts are owners' names too where these may have dots.
  const isHost = text.startsWith(`${owner}/`) && hostOf(sourceUrl) === owner.toLowerCase();
  return OWNERS[kind].form.test(owner) && REPOSITORY.test(name) && !isHost ? { owner, name } : null;
}

/**
 * The path of a project or group in an address: up to `/-/`, where GitLab's own pages begin. Null
 * for what is no address.
 */
function addressed(text: string, sourceUrl: string | undefined): string | null {
  const base = sourceUrl?.replace(/\/+$/, '');
  const inside = base !== undefined && text.startsWith(`${base}/`) ? text.slice(base.length) : null;
  const match =
    /^(?:(?:https?|ssh|git):\/\/(?:[^@/\s]+@)?[^/\s]+|[^@/\s]+@[^/:\s]+:)(?<path>.*)$/i.exec(text);
  const first = text.split('/')[0]?.toLowerCase();
  const isHost = text.includes('/') && (first === 'gitlab.com' || first === hostOf(sourceUrl));
  const path = inside ?? match?.groups?.['path'] ?? (isHost ? text.slice(text.indexOf('/')) : null);
  return path === null
    ? null
    : path
        .replace(/\/-\/.*$/, '')
        .replace(/^\/+|\/+$/g, '')
        .replace(/\.git$/i, '');
}

function hostOf(url: string | undefined): string | null {
  return url !== undefined && URL.canParse(url) ? new URL(url).host : null;
}
