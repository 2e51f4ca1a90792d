/** Sealing a value under a DEK and opening it again: the only place that draws salts and IVs. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { KmsError } from '../ports/errors.js'
import type { DescribeEnvelope } from '../ports/operations.js'
import type { CipherSuite } from './cipher_suite.js'
import { SALT_BYTES, type Dek } from './dek.js'
import {
  encodeHeader,
  FORMAT_VERSION,
  parseEnvelope,
  PLAINTEXT_MAX_BYTES,
  type Envelope,
} from './envelope_format.js'

/**
 * Seals `plaintext` (0 to 1 MiB; the caller keeps and wipes it) into an envelope of its own.
 *
 * Salt and IV are fresh random bytes and nobody's choice. They are drawn for each value: bytes drawn ahead would be
 * handed out twice by a machine that goes back to a snapshot of its memory, and no key may meet an IV twice.
 */
export function sealEnvelope(dek: Dek, suite: CipherSuite, plaintext: Uint8Array): Buffer {
  if (plaintext.length > PLAINTEXT_MAX_BYTES) {
    throw new KmsError('ERR_REQUEST_TOO_LARGE', `a value has at most ${PLAINTEXT_MAX_BYTES} bytes`)
  }
  const random = randomBytes(SALT_BYTES + suite.ivBytes)
  const salt = random.subarray(0, SALT_BYTES)
  const iv = random.subarray(SALT_BYTES)
  const keys = dek.deriveValueKeys(suite, salt)
  try {
    const { commitment } = keys
    const ciphertextBytes = suite.ciphertextBytes(plaintext.length)
    const header = encodeHeader(suite, dek.wrapped, { salt, commitment, iv, ciphertextBytes })
    const { ciphertext, tag } = suite.seal(keys.key, iv, header, plaintext)
    return Buffer.concat([header, ciphertext, tag])
  } finally {
    keys.wipe()
  }
}

/**
 * Opens a parsed envelope with the DEK that its wrapped form unwraps to.
 *
 * @returns The plaintext, which the caller owns and wipes.
 * @throws {KmsError} `ERR_DECRYPTION_FAILED` for every reason alike, so that the answer is no oracle.
 */
export function openEnvelope(dek: Dek, envelope: Envelope): Buffer {
  const { suite, salt, iv, aad, ciphertext, tag } = envelope
  const keys = dek.deriveValueKeys(suite, salt)
  try {
    // GCM does not commit to its key; this does, before the key touches the ciphertext.
    const committed = timingSafeEqual(keys.commitment, envelope.commitment)
    const plaintext = committed ? suite.open(keys.key, iv, aad, ciphertext, tag) : undefined
    if (plaintext === undefined)
      throw new KmsError('ERR_DECRYPTION_FAILED', 'the envelope failed authentication')
    return plaintext
  } finally {
    keys.wipe()
  }
}

/** For `kmsplugin inspect`: what an envelope says without any key. */
export const describeEnvelope: DescribeEnvelope = (bytes) => {
  try {
    const { suite, wrapped, ciphertext } = parseEnvelope(bytes)
    return {
      formatVersion: FORMAT_VERSION,
      cipher: suite.name,
      keyId: wrapped.keyId,
      wrappedDekBytes: wrapped.bytes.length,
      ciphertextBytes: ciphertext.length,
      totalBytes: bytes.length,
    }
  } catch {
    return undefined
  }
}
