/** Values that another plugin sealed: read, never written. Each format is pure; what it asks of a key, the core asks. */

/** What kube-apiserver hands to Decrypt, whoever made it. */
export interface StoredValue {
  readonly ciphertext: Uint8Array
  /** As stored by KMS v2; `undefined` on v1. */
  readonly keyId: string | undefined
  /** As stored by KMS v2; empty on v1. */
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

/** Algorithms that a caller names where the service does not know them from key or ciphertext. */
export type NativeAlgorithm = 'AES-GCM' | 'AES-CBC' | 'HMAC-SHA256' | 'RSA1_5' | 'RSA-OAEP-256'

/**
 * What a service is asked to decrypt with its own operation. Only the fields that its product needs are there; each
 * backend says in its `decryptNative` which those are.
 */
export interface NativeCiphertext {
  /** As the service gave it, text as ASCII; for `HMAC-SHA256` the message. */
  readonly bytes: Uint8Array
  readonly algorithm?: NativeAlgorithm
  readonly iv?: Uint8Array
  readonly tag?: Uint8Array
  readonly aad?: Uint8Array
  /** The key or version that made it, in the words of the service, where the value says so. */
  readonly keyName?: string
}

/** How one value is opened: what its key is asked, and what becomes of the answers. */
export interface OpeningPlan {
  /** Asked in this order; a nested value is opened by another format of the same key. */
  readonly questions: readonly (NativeCiphertext | StoredValue)[]
  /** The answer to the only question opens many values, so it is kept as an opened DEK is. */
  readonly isReusable?: boolean
  /** Nothing in the value names its key, and another one would open it to other bytes without an error. */
  readonly opensUnderAnyKey?: boolean
  /**
   * Makes the plaintext (bytes of its own, which the caller wipes) out of the answers, which it does not keep.
   *
   * @throws {KmsError} `ERR_DECRYPTION_FAILED`; `ERR_VALUE_UNAUTHENTICATED` where only the answers show that nothing
   * protects the value and that is not allowed.
   */
  finish(answers: readonly Uint8Array[]): Uint8Array
}

/** By what a format knows a value of its own, the surest first. */
export type Sign = 'annotation' | 'keyId' | 'bytes'

const SIGNS: readonly Sign[] = ['annotation', 'keyId', 'bytes']

/**
 * By which signs a value may be known, the surest first. Whoever writes annotations is known by them: guessing by first
 * bytes would take what is nobody's for a format's own.
 */
export function signsOf({ annotations }: StoredValue): readonly Sign[] {
  return Object.keys(annotations).length === 0 ? SIGNS.slice(1) : SIGNS.slice(0, 1)
}

/** One format as one key of the configuration opens it. */
export interface ForeignDecoder {
  /** The format's name, as in `decode` and in metrics. */
  readonly format: string
  /** Looks at names and first bytes; no I/O and no key. `undefined`: not of this format. */
  recognize(value: StoredValue): Sign | undefined
  /**
   * @throws {KmsError} `ERR_MALFORMED_ENVELOPE` for bytes that are not of this format to their end, `ERR_KEY_UNKNOWN`
   * where the value says that another key made it; before anybody is asked.
   */
  plan(value: StoredValue): OpeningPlan
}

/** What a value of another plugin says without any key. */
export interface ForeignExplanation {
  readonly format: string
  /** Who writes this format, for a sentence. */
  readonly writtenBy: string
  readonly fields: readonly { readonly label: string; readonly value: string }[]
  /** Why it is not of this format to its end. */
  readonly problem?: string
}

/** Explains a value by its format; `undefined` where no format knows it. Never throws. */
export type DescribeForeign = (value: StoredValue) => ForeignExplanation | undefined
