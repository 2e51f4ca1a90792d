/**
 * How does the text that the service calls `ciphertext` fit into the bytes of a wrapped DEK, and back?
 *
 * One format byte, then what the text stands for. The text is IBM's own and opaque to us: base64, of a small JSON
 * document at the time of writing.
 */
import { KmsError } from '../../../ports/errors.js'
import { WRAPPED_DEK_MAX_BYTES } from '../../../ports/key_wrapper.js'

/** Canonical base64: the bytes behind it follow. */
const BASE64 = 0x01
/** Anything else of visible ASCII: the text itself follows. */
const TEXT = 0x02

const VISIBLE = /^[\x21-\x7e]+$/

/** Several times what the service has ever answered. */
const FOREIGN_MAX_CHARACTERS = 4096

/**
 * @returns At most 640 bytes.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE`: longer, or no visible ASCII.
 */
export function bytesOfCiphertext(text: string, service: string): Uint8Array {
  if (!VISIBLE.test(text)) {
    throw new KmsError(
      'ERR_BACKEND_RESPONSE',
      `${service} answered to wrap without a ciphertext of visible ASCII`,
    )
  }
  const raw = Buffer.from(text, 'base64')
  const bytes = isCanonical(text, raw)
    ? Buffer.concat([Buffer.of(BASE64), raw])
    : Buffer.concat([Buffer.of(TEXT), Buffer.from(text, 'ascii')])
  if (bytes.length > WRAPPED_DEK_MAX_BYTES) {
    const sizes = `${bytes.length} bytes, and an envelope takes ${WRAPPED_DEK_MAX_BYTES}`
    throw new KmsError(
      'ERR_BACKEND_RESPONSE',
      `${service} answered to wrap with a ciphertext that does not fit: ${sizes}`,
    )
  }
  return bytes
}

/** The text again, byte for byte; `undefined` for bytes that {@link bytesOfCiphertext} does not make. */
export function ciphertextOfBytes(bytes: Uint8Array): string | undefined {
  const rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(1)
  if (rest.length === 0 || bytes.length > WRAPPED_DEK_MAX_BYTES) return undefined
  if (bytes[0] === BASE64) return rest.toString('base64')
  if (bytes[0] !== TEXT) return undefined
  const text = rest.toString('latin1')
  return VISIBLE.test(text) && !isCanonical(text, Buffer.from(text, 'base64')) ? text : undefined
}

/** The text that another program kept as it was; `undefined` for bytes that the service cannot have answered. */
export function ciphertextOfForeign(bytes: Uint8Array): string | undefined {
  if (bytes.length > FOREIGN_MAX_CHARACTERS) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  return VISIBLE.test(text) ? text : undefined
}

function isCanonical(text: string, raw: Buffer): boolean {
  return raw.toString('base64') === text
}
