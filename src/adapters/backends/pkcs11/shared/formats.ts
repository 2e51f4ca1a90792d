/**
 * Which forms does a DEK have that a token wrapped? The first byte names the form, never the mechanism: the bytes
 * of one mechanism differ between modules, and one form can be made by several. Readable for ever.
 */

/** Under AES-GCM with an IV of ours: IV 12 ‖ ciphertext 32 ‖ tag 16 (NIST SP 800-38D). */
export const GCM_FORMAT = 0x01
/** Under AES-GCM with an IV that the token made: ciphertext 32 ‖ tag 16 ‖ IV 16, as a Luna in FIPS mode answers. */
export const GCM_TOKEN_IV_FORMAT = 0x02
/** AES-KW: 40 bytes (RFC 3394, NIST SP 800-38F). */
export const KW_FORMAT = 0x03
/** AES-KWP: 40 bytes (RFC 5649, NIST SP 800-38F). */
export const KWP_FORMAT = 0x04
/** AES-CBC without padding, then HMAC-SHA-256 over all before it: IV 16 ‖ ciphertext 32 ‖ tag 32. */
export const CBC_HMAC_FORMAT = 0x05
/** RSA-OAEP with SHA-256 and MGF1 of SHA-256, no label: as long as the modulus (RFC 8017). */
export const OAEP_SHA256_FORMAT = 0x06
/** The same with SHA-1: opened, never made. */
export const OAEP_SHA1_FORMAT = 0x07

export type WrapFormat = 1 | 2 | 3 | 4 | 5 | 6 | 7

/** Bytes of RSA-2048, RSA-3072 and RSA-4096. */
const RSA_BYTES: readonly number[] = [256, 384, 512]

/** What follows the format byte, in bytes. */
const lengths: Readonly<Partial<Record<number, readonly number[]>>> = {
  [GCM_FORMAT]: [60],
  [GCM_TOKEN_IV_FORMAT]: [64],
  [KW_FORMAT]: [40],
  [KWP_FORMAT]: [40],
  [CBC_HMAC_FORMAT]: [80],
  [OAEP_SHA256_FORMAT]: RSA_BYTES,
  [OAEP_SHA1_FORMAT]: RSA_BYTES,
}

/** Whether a private RSA key opens it rather than an AES key. */
export function isRsaFormat(format: WrapFormat): boolean {
  return format === OAEP_SHA256_FORMAT || format === OAEP_SHA1_FORMAT
}

/** The format of a wrapped DEK; `undefined` when it has the form of none. */
export function formatOf(wrapped: Uint8Array): WrapFormat | undefined {
  const [format = 0] = wrapped
  return lengths[format]?.includes(wrapped.length - 1) === true ? (format as WrapFormat) : undefined
}
