/** Paths of the KMS API. */
export const METHOD: Readonly<
  Record<'v2Status' | 'v2Encrypt' | 'v2Decrypt' | 'v1Encrypt' | 'v1Decrypt', string>
>
/** Serialised messages. */
export const v2: {
  readonly encrypt: (plaintext: Uint8Array) => Buffer
  readonly decrypt: (encryptAnswer: Buffer) => Buffer
  readonly decrypted: (plaintext: Uint8Array) => Buffer
}
/** A message of length-delimited fields. */
export function message(...fields: readonly (readonly [number, Uint8Array | string])[]): Buffer
