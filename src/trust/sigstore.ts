/** What is used of Sigstore's packages: one file of the built program, which few updaters load. */
export { bundleFromJSON, isBundleWithDsseEnvelope } from '@sigstore/bundle';
export { TrustedRoot } from '@sigstore/protobuf-specs';
export { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
