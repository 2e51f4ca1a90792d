/** How every backend turns the identity of a KEK version into a key id. */
import { createHash } from 'node:crypto'
import { FINGERPRINT_LENGTH, keyId, type KeyId } from '../../ports/key_id.js'

/** Texts and bytes that together name something and cannot be edited, in the order the backend documents. */
export type IdentityTuple = readonly (string | Uint8Array)[]

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/**
 * The key id of one KEK version.
 *
 * @param kek Names the KEK; equal for all its versions.
 * @param version Names the version within the KEK; empty where a KEK has no versions.
 */
export function keyIdOf(backend: string, kek: IdentityTuple, version: IdentityTuple = []): KeyId {
  const kekPrint = fingerprint(['kmsplugin kek v1', backend, ...kek])
  const versionPrint = fingerprint(['kmsplugin kek version v1', backend, ...kek, ...version])
  return keyId(`${backend}:${kekPrint}.${versionPrint}`)
}

/** SHA-256 over the parts, each behind its length as a 32-bit big-endian number, so that no two tuples collide. */
function fingerprint(parts: IdentityTuple): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
  return base32(hash.digest()).slice(0, FINGERPRINT_LENGTH)
}

/** RFC 4648 section 6, in lower case and without padding. */
function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET.charAt((value >>> bits) & 31)
    }
    value &= (1 << bits) - 1
  }
  if (bits > 0) text += ALPHABET.charAt((value << (5 - bits)) & 31)
  return text
}
