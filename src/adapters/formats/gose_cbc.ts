/**
 * What did gose, the JOSE library of k8s-kms-plugin, make of AES-CBC and HMAC-SHA-256, and which of its tags
 * authenticates?
 *
 * Three generations: (a) the whole input and, behind it, the HMAC of no bytes at all; (b) the HMAC of no bytes alone, the
 * same under every value of a key; (c) the HMAC of the input. Only (c) shows that a value was altered. The input is the
 * header's text, IV, ciphertext and the length of that text in 8 bytes, big-endian (in bytes, not in bits as RFC 7518 has
 * it); the header is without `_thales_aad` before (c), and perhaps in its first releases: then the
 * length, which it tells, is anyone's to alter.
 */
import { timingSafeEqual } from 'node:crypto'
import { KmsError } from '../../ports/errors.js'
import type { NativeCiphertext } from '../../ports/foreign.js'
import { bytesOf, malformed, type CompactJwe } from './jwe_compact.js'

const BLOCK_BYTES = 16
const MAC_BYTES = 32
const LENGTH_BYTES = 8
/** kube-apiserver stores at most so much of a plugin. */
const MAX_PLAINTEXT_BYTES = 65_535
const LENGTH_MEMBER = /,"_thales_aad":"[A-Za-z0-9_-]*"/

export interface GoseCbc {
  /** Bytes of plaintext; the rest of the last block is zeros. */
  readonly plaintextBytes: number
  /** The blocks that the key made. */
  readonly blocks: Buffer
  /** What a tag of generation (c) is an HMAC of: with the header as it came, and without the length. */
  readonly inputs: readonly Buffer[]
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE` */
export function readGoseCbc(jwe: CompactJwe): GoseCbc {
  const { header, iv, ciphertext, encryptedKey, tag } = jwe
  const told = header['_thales_aad']
  const length = typeof told === 'string' ? bytesOf(told) : Buffer.alloc(0)
  if (length.length !== LENGTH_BYTES) throw malformed('its header does not tell the length of the plaintext')
  const plaintextBytes = Number(length.readBigUInt64BE())
  if (plaintextBytes === 0 || plaintextBytes > MAX_PLAINTEXT_BYTES) {
    throw malformed('its header tells a length that no plaintext has')
  }
  // One block more than the whole ones: the one that is filled up, or else one that was never encrypted.
  const wholeBytes = plaintextBytes - (plaintextBytes % BLOCK_BYTES)
  if (
    ciphertext.length !== wholeBytes + BLOCK_BYTES ||
    iv.length !== BLOCK_BYTES ||
    encryptedKey.length > 0
  ) {
    throw malformed('its parts are not as long as the plaintext makes them')
  }
  const blocks = plaintextBytes === wholeBytes ? ciphertext.subarray(0, wholeBytes) : ciphertext
  if (ciphertext.subarray(blocks.length).some((byte) => byte !== 0)) {
    throw malformed('its last block, which is never encrypted, is not zeros')
  }
  const inputs = headerTexts(jwe).map((text) => inputOf(text, iv, ciphertext))
  const isOfSomeGeneration =
    tag.length === MAC_BYTES || inputs.some((input) => tag.subarray(0, -MAC_BYTES).equals(input))
  if (!isOfSomeGeneration) throw malformed('its tag is of no generation')
  return { plaintextBytes, blocks, inputs }
}

/** What the HMAC key is asked: the MACs of the inputs, then that of no bytes. */
export function macQuestions({ inputs }: GoseCbc, keyName: string): NativeCiphertext[] {
  return [...inputs, Buffer.alloc(0)].map((bytes) => ({ algorithm: 'HMAC-SHA256', bytes, keyName }))
}

/**
 * Whether the tag shows that nothing was altered; `false` for a tag that was made right and shows nothing.
 *
 * @param macs The answers to {@link macQuestions}.
 * @throws {KmsError} `ERR_DECRYPTION_FAILED` for any other tag.
 */
export function isAuthentic(tag: Buffer, macs: readonly Uint8Array[]): boolean {
  const mac = tag.subarray(-MAC_BYTES)
  const [whole, withoutLength] = macs
  const isOfNothing = isSame(mac, macs.at(-1))
  if (tag.length === MAC_BYTES && isSame(mac, whole)) return true
  if (isOfNothing || (tag.length === MAC_BYTES && isSame(mac, withoutLength))) return false
  throw new KmsError('ERR_DECRYPTION_FAILED', 'the HMAC is not the one of these bytes, or of another key')
}

function isSame(mac: Buffer, other: Uint8Array | undefined): boolean {
  return other?.length === mac.length && timingSafeEqual(mac, other)
}

/** As it came, and as it was before the length was put in. */
function headerTexts({ headerText }: CompactJwe): string[] {
  const json = Buffer.from(headerText, 'base64url').toString('utf8')
  return [headerText, Buffer.from(json.replace(LENGTH_MEMBER, ''), 'utf8').toString('base64url')]
}

function inputOf(headerText: string, iv: Buffer, ciphertext: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeBigUInt64BE(BigInt(headerText.length))
  return Buffer.concat([Buffer.from(headerText, 'ascii'), iv, ciphertext, length])
}
