/** What is a way to wrap a DEK on a token, and what do all of them share? */
import {
  CKR_ARGUMENTS_BAD,
  CKR_DATA_INVALID,
  CKR_DATA_LEN_RANGE,
  CKR_FUNCTION_FAILED,
  CKR_GENERAL_ERROR,
  isKnownCkr,
} from '../../shared/ckr.js'
import type { MechanismName, UsageName } from '../../shared/mechanisms.js'
import type { KekIdentity } from '../../shared/messages.js'
import { HsmError } from '../cryptoki.js'
import type { Handle } from '../pkcs11js.js'
import type { Token } from '../token.js'

export const DEK_BYTES = 32

/** More room than an answer of the right length needs, so that a longer one is seen and not an error code. */
export const SPARE_BYTES = 64

/** Bound to the wrapped DEK where a mechanism can bind something. */
export const DEK_LABEL = Buffer.from('kmsplugin/v1 dek', 'ascii')

export interface Kek {
  /** The secret key, or the RSA private key. */
  readonly handle: Handle
  readonly identity: KekIdentity
  /** The key that belongs to it, once a strategy has looked for it: HMAC key, or RSA public key. */
  companion?: Handle
}

/** Where a strategy works. The session is used for one operation after the other and dropped after an error. */
export interface Bench {
  readonly token: Token
  readonly session: Handle
  readonly kek: Kek
}

/** One way to wrap. */
export interface Strategy {
  readonly mechanism: MechanismName
  /** The function that does it: some mechanisms have two ways to the same bytes. */
  readonly by: 'C_Encrypt' | 'C_WrapKey'
  readonly keyType: 'AES' | 'RSA'
  /** What the KEK must be allowed to do, and nothing else. */
  readonly usage: readonly UsageName[]
  /**
   * @param dek {@link DEK_BYTES} bytes; read only.
   * @returns A form of formats.ts, format byte first.
   * @throws {HsmError} where {@link isUnsupported} holds when the token or the key cannot do this at all.
   */
  wrap(bench: Bench, dek: Buffer): Buffer
}

/**
 * Unwraps what has the right length for its format.
 *
 * @param wrapped Outlives the call: the module may read views of it until the operation ends.
 * @returns {@link DEK_BYTES} bytes; the caller wipes them.
 * @throws {HsmError} `ERR_DECRYPTION_FAILED`; `ERR_UNWRAP_AMBIGUOUS` where the answer may mean bad bytes or a bad
 * device.
 */
export type Unwrap = (bench: Bench, wrapped: Buffer) => Buffer

/** Whether an error says that this token or key never does this, rather than that something failed. */
export function isUnsupported(error: unknown): boolean {
  if (!(error instanceof HsmError) || error.code === 'ERR_UNWRAP_AMBIGUOUS') return false
  return error.code === 'ERR_KEY_UNUSABLE' || error.rv === CKR_ARGUMENTS_BAD
}

/** The error for an answer that is not of the form which the format promises. */
export function unsupportedForm(text: string): HsmError {
  return new HsmError('ERR_KEY_UNUSABLE', text)
}

/**
 * What modules answer both to altered bytes and for a fault of their own: SoftHSM 2.6.1 the first one, openCryptoki
 * the second, NSS the third and the last.
 */
const ambiguous: readonly number[] = [
  CKR_GENERAL_ERROR,
  CKR_FUNCTION_FAILED,
  CKR_ARGUMENTS_BAD,
  CKR_DATA_INVALID,
  CKR_DATA_LEN_RANGE,
]

/** Runs the call that reads wrapped bytes, and tells a doubtful answer from a plain one. */
export function doubting<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof HsmError) || error.rv === undefined) throw error
    if (!ambiguous.includes(error.rv) && isKnownCkr(error.rv)) throw error
    throw new HsmError('ERR_UNWRAP_AMBIGUOUS', error.message, 'none', error.rv)
  }
}

/** `dek` itself when it is as long as a DEK. */
export function checkedDek(dek: Buffer, name: string): Buffer {
  if (dek.length === DEK_BYTES) return dek
  dek.fill(0)
  throw new HsmError('ERR_BACKEND_RESPONSE', `${name} gave ${dek.length} bytes, not ${DEK_BYTES}`)
}
