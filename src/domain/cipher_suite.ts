import type { CipherName } from '../ports/config.js'

/** An AEAD as the envelope uses it. Keys are used for one value only: they are derived from the DEK and a salt. */
export interface CipherSuite {
  /** The byte that stands in the envelope. Never reused for another suite. */
  readonly id: number
  readonly name: CipherName
  readonly keyBytes: number
  readonly ivBytes: number
  readonly tagBytes: number
  /** The exact length of the ciphertext of a plaintext of this length. */
  ciphertextBytes(plaintextBytes: number): number
  /** Whether any plaintext has a ciphertext of this length. */
  isCiphertextLength(bytes: number): boolean
  seal(
    key: Uint8Array,
    iv: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): { readonly ciphertext: Buffer; readonly tag: Buffer }
  /** @returns The plaintext, which the caller owns and wipes; `undefined` when authentication fails. */
  open(
    key: Uint8Array,
    iv: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
    tag: Uint8Array,
  ): Buffer | undefined
}
