/** Trust roots that are shipped. */
import publicGood from './roots/public-good.json' with { type: 'json' };

/**
 * The public-good instance's, as the TUF repository at https://tuf-repo-cdn.sigstore.dev had it
 * when this version was made. Its keys change seldom; UPDATE_ATTESTATION_ROOT takes the place of a
 * newer one.
 */
export const PUBLIC_GOOD_ROOT: unknown = publicGood;
