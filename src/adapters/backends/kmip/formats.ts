/**
 * Which forms does a DEK have that a KMIP server wrapped? The first byte names the form. Readable for ever, whatever
 * way is chosen for new ones.
 */
import { DEK_BYTES } from '../../../ports/key_wrapper.js'

/** AES-GCM with associated data, the tag as a field of its own: IV 12 ‖ ciphertext 32 ‖ tag 16. KMIP 1.4 and newer. */
export const GCM_FORMAT = 0x01
/** AES-GCM without associated data, the tag behind the ciphertext: IV 12 ‖ ciphertext 32 ‖ tag 16. KMIP 1.2 and 1.3. */
export const GCM_APPENDED_FORMAT = 0x02
/** AES-KW: 40 bytes (RFC 3394). */
export const KW_FORMAT = 0x03
/** AES-KWP: 40 bytes (RFC 5649). */
export const KWP_FORMAT = 0x04

export const IV_BYTES = 12
export const TAG_BYTES = 16
/** AES key wrap adds one block of 8 bytes. */
export const KEY_WRAP_BYTES = DEK_BYTES + 8

const GCM_BYTES = IV_BYTES + DEK_BYTES + TAG_BYTES

/** What follows the format byte, in bytes. */
const lengths = {
  [GCM_FORMAT]: GCM_BYTES,
  [GCM_APPENDED_FORMAT]: GCM_BYTES,
  [KW_FORMAT]: KEY_WRAP_BYTES,
  [KWP_FORMAT]: KEY_WRAP_BYTES,
} as const

export type WrapFormat = keyof typeof lengths

/** The format of a wrapped DEK; `undefined` when it has the form of none. */
export function formatOf(wrapped: Uint8Array): WrapFormat | undefined {
  const format = (wrapped[0] ?? 0) as WrapFormat
  return Object.hasOwn(lengths, format) && lengths[format] === wrapped.length - 1 ? format : undefined
}
