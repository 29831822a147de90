/** What is less safe than it could be, by the operator's own settings: said at every start, and in `status` as long as it is so. */
import type { Parts } from './compose.ts';

export function standingWarnings({ config }: Pick<Parts, 'config'>): string[] {
  const warnings: string[] = [];
  const { UPDATE_VERIFY, UPDATE_MINISIGN_BINDING } = config;
  if (UPDATE_VERIFY.length === 0) warnings.push('UPDATE_VERIFY=none: whatever is downloaded is run, unverified');
  if (UPDATE_VERIFY.includes('minisign') && UPDATE_MINISIGN_BINDING === 'none')
    warnings.push('UPDATE_MINISIGN_BINDING=none: signed bytes of any version are taken for the newest, old ones with known holes too');
  return warnings;
}
