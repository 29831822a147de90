/**
 * The codes of all refusals, sorted by whom they are about. `lint` has a finding for each of
 * RELEASE_CODES; test/lint/codes.test.ts holds the source to these lists, and
 * test/lint/refusals.test.ts has a release for each code of the first.
 */

/** About what was published: the same bytes are refused everywhere. */
export const RELEASE_CODES = [
  // Which release.
  'NOT_FOUND',
  'TAG_UNREADABLE',
  'PRERELEASE_ONLY',
  'NONE_ALLOWED',
  'LIST_TOO_LONG',
  'ANSWER_MALFORMED',
  'IMAGE_NOT_FILES',
  'MANIFEST_MISSING',
  'DIGEST_UNSUPPORTED',
  // Which of its files.
  'ASSET_MISSING',
  'ASSET_AMBIGUOUS',
  'ASSET_FORMAT_UNSUPPORTED',
  'ASSET_TOO_LARGE',
  'FILE_MISSING',
  'DOWNLOAD_REFUSED',
  'REDIRECT_REFUSED',
  // Whether it is what was meant.
  'LENGTH_MISMATCH',
  'DIGEST_MISSING',
  'DIGEST_MISMATCH',
  'ANSWER_TOO_LARGE',
  'SIGNATURE_MISSING',
  'SIGNATURE_INVALID',
  'VERSION_UNBOUND',
  'VERSION_MISMATCH',
  'ATTESTATION_MISSING',
  'ATTESTATION_INVALID',
  // What is in it.
  'ARCHIVE_CORRUPT',
  'ARCHIVE_REFUSED',
  'ARCHIVE_TOO_LARGE',
  // How it starts.
  'ENTRY_POINT_MISSING',
  'WRONG_PLATFORM',
  'INTERPRETER_MISSING',
] as const;
export type ReleaseCode = (typeof RELEASE_CODES)[number];

/** Of the way to the source: nothing is known of the release, and trying again may help. */
export const NETWORK_CODES = [
  'ACCESS_REFUSED',
  'ANSWER_UNEXPECTED',
  'CERTIFICATE_DATE',
  'CHECK_FAILED',
  'DOWNLOAD_CUT',
  'DOWNLOAD_SLOW',
  'DOWNLOAD_STALLED',
  'IP_NOT_ALLOWED',
  'NETWORK_FAILED',
  'NETWORK_LOGIN',
  'PROXY_AUTH',
  'PROXY_BLOCKED',
  'PROXY_FAILED',
  'RATE_LIMITED',
  'REALM_REFUSED',
  'REPOSITORY_BLOCKED',
  'SERVER_FAILED',
  'SSO_REQUIRED',
  'TLS_FAILED',
  'TOKEN_KIND_REFUSED',
  'TOKEN_MALFORMED',
  'TOKEN_REJECTED',
] as const;

/** Of one machine: its disk, its memory, its tools, its journal, the updater's own place. */
const MACHINE_CODES = [
  'CHECKPOINT_WRONG',
  'CROSS_DEVICE',
  'DIRECTORY_UNSAFE',
  'DISK_ERROR',
  'DOWNLOAD_LOST',
  'FACT_MISSING',
  'FILE_TOO_LARGE',
  'JOURNAL_BUSY',
  'JOURNAL_CORRUPT',
  'JOURNAL_FAILED',
  'JOURNAL_MISSING',
  'JOURNAL_NEWER',
  'LINKED_ESCAPES',
  'LOCKED',
  'NOTHING_TO_RUN',
  'NOT_A_FILE',
  'NOT_EXECUTABLE',
  'NOT_OURS',
  'NO_LOCKS',
  'NO_MEMORY',
  'NO_SPACE',
  'PERMISSION_DENIED',
  'READ_ONLY',
  'SUPERVISOR_MISSING',
  'TOOL_FAILED',
  'TOOL_MISSING',
  'TOO_MANY_FILES',
  'TREE_INCOMPLETE',
  'TREE_MISSING',
  'UNEXPECTED',
] as const;

/** What a release is in comparison with what a machine had before. */
const HISTORY_CODES = ['ASSET_REPLACED', 'REPOSITORY_REPLACED', 'VERSION_EQUAL'] as const;

/** Of the app as it runs, its sockets, its hooks, and the fleet around it. */
const RUNNING_CODES = [
  'ADDRESS_HELD',
  'APP_EXITED',
  'APP_KILLED',
  'APP_NOT_STOPPED',
  'CRASH_LOOP',
  'FLEET_LOCK_FAILED',
  'FLEET_LOCK_HELD',
  'HOOK_DEFERRED',
  'INTERRUPTED',
  'LISTEN_FAILED',
  'NOTIFY_FAILED',
  'NOT_READY',
  'POST_UPDATE_HOOK_FAILED',
  'PRE_START_HOOK_FAILED',
  'PRE_STOP_HOOK_FAILED',
  'SOCKET_WITH_APP',
  'START_FAILED',
  'UNHEALTHY',
  'UPDATER_KILLED',
] as const;

/** Of people: commands, settings, requests over HTTP, and the publisher's own commands. */
const OPERATOR_CODES = [
  'ACTIONS_OFF',
  'APP_REFUSED',
  'BODY_REFUSED',
  'BODY_TOO_LARGE',
  'COMMAND_INTERRUPTED',
  'COMMAND_MISSING',
  'COMMAND_REFUSED',
  'CONFIGURATION',
  'CROSS_SITE',
  'DASHBOARD_MISSING',
  'DENIED_BY_ENVIRONMENT',
  'DENIED_BY_OPERATOR',
  'HOST_REFUSED',
  'INDEX_REFUSED',
  'METHOD_REFUSED',
  'NOT_JSON',
  'NOT_NOTED',
  'NOT_TAKEN',
  'REQUEST_REFUSED',
  'SECRET_MISSING',
  'SIGNATURE_REFUSED',
  'SIGN_FAILED',
  'STARTING',
  'SUMS_DIFFER',
  'TOKEN_MISSING',
  'TOO_MANY_CLIENTS',
  'TOO_MANY_REQUESTS',
  'UPDATER_GONE',
  'WEBHOOK_OFF',
] as const;

export const OTHER_CODES: readonly string[] = [
  ...NETWORK_CODES,
  ...MACHINE_CODES,
  ...HISTORY_CODES,
  ...RUNNING_CODES,
  ...OPERATOR_CODES,
];

/** No refusals, but what would make a release better; see advice.ts. */
export const ADVICE_CODES = [
  'SUMS_MISSING',
  'SUMS_INCOMPLETE',
  'UNSIGNED',
  'UNCHECKED_SIGNATURE',
  'GLIBC_NEWER',
  'LIBRARY_NEEDED',
  'NOT_SERVED',
  'PROGRAM_NEEDED',
  'NATIVE_FOREIGN',
  'XZ_DEMANDING',
] as const;
export type AdviceCode = (typeof ADVICE_CODES)[number];

const isOneOf =
  <T extends string>(codes: readonly T[]) =>
  (code: string): code is T =>
    (codes as readonly string[]).includes(code);
export const isReleaseCode = isOneOf(RELEASE_CODES);
export const isNetworkCode = isOneOf(NETWORK_CODES);
