/**
 * The stored bytes of a sealed value, format version 1. Frozen: readable for ever (docs/envelope.md).
 *
 *   bytes  field
 *   4      magic 93 4b 4d 53. 0x93 continues a UTF-8 character, so no text and no format of another plugin starts so
 *   1      format version: 01
 *   1      suite: 01 A256GCM, 02 A256CBC-HS512
 *   1      k, length of the key id, 1..255
 *   k      key id, ASCII
 *   2      w, length of the wrapped DEK, 1..640, big-endian
 *   w      wrapped DEK, opaque to all but the backend that the key id names
 *   32     salt
 *   32     commitment
 *   4      c, length of the ciphertext, big-endian
 *   12|16  IV
 *   c      ciphertext
 *   16|32  tag
 *
 * Everything before the ciphertext is the AAD. Rule: canonical. Each field has one form, every length is checked
 * against what is left, and nothing may follow the tag, so what parses re-encodes to itself.
 */
import { KmsError } from '../ports/errors.js'
import { isKeyId } from '../ports/key_id.js'
import { WRAPPED_DEK_MAX_BYTES, type WrappedDek } from '../ports/key_wrapper.js'
import type { CipherSuite } from './cipher_suite.js'
import { suiteOfId } from './cipher_suites.js'
import { COMMITMENT_BYTES, SALT_BYTES } from './dek.js'

export const FORMAT_VERSION = 1

/** Largest plaintext of the format: 1 MiB. kube-apiserver sends 32 bytes. */
export const PLAINTEXT_MAX_BYTES = 2 ** 20

const MAGIC = Buffer.from([0x93, 0x4b, 0x4d, 0x53])
const FIXED_BYTES = MAGIC.length + 1 + 1 + 1 + 2 + SALT_BYTES + COMMITMENT_BYTES + 4

/** A parsed envelope: views into the bytes that were parsed. Nothing in it is authenticated yet. */
export interface Envelope {
  readonly suite: CipherSuite
  readonly wrapped: WrappedDek
  readonly salt: Uint8Array
  readonly commitment: Uint8Array
  readonly iv: Uint8Array
  readonly aad: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

/** The exact length of an envelope. */
export function envelopeBytes(suite: CipherSuite, wrapped: WrappedDek, plaintextBytes: number): number {
  return headerBytes(suite, wrapped) + suite.ciphertextBytes(plaintextBytes) + suite.tagBytes
}

/** All that stands before the ciphertext: the AAD. */
export function encodeHeader(
  suite: CipherSuite,
  wrapped: WrappedDek,
  value: {
    readonly salt: Uint8Array
    readonly commitment: Uint8Array
    readonly iv: Uint8Array
    readonly ciphertextBytes: number
  },
): Buffer {
  const out = Buffer.alloc(headerBytes(suite, wrapped))
  let at = MAGIC.copy(out)
  at = out.writeUInt8(FORMAT_VERSION, at)
  at = out.writeUInt8(suite.id, at)
  at = out.writeUInt8(wrapped.keyId.length, at)
  at += out.write(wrapped.keyId, at, 'ascii')
  at = out.writeUInt16BE(wrapped.bytes.length, at)
  out.set(wrapped.bytes, at)
  at += wrapped.bytes.length
  out.set(value.salt, at)
  at += SALT_BYTES
  out.set(value.commitment, at)
  at += COMMITMENT_BYTES
  at = out.writeUInt32BE(value.ciphertextBytes, at)
  out.set(value.iv, at)
  return out
}

/** Whether `bytes` begin as every envelope of ours does. */
export function beginsLikeEnvelope(bytes: Uint8Array): boolean {
  return MAGIC.equals(bytes.subarray(0, MAGIC.length))
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE`, before any key is looked at. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const take = (length: number, field: string): Buffer => {
    if (length > buffer.length - at) throw malformed(`it ends inside the ${field}`)
    at += length
    return buffer.subarray(at - length, at)
  }

  const takeByte = (field: string): number => {
    if (at >= buffer.length) throw malformed(`it ends inside the ${field}`)
    at += 1
    return buffer.readUInt8(at - 1)
  }

  if (!take(MAGIC.length, 'magic').equals(MAGIC)) throw malformed('it does not start with our magic bytes')
  const version = takeByte('format version')
  if (version !== FORMAT_VERSION) throw malformed(`format version ${version} is not ${FORMAT_VERSION}`)
  const suite = suiteOfId(takeByte('suite'))
  if (suite === undefined) throw malformed('its suite is unknown')
  const keyIdBytes = take(takeByte('key id length'), 'key id')
  // latin1 keeps bytes apart that ASCII decoding would fold onto each other.
  const keyId = keyIdBytes.toString('latin1')
  if (!isKeyId(keyId)) throw malformed('its key id has another form')
  const wrappedLength = take(2, 'wrapped DEK length').readUInt16BE()
  if (wrappedLength === 0 || wrappedLength > WRAPPED_DEK_MAX_BYTES) {
    throw malformed(`its wrapped DEK has ${wrappedLength} bytes, not 1 to ${WRAPPED_DEK_MAX_BYTES}`)
  }
  const wrapped: WrappedDek = { keyId, bytes: take(wrappedLength, 'wrapped DEK') }
  const salt = take(SALT_BYTES, 'salt')
  const commitment = take(COMMITMENT_BYTES, 'commitment')
  const ciphertextLength = take(4, 'ciphertext length').readUInt32BE()
  if (
    !suite.isCiphertextLength(ciphertextLength) ||
    ciphertextLength > suite.ciphertextBytes(PLAINTEXT_MAX_BYTES)
  ) {
    throw malformed(`no ciphertext of ${suite.name} has ${ciphertextLength} bytes`)
  }
  const iv = take(suite.ivBytes, 'IV')
  const aad = buffer.subarray(0, at)
  const ciphertext = take(ciphertextLength, 'ciphertext')
  const tag = take(suite.tagBytes, 'tag')
  if (at !== buffer.length) throw malformed(`${buffer.length - at} bytes follow its tag`)
  return { suite, wrapped, salt, commitment, iv, aad, ciphertext, tag }
}

function headerBytes(suite: CipherSuite, wrapped: WrappedDek): number {
  return FIXED_BYTES + wrapped.keyId.length + wrapped.bytes.length + suite.ivBytes
}

function malformed(why: string): KmsError {
  return new KmsError('ERR_MALFORMED_ENVELOPE', `this is no envelope of format version 1: ${why}`)
}
