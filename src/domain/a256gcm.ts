/** AES-256-GCM with 96-bit random IVs and 128-bit tags (NIST SP 800-38D). */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { CipherSuite } from './cipher_suite.js'

// Node accepts tags of 4 bytes unless the length is pinned.
const OPTIONS = { authTagLength: 16 } as const

export const a256gcm: CipherSuite = {
  id: 1,
  name: 'A256GCM',
  keyBytes: 32,
  ivBytes: 12,
  tagBytes: 16,
  ciphertextBytes: (plaintextBytes) => plaintextBytes,
  isCiphertextLength: () => true,

  seal(key, iv, aad, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key, iv, OPTIONS)
    cipher.setAAD(aad)
    const ciphertext = cipher.update(plaintext)
    cipher.final()
    return { ciphertext, tag: cipher.getAuthTag() }
  },

  open(key, iv, aad, ciphertext, tag) {
    const decipher = createDecipheriv('aes-256-gcm', key, iv, OPTIONS)
    decipher.setAAD(aad)
    decipher.setAuthTag(tag)
    // update() releases bytes before the tag is checked: they leave this function only after final().
    const plaintext = decipher.update(ciphertext)
    try {
      decipher.final()
      return plaintext
    } catch {
      plaintext.fill(0)
      return undefined
    }
  },
}
