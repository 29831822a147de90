/**
 * A Sigstore instance of our own: a certificate authority, its log and a transparency log behind
 * real HTTP, and the stock client that signs with them as a GitHub workflow does. For trust roots,
 * certificates and bundles that are wrong in every way.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { bundleToJSON } from '@sigstore/bundle';
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  rekorHandler,
} from '@sigstore/mock';
import { HashAlgorithm, PublicKeyDetails, TrustedRoot } from '@sigstore/protobuf-specs';
import {
  DSSEBundleBuilder,
  FulcioSigner,
  MessageSignatureBundleBuilder,
  RekorWitness,
} from '@sigstore/sign';

/**
 * What a workflow's token says of it; the defaults are those of acme/app's release workflow on
 * v2.0.0.
 */
export type Claims = { sub?: string; iss?: string; repository?: string; repository_id?: string };
export type Statement = {
  name?: string;
  subjects?: { name: string; sha256: string }[];
  predicateType?: string;
  type?: string;
  payloadType?: string;
};
// biome-ignore lint/suspicious/noExplicitAny: bundles are taken apart in every way here
export type BundleJson = any;

export const IDENTITY =
  'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v2.0.0';
export const ISSUER = 'https://token.actions.githubusercontent.com';

export class Sigstore implements AsyncDisposable {
  readonly trustedRoot: unknown;
  readonly #server: http.Server;
  readonly #url: string;

  private constructor(server: http.Server, trustedRoot: unknown) {
    this.#server = server;
    this.#url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.trustedRoot = trustedRoot;
  }

  static async start(): Promise<Sigstore> {
    const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const ctlog = await initializeCTLog(keyPair());
    const ca = await initializeCA(keyPair(), ctlog);
    const tlog = await initializeTLog('https://rekor.example', keyPair());
    const handlers = [fulcioHandler(ca), rekorHandler(tlog)];
    const server = http.createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const handler = handlers.find(({ path }) => path === request.url);
      const answer = await handler?.fn(Buffer.concat(chunks).toString());
      response
        .writeHead(answer?.statusCode ?? 404, {
          'content-type': answer?.contentType ?? 'application/json',
        })
        .end(answer?.response ?? '');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const start = new Date(Date.now() - 60_000);
    const log = (rawBytes: Buffer, keyId: Buffer) => ({
      baseUrl: 'https://rekor.example',
      hashAlgorithm: HashAlgorithm.SHA2_256,
      logId: { keyId },
      publicKey: {
        rawBytes,
        keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256,
        validFor: { start, end: undefined },
      },
      checkpointKeyId: undefined,
      operator: 'test',
    });
    const certificates = [{ rawBytes: Buffer.from(ca.rootCertificate.buffer) }];
    const root = TrustedRoot.toJSON({
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(tlog.publicKey, createHash('sha256').update(tlog.publicKey).digest())],
      ctlogs: [log(ctlog.publicKey, Buffer.from(ctlog.logID.buffer))],
      timestampAuthorities: [],
      certificateAuthorities: [
        {
          uri: 'https://ca.example',
          subject: { commonName: 'ca', organization: 'test' },
          certChain: { certificates },
          validFor: { start, end: undefined },
          operator: 'test',
        },
      ],
    });
    return new Sigstore(server, root);
  }

  /** A build provenance for these bytes, as JSON. */
  async attest(
    sha256: string,
    statement: Statement = {},
    claims: Claims = {},
  ): Promise<BundleJson> {
    const {
      name: named = 'app.tar.gz',
      subjects = [{ name: named, sha256 }],
      predicateType = 'https://slsa.dev/provenance/v1',
      type = 'https://in-toto.io/Statement/v1',
    } = statement;
    const subject = subjects.map(({ name: file, sha256: digest }) => ({
      name: file,
      digest: { sha256: digest },
    }));
    const data = Buffer.from(
      JSON.stringify({ _type: type, subject, predicateType, predicate: {} }),
    );
    const builder = new DSSEBundleBuilder(this.#options(claims));
    return bundleToJSON(
      await builder.create({ data, type: statement.payloadType ?? 'application/vnd.in-toto+json' }),
    );
  }

  /** A bare signature, as `cosign sign-blob` makes it. */
  async sign(data: Buffer): Promise<BundleJson> {
    return bundleToJSON(
      await new MessageSignatureBundleBuilder(this.#options({})).create({ data }),
    );
  }

  #options(claims: Claims) {
    const token = {
      sub: IDENTITY,
      iss: ISSUER,
      repository: 'acme/app',
      repository_id: '4711',
      ...claims,
    };
    const jwt = ['{"alg":"none"}', JSON.stringify(token), '']
      .map((part) => Buffer.from(part).toString('base64url'))
      .join('.');
    return {
      signer: new FulcioSigner({
        fulcioBaseURL: this.#url,
        identityProvider: { getToken: async () => jwt },
      }),
      witnesses: [new RekorWitness({ rekorBaseURL: this.#url, entryType: 'intoto' as const })],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
