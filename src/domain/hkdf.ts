/**
 * HKDF-SHA-512 (RFC 5869), for keys that are derived once for each value.
 *
 * Made of the HMAC of node:crypto, whose own hkdfSync() gives the same bytes and takes a third longer.
 */
import { createHmac, type KeyObject } from 'node:crypto'

const HASH_BYTES = 64

/** The octet behind the info of each block (section 2.3). A256CBC-HS512, which needs the most, takes two blocks. */
const COUNTERS = [1, 2].map((count) => Buffer.of(count))

/** The longest output: two blocks. */
export const HKDF_MAX_BYTES = COUNTERS.length * HASH_BYTES

/**
 * @param bytes 1 to {@link HKDF_MAX_BYTES}.
 * @returns Bytes that the caller owns and wipes; all else that came of the secret is wiped already.
 */
export function hkdfSha512(secret: KeyObject, salt: Uint8Array, info: Uint8Array, bytes: number): Buffer {
  if (bytes < 1 || bytes > HKDF_MAX_BYTES)
    throw new RangeError(`HKDF gives 1 to ${HKDF_MAX_BYTES} bytes here`)
  const prk = extract(secret, salt)
  try {
    return expand(prk, info, bytes)
  } finally {
    prk.fill(0)
  }
}

function extract(secret: KeyObject, salt: Uint8Array): Buffer {
  const raw = secret.export()
  try {
    return createHmac('sha512', salt).update(raw).digest()
  } finally {
    raw.fill(0)
  }
}

function expand(prk: Uint8Array, info: Uint8Array, bytes: number): Buffer {
  const blocks: Buffer[] = []
  for (const counter of COUNTERS.slice(0, Math.ceil(bytes / HASH_BYTES))) {
    const hmac = createHmac('sha512', prk)
    const before = blocks.at(-1)
    if (before !== undefined) hmac.update(before)
    blocks.push(hmac.update(info).update(counter).digest())
  }
  const [first] = blocks
  if (first?.length === bytes) return first
  const output = Buffer.concat(blocks, bytes)
  for (const block of blocks) block.fill(0)
  return output
}
