/** Is what AES-CBC decrypted a DEK of kube-apiserver, and where in it is that? Nothing else tells: CBC authenticates nothing. */
import { createDecipheriv } from 'node:crypto'

/** kube-apiserver has never had a KMS plugin encrypt anything else, on v1 or v2. */
export const KUBE_DEK_BYTES = 32

export const BLOCK_BYTES = 16

/**
 * Decrypts AES-256-CBC without looking at the end.
 *
 * @param key 32 bytes.
 * @param iv 16 bytes.
 * @param blocks A multiple of 16 bytes.
 * @returns As many bytes, which the caller wipes.
 */
export function decryptCbc(key: Uint8Array, iv: Uint8Array, blocks: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false)
  const first = decipher.update(blocks)
  const last = decipher.final()
  const all = Buffer.concat([first, last])
  first.fill(0)
  return all
}

/**
 * The DEK in one of two layouts:
 *
 * - 32 bytes, then PKCS#7 (RFC 5652 section 6.3), here a whole block of 16 times 0x10;
 * - the length 32 as a big-endian number of `lengthBytes` bytes, then 32 bytes, then whatever fills the last block.
 *
 * Of random bytes, such as a wrong key makes, the first is found in one of 2^128 cases, the second in one of
 * 2^(8 × lengthBytes): 2^32 for the four bytes that are usual. The first therefore counts where both are there.
 *
 * @param lengthBytes 1 to 8.
 * @returns 32 bytes that the caller owns and wipes; `undefined` where there is neither.
 */
export function kubeDekIn(decrypted: Uint8Array, lengthBytes: number): Buffer | undefined {
  if (hasPaddedDek(decrypted)) return copyOf(decrypted, 0)
  const filled = Math.ceil((lengthBytes + KUBE_DEK_BYTES) / BLOCK_BYTES) * BLOCK_BYTES
  const isFull = filled === lengthBytes + KUBE_DEK_BYTES
  // PKCS#7 fills a last block that is full already with another one.
  const lengths = isFull ? [filled, filled + BLOCK_BYTES] : [filled]
  const prefix = decrypted.subarray(0, lengthBytes)
  const isPrefix = prefix.every((byte, at) => byte === (at === lengthBytes - 1 ? KUBE_DEK_BYTES : 0))
  return lengths.includes(decrypted.length) && isPrefix ? copyOf(decrypted, lengthBytes) : undefined
}

function hasPaddedDek(decrypted: Uint8Array): boolean {
  return (
    decrypted.length === KUBE_DEK_BYTES + BLOCK_BYTES &&
    decrypted.subarray(KUBE_DEK_BYTES).every((byte) => byte === BLOCK_BYTES)
  )
}

function copyOf(decrypted: Uint8Array, at: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(KUBE_DEK_BYTES)
  copy.set(decrypted.subarray(at, at + KUBE_DEK_BYTES))
  return copy
}
