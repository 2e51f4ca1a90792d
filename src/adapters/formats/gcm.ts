/** How is AES-GCM opened with a key that came out of the value itself? */
import { createDecipheriv } from 'node:crypto'
import { KmsError } from '../../ports/errors.js'

const TAG_BYTES = 16

export interface GcmParts {
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
  readonly aad: Uint8Array
}

/**
 * @param key Not kept.
 * @param keyBytes The lengths that a key may have: one of another length was never this one.
 * @returns Bytes of their own, which the caller wipes.
 * @throws {KmsError} `ERR_DECRYPTION_FAILED`, with one text for whatever is wrong: it must not tell which.
 */
export function openGcm(key: Uint8Array, keyBytes: readonly number[], parts: GcmParts): Uint8Array {
  if (!keyBytes.includes(key.length)) throw failed()
  const algorithm = `aes-${8 * key.length}-gcm` as 'aes-256-gcm'
  const decipher = createDecipheriv(algorithm, key, parts.iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(parts.aad).setAuthTag(parts.tag)
  const plaintext = decipher.update(parts.ciphertext)
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    throw failed()
  }
}

function failed(): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', 'the value does not open under the key that stands in it')
}
