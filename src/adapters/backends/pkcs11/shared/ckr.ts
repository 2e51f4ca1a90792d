/**
 * What does a return value of PKCS#11 mean to us?
 *
 * Rule: classified by number only; pkcs11js names codes that it does not know CKR_VENDOR_DEFINED. The numbers are
 * those of PKCS#11 v3.1, pkcs11t.h.
 */
import type { KmsErrorCode } from '../../../../ports/errors.js'

/**
 * What may help: `reopen` a new session in which the key is found again, `login` first, `replace` the whole
 * process, since only C_Initialize in a new one brings the device back, or `none`.
 */
export type Recovery = 'none' | 'reopen' | 'login' | 'replace'

export interface CkrRow {
  readonly name: string
  readonly code: KmsErrorCode
  readonly recovery: Recovery
}

export const CKR_GENERAL_ERROR = 0x05
export const CKR_FUNCTION_FAILED = 0x06
export const CKR_ARGUMENTS_BAD = 0x07
export const CKR_DATA_INVALID = 0x20
export const CKR_DATA_LEN_RANGE = 0x21
export const CKR_PIN_INCORRECT = 0xa0
export const CKR_PIN_INVALID = 0xa1
export const CKR_PIN_LEN_RANGE = 0xa2
export const CKR_USER_ALREADY_LOGGED_IN = 0x100
export const CKR_USER_PIN_NOT_INITIALIZED = 0x102
export const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

/** The row of a return value; one that we do not know says that only a new process may serve. */
export function ckrRow(rv: number): CkrRow {
  return (
    table[rv] ?? { name: `CKR_0x${rv.toString(16)}`, code: 'ERR_BACKEND_UNAVAILABLE', recovery: 'replace' }
  )
}

/** Whether the table has a row for a return value. */
export function isKnownCkr(rv: number): boolean {
  return table[rv] !== undefined
}

const out = 'ERR_BACKEND_UNAVAILABLE'
const unusable = 'ERR_KEY_UNUSABLE'

const table: Readonly<Record<number, CkrRow>> = {
  0x01: { name: 'CKR_CANCEL', code: out, recovery: 'none' },
  0x02: { name: 'CKR_HOST_MEMORY', code: out, recovery: 'none' },
  0x03: { name: 'CKR_SLOT_ID_INVALID', code: out, recovery: 'replace' },
  [CKR_GENERAL_ERROR]: { name: 'CKR_GENERAL_ERROR', code: out, recovery: 'replace' },
  [CKR_FUNCTION_FAILED]: { name: 'CKR_FUNCTION_FAILED', code: out, recovery: 'replace' },
  [CKR_ARGUMENTS_BAD]: { name: 'CKR_ARGUMENTS_BAD', code: 'ERR_BACKEND_RESPONSE', recovery: 'none' },
  0x0a: { name: 'CKR_CANT_LOCK', code: 'ERR_CONFIG_INVALID', recovery: 'none' },
  0x10: { name: 'CKR_ATTRIBUTE_READ_ONLY', code: unusable, recovery: 'none' },
  0x11: { name: 'CKR_ATTRIBUTE_SENSITIVE', code: unusable, recovery: 'none' },
  0x12: { name: 'CKR_ATTRIBUTE_TYPE_INVALID', code: unusable, recovery: 'none' },
  0x13: { name: 'CKR_ATTRIBUTE_VALUE_INVALID', code: unusable, recovery: 'none' },
  0x1b: { name: 'CKR_ACTION_PROHIBITED', code: 'ERR_ACCESS_DENIED', recovery: 'none' },
  [CKR_DATA_INVALID]: { name: 'CKR_DATA_INVALID', code: 'ERR_BACKEND_RESPONSE', recovery: 'none' },
  [CKR_DATA_LEN_RANGE]: { name: 'CKR_DATA_LEN_RANGE', code: 'ERR_BACKEND_RESPONSE', recovery: 'none' },
  0x30: { name: 'CKR_DEVICE_ERROR', code: out, recovery: 'replace' },
  0x31: { name: 'CKR_DEVICE_MEMORY', code: out, recovery: 'none' },
  0x32: { name: 'CKR_DEVICE_REMOVED', code: out, recovery: 'replace' },
  0x40: { name: 'CKR_ENCRYPTED_DATA_INVALID', code: 'ERR_DECRYPTION_FAILED', recovery: 'none' },
  0x41: { name: 'CKR_ENCRYPTED_DATA_LEN_RANGE', code: 'ERR_DECRYPTION_FAILED', recovery: 'none' },
  0x42: { name: 'CKR_AEAD_DECRYPT_FAILED', code: 'ERR_DECRYPTION_FAILED', recovery: 'none' },
  0x50: { name: 'CKR_FUNCTION_CANCELED', code: out, recovery: 'none' },
  0x54: { name: 'CKR_FUNCTION_NOT_SUPPORTED', code: unusable, recovery: 'none' },
  // Not ERR_KEY_NOT_FOUND: only a search tells that a key is gone.
  0x60: { name: 'CKR_KEY_HANDLE_INVALID', code: out, recovery: 'reopen' },
  0x62: { name: 'CKR_KEY_SIZE_RANGE', code: unusable, recovery: 'none' },
  0x63: { name: 'CKR_KEY_TYPE_INCONSISTENT', code: unusable, recovery: 'none' },
  0x68: { name: 'CKR_KEY_FUNCTION_NOT_PERMITTED', code: unusable, recovery: 'none' },
  0x69: { name: 'CKR_KEY_NOT_WRAPPABLE', code: unusable, recovery: 'none' },
  0x6a: { name: 'CKR_KEY_UNEXTRACTABLE', code: unusable, recovery: 'none' },
  0x70: { name: 'CKR_MECHANISM_INVALID', code: unusable, recovery: 'none' },
  0x71: { name: 'CKR_MECHANISM_PARAM_INVALID', code: unusable, recovery: 'none' },
  0x82: { name: 'CKR_OBJECT_HANDLE_INVALID', code: out, recovery: 'reopen' },
  0x90: { name: 'CKR_OPERATION_ACTIVE', code: out, recovery: 'reopen' },
  0x91: { name: 'CKR_OPERATION_NOT_INITIALIZED', code: out, recovery: 'reopen' },
  [CKR_PIN_INCORRECT]: { name: 'CKR_PIN_INCORRECT', code: 'ERR_LOGIN_REFUSED', recovery: 'none' },
  [CKR_PIN_INVALID]: { name: 'CKR_PIN_INVALID', code: 'ERR_LOGIN_REFUSED', recovery: 'none' },
  [CKR_PIN_LEN_RANGE]: { name: 'CKR_PIN_LEN_RANGE', code: 'ERR_LOGIN_REFUSED', recovery: 'none' },
  0xa3: { name: 'CKR_PIN_EXPIRED', code: 'ERR_LOGIN_REFUSED', recovery: 'none' },
  0xa4: { name: 'CKR_PIN_LOCKED', code: 'ERR_LOGIN_REFUSED', recovery: 'none' },
  0xb0: { name: 'CKR_SESSION_CLOSED', code: out, recovery: 'reopen' },
  0xb1: { name: 'CKR_SESSION_COUNT', code: out, recovery: 'none' },
  0xb3: { name: 'CKR_SESSION_HANDLE_INVALID', code: out, recovery: 'reopen' },
  0xb5: { name: 'CKR_SESSION_READ_ONLY', code: 'ERR_ACCESS_DENIED', recovery: 'none' },
  0xd0: { name: 'CKR_TEMPLATE_INCOMPLETE', code: unusable, recovery: 'none' },
  0xd1: { name: 'CKR_TEMPLATE_INCONSISTENT', code: unusable, recovery: 'none' },
  0xe0: { name: 'CKR_TOKEN_NOT_PRESENT', code: out, recovery: 'replace' },
  0xe1: { name: 'CKR_TOKEN_NOT_RECOGNIZED', code: out, recovery: 'replace' },
  0xe2: { name: 'CKR_TOKEN_WRITE_PROTECTED', code: 'ERR_ACCESS_DENIED', recovery: 'none' },
  [CKR_USER_ALREADY_LOGGED_IN]: { name: 'CKR_USER_ALREADY_LOGGED_IN', code: out, recovery: 'none' },
  0x101: { name: 'CKR_USER_NOT_LOGGED_IN', code: out, recovery: 'login' },
  [CKR_USER_PIN_NOT_INITIALIZED]: {
    name: 'CKR_USER_PIN_NOT_INITIALIZED',
    code: 'ERR_LOGIN_REFUSED',
    recovery: 'none',
  },
  0x110: { name: 'CKR_WRAPPED_KEY_INVALID', code: 'ERR_DECRYPTION_FAILED', recovery: 'none' },
  0x112: { name: 'CKR_WRAPPED_KEY_LEN_RANGE', code: 'ERR_DECRYPTION_FAILED', recovery: 'none' },
  0x113: { name: 'CKR_WRAPPING_KEY_HANDLE_INVALID', code: out, recovery: 'reopen' },
  0x114: { name: 'CKR_WRAPPING_KEY_SIZE_RANGE', code: unusable, recovery: 'none' },
  0x115: { name: 'CKR_WRAPPING_KEY_TYPE_INCONSISTENT', code: unusable, recovery: 'none' },
  0xf0: { name: 'CKR_UNWRAPPING_KEY_HANDLE_INVALID', code: out, recovery: 'reopen' },
  0xf1: { name: 'CKR_UNWRAPPING_KEY_SIZE_RANGE', code: unusable, recovery: 'none' },
  0xf2: { name: 'CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT', code: unusable, recovery: 'none' },
  0x150: { name: 'CKR_BUFFER_TOO_SMALL', code: 'ERR_BACKEND_RESPONSE', recovery: 'none' },
  0x190: { name: 'CKR_CRYPTOKI_NOT_INITIALIZED', code: out, recovery: 'replace' },
  [CKR_CRYPTOKI_ALREADY_INITIALIZED]: {
    name: 'CKR_CRYPTOKI_ALREADY_INITIALIZED',
    code: out,
    recovery: 'none',
  },
  0x200: { name: 'CKR_FUNCTION_REJECTED', code: 'ERR_ACCESS_DENIED', recovery: 'none' },
  0x203: { name: 'CKR_TOKEN_RESOURCE_EXCEEDED', code: out, recovery: 'none' },
}
