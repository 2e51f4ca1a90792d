/**
 * One GCM ciphertext and tag that authenticate under two keys.
 *
 * GHASH is linear in the ciphertext (NIST SP 800-38D section 6.4), so of two blocks the second can be solved for:
 * the two tags agree when C2 = (difference of all else) / (H1^2 + H2^2).
 */
import { createCipheriv } from 'node:crypto'

const BLOCK_BYTES = 16

export interface Collision {
  /** 32 bytes. */
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

/** @param aad Any length; the same under both keys, as the AAD of an envelope is. */
export function collide(keys: [Uint8Array, Uint8Array], iv: Uint8Array, aad: Uint8Array): Collision {
  const [one, two] = keys.map((key) => {
    const h = block(key, Buffer.alloc(BLOCK_BYTES))
    const mask = block(key, Buffer.concat([iv, Buffer.of(0, 0, 0, 1)]))
    return { h, mask }
  }) as [Half, Half]

  const first = Buffer.alloc(BLOCK_BYTES, 0x5a)
  const withSecond = (second: bigint) => Buffer.concat([first, bytesOf(second)])
  // With C2 = 0 both sides are what all else adds up to.
  const difference = tagUnder(one, aad, withSecond(0n)) ^ tagUnder(two, aad, withSecond(0n))
  const second = multiply(difference, invert(multiply(one.h, one.h) ^ multiply(two.h, two.h)))
  const ciphertext = withSecond(second)
  return { ciphertext, tag: bytesOf(tagUnder(one, aad, ciphertext)) }
}

interface Half {
  /** The hash subkey. */
  readonly h: bigint
  /** The encrypted first counter block. */
  readonly mask: bigint
}

function tagUnder({ h, mask }: Half, aad: Uint8Array, ciphertext: Uint8Array): bigint {
  const lengths = Buffer.alloc(BLOCK_BYTES)
  lengths.writeUInt32BE(aad.length * 8, 4)
  lengths.writeUInt32BE(ciphertext.length * 8, 12)
  let y = 0n
  for (const part of [aad, ciphertext, lengths]) {
    for (let at = 0; at < part.length; at += BLOCK_BYTES) {
      const padded = Buffer.alloc(BLOCK_BYTES)
      padded.set(part.subarray(at, at + BLOCK_BYTES))
      y = multiply(y ^ numberOf(padded), h)
    }
  }
  return y ^ mask
}

/** In GF(2^128) as SP 800-38D section 6.3 draws it: the leftmost bit is the coefficient of x^0. */
function multiply(x: bigint, y: bigint): bigint {
  let z = 0n
  let v = y
  for (let bit = 127n; bit >= 0n; bit -= 1n) {
    if (((x >> bit) & 1n) === 1n) z ^= v
    v = (v & 1n) === 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n
  }
  return z
}

/** x^(2^128 - 2). */
function invert(x: bigint): bigint {
  let result = 1n << 127n
  let power = x
  for (let i = 1; i < 128; i += 1) {
    power = multiply(power, power)
    result = multiply(result, power)
  }
  return result
}

function block(key: Uint8Array, input: Uint8Array): bigint {
  return numberOf(createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(input))
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

function bytesOf(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(BLOCK_BYTES * 2, '0'), 'hex')
}
