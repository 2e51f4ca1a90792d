/**
 * AES-256-CBC with HMAC-SHA-512, encrypt-then-MAC (RFC 7518 section 5.2.5).
 *
 * The 64-byte key is MAC key (32) then encryption key (32). The tag is the first 32 bytes of
 * HMAC-SHA-512(AAD, IV, ciphertext, AL), where AL is the length of the AAD in bits as 64 bits, big-endian.
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'
import type { CipherSuite } from './cipher_suite.js'

const MAC_KEY_BYTES = 32
const BLOCK_BYTES = 16
const TAG_BYTES = 32

export const a256cbcHs512: CipherSuite = {
  id: 2,
  name: 'A256CBC-HS512',
  keyBytes: 64,
  ivBytes: 16,
  tagBytes: TAG_BYTES,
  // PKCS#7 always pads: a full block more when the plaintext fills its last one.
  ciphertextBytes: (plaintextBytes) => plaintextBytes + BLOCK_BYTES - (plaintextBytes % BLOCK_BYTES),
  isCiphertextLength: (bytes) => bytes > 0 && bytes % BLOCK_BYTES === 0,

  seal(key, iv, aad, plaintext) {
    const cipher = createCipheriv('aes-256-cbc', key.subarray(MAC_KEY_BYTES), iv)
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
    return { ciphertext, tag: tagOf(key, iv, aad, ciphertext) }
  },

  open(key, iv, aad, ciphertext, tag) {
    // The MAC comes first, so that padding is only looked at in what we made: no padding oracle.
    if (!timingSafeEqual(tagOf(key, iv, aad, ciphertext), tag)) return undefined
    const decipher = createDecipheriv('aes-256-cbc', key.subarray(MAC_KEY_BYTES), iv)
    const head = decipher.update(ciphertext)
    try {
      const tail = decipher.final()
      const plaintext = Buffer.concat([head, tail])
      tail.fill(0)
      return plaintext
    } catch {
      // Padding that seal() never makes, behind a right MAC: refused like all else.
      return undefined
    } finally {
      head.fill(0)
    }
  },
}

function tagOf(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Buffer {
  const aadBits = Buffer.alloc(8)
  aadBits.writeBigUInt64BE(BigInt(aad.length) * 8n)
  const mac = createHmac('sha512', key.subarray(0, MAC_KEY_BYTES))
  return mac.update(aad).update(iv).update(ciphertext).update(aadBits).digest().subarray(0, TAG_BYTES)
}
