/**
 * How does the token wrap a DEK with AES-GCM? Format 0x01: format 1 ‖ IV 12 ‖ ciphertext 32 ‖ tag 16.
 *
 * C_Encrypt rather than C_WrapKey: the DEK never becomes an object on the token, the KEK needs no right to wrap
 * keys, and the AAD is bound.
 */
import { randomFillSync } from 'node:crypto'
import {
  CKR_DATA_INVALID,
  CKR_DATA_LEN_RANGE,
  CKR_FUNCTION_FAILED,
  CKR_GENERAL_ERROR,
  isKnownCkr,
} from '../ckr.js'
import { GCM96_BYTES, GCM96_FORMAT } from '../messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const IV_BYTES = 12
const TAG_BYTES = 16
const DEK_BYTES = 32
/** More room than an answer of the right length needs, so that a longer one is seen and not an error code. */
const SPARE_BYTES = 64
const AAD = Buffer.from('kmsplugin/v1 dek', 'ascii')

/** What C_Decrypt answers both to altered bytes and for a fault of its own; SoftHSM 2.6.1 sends the first one. */
const ambiguous: readonly number[] = [
  CKR_GENERAL_ERROR,
  CKR_FUNCTION_FAILED,
  CKR_DATA_INVALID,
  CKR_DATA_LEN_RANGE,
]

/** @returns {@link GCM96_BYTES} bytes. */
export function wrap(token: Token, session: Handle, kek: Handle, dek: Buffer): Buffer {
  const iv = randomFillSync(Buffer.allocUnsafeSlow(IV_BYTES))
  const sealed = token.encrypt(session, mechanism(token, iv), kek, dek, dek.length + SPARE_BYTES)
  if (sealed.length !== DEK_BYTES + TAG_BYTES) {
    throw new HsmError(
      'ERR_BACKEND_RESPONSE',
      `C_Encrypt with AES-GCM gave ${sealed.length} bytes, not the ciphertext and a tag of ${TAG_BYTES}`,
    )
  }
  // Read after the call: a module that makes its own IV writes it into this buffer.
  return Buffer.concat([Buffer.of(GCM96_FORMAT), iv, sealed])
}

/**
 * @param wrapped {@link GCM96_BYTES} bytes of this format.
 * @returns 32 bytes that the caller wipes.
 */
export function unwrap(token: Token, session: Handle, kek: Handle, wrapped: Buffer): Buffer {
  if (wrapped.length !== GCM96_BYTES || wrapped[0] !== GCM96_FORMAT) {
    throw new HsmError('ERR_DECRYPTION_FAILED', 'the wrapped DEK is not of format gcm96')
  }
  // Views of `wrapped`, which outlives the operation.
  const iv = wrapped.subarray(1, 1 + IV_BYTES)
  const sealed = wrapped.subarray(1 + IV_BYTES)
  token.startDecrypt(session, mechanism(token, iv), kek)
  const dek = decrypt(token, session, sealed)
  if (dek.length === DEK_BYTES) return dek
  dek.fill(0)
  throw new HsmError('ERR_BACKEND_RESPONSE', `C_Decrypt gave ${dek.length} bytes, not ${DEK_BYTES}`)
}

function decrypt(token: Token, session: Handle, sealed: Buffer): Buffer {
  try {
    return token.decrypt(session, sealed, sealed.length + SPARE_BYTES)
  } catch (error) {
    if (!(error instanceof HsmError) || error.rv === undefined) throw error
    if (!ambiguous.includes(error.rv) && isKnownCkr(error.rv)) throw error
    throw new HsmError('ERR_UNWRAP_AMBIGUOUS', error.message, 'none', error.rv)
  }
}

function mechanism(token: Token, iv: Buffer) {
  const { CKM_AES_GCM, CK_PARAMS_AES_GCM_v240 } = token.p11
  const tagBits = TAG_BYTES * 8
  return {
    mechanism: CKM_AES_GCM,
    parameter: { type: CK_PARAMS_AES_GCM_v240, iv, ivBits: IV_BYTES * 8, aad: AAD, tagBits },
  }
}
