/** The options that `lint` alone has. */
import { nameOf, PLATFORMS, platformOf } from '../lint/platforms.ts';

export type LintArguments = {
  /** They must be served; all are looked at where none is named. */
  platforms: string[];
  /** `owner/repo` or `owner/repo@tag`: what a directory's files are a release of. */
  as: string | null;
  annotations: boolean;
  sums: boolean;
  /** File with minisign's secret key. */
  sign: string | null;
};

/** As `parseArgs` takes them. */
export const LINT_OPTIONS = {
  platform: { type: 'string', multiple: true },
  as: { type: 'string' },
  annotations: { type: 'boolean' },
  sums: { type: 'boolean' },
  sign: { type: 'string' },
} as const;

export const LINT_HELP: Record<string, string> = {
  '--platform LIST': 'only these, and they must be served: linux/amd64,linux/arm64/musl',
  '--as OWNER/REPO@TAG': "what a directory's files are a release of",
  '--annotations': 'as annotations for GitHub Actions as well',
  '--sums': "write checksums.txt for a directory's files",
  '--sign KEYFILE': 'sign the sums by minisign',
};

type Values = {
  platform?: string[] | undefined;
  as?: string | undefined;
  annotations?: boolean | undefined;
  sums?: boolean | undefined;
  sign?: string | undefined;
};

export function lintArguments(values: Values, refuse: (problem: string) => never): LintArguments {
  const { platform = [], as = null, annotations = false, sums = false, sign = null } = values;
  const platforms = platform.flatMap((list) => list.split(/[\s,]+/)).filter((name) => name !== '');
  for (const name of platforms)
    if (platformOf(name) === null)
      refuse(
        `--platform does not know ${JSON.stringify(name)}: ${PLATFORMS.map(nameOf).join(', ')}`,
      );
  if (as !== null && !/^[^/@\s]+(?:\/[^/@\s]+)+(?:@\S+)?$/.test(as))
    refuse('--as takes owner/repo or owner/repo@tag');
  if (sign === '') refuse('--sign takes a file');
  return { platforms: [...new Set(platforms)], as, annotations, sums, sign };
}
