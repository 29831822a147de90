/**
 * Signs as minisign does (prehashed), with any trusted comment: for attacks that need many
 * signatures. Its own vectors are in test/trust/minisign.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { type MinisignKey, parseMinisignKey } from '../../src/support/minisign-key.ts';

export class FakeMinisign {
  readonly #keys = generateKeyPairSync('ed25519');
  readonly #id = randomBytes(8);
  /** As UPDATE_MINISIGN_KEYS has it. */
  readonly publicKey: string;

  constructor() {
    const raw = this.#keys.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    this.publicKey = Buffer.concat([Buffer.from('Ed'), this.#id, raw]).toString('base64');
  }

  get key(): MinisignKey {
    const key = parseMinisignKey(this.publicKey);
    if (key === null) throw new Error('invariant: this is a key');
    return key;
  }

  /** minisign itself writes `timestamp:1\tfile:<name>\thashed` as the comment. */
  sign(content: Buffer, comment: string): string {
    const signature = sign(
      null,
      createHash('blake2b512').update(content).digest(),
      this.#keys.privateKey,
    );
    const whole = sign(
      null,
      Buffer.concat([signature, Buffer.from(comment)]),
      this.#keys.privateKey,
    );
    const first = Buffer.concat([Buffer.from('ED'), this.#id, signature]).toString('base64');
    return `untrusted comment: signature\n${first}\ntrusted comment: ${comment}\n${whole.toString('base64')}\n`;
  }
}
