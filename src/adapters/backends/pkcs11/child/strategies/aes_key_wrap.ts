/**
 * How does a token wrap a DEK with AES-KW (RFC 3394) or AES-KWP (RFC 5649)?
 *
 * By C_Encrypt where the token and the key allow it. By C_WrapKey otherwise: the DEK then lives on the token for a
 * moment, as an object of the session that is destroyed at once.
 */
import { KW_FORMAT, KWP_FORMAT } from '../../shared/formats.js'
import type { Handle, Mechanism } from '../pkcs11js.js'
import type { Token } from '../token.js'
import {
  checkedDek,
  DEK_BYTES,
  doubting,
  isUnsupported,
  SPARE_BYTES,
  unsupportedForm,
  type Bench,
  type Strategy,
} from './strategy.js'

/**
 * Of each form the numbers that some module has for it, the standard's first: CKM_AES_KEY_WRAP and
 * CKM_AES_KEY_WRAP_KWP of PKCS#11 v3.0, CKM_AES_KW and CKM_AES_KWP of Thales Luna (its headers; not tried on one), and
 * CKM_AES_KEY_WRAP_PAD, which is KWP in some modules; in others its length gives it away.
 */
const numbers = { 'aes-kw': [0x2109, 0x80000170], 'aes-kwp': [0x210b, 0x80000171, 0x210a] } as const
const WRAPPED_BYTES = DEK_BYTES + 8

type Form = 'aes-kw' | 'aes-kwp'

const formatBytes = { 'aes-kw': KW_FORMAT, 'aes-kwp': KWP_FORMAT } as const

export const aesKwpByEncrypt = byEncrypt('aes-kwp')
export const aesKwpByWrap = byWrap('aes-kwp')
export const aesKwByEncrypt = byEncrypt('aes-kw')
export const aesKwByWrap = byWrap('aes-kw')

function byEncrypt(form: Form): Strategy {
  return {
    mechanism: form,
    by: 'C_Encrypt',
    keyType: 'AES',
    usage: ['CKA_ENCRYPT', 'CKA_DECRYPT'],
    wrap({ token, session, kek }, dek) {
      const mechanism = mechanismOf(token, form)
      return formatted(form, token.encrypt(session, mechanism, kek.handle, dek, DEK_BYTES + SPARE_BYTES))
    },
  }
}

function byWrap(form: Form): Strategy {
  return {
    mechanism: form,
    by: 'C_WrapKey',
    keyType: 'AES',
    usage: ['CKA_WRAP', 'CKA_UNWRAP'],
    wrap({ token, session, kek }, dek) {
      const mechanism = mechanismOf(token, form)
      const object = importDek(token, session, dek)
      try {
        return formatted(form, token.wrapKey(session, mechanism, kek.handle, object, DEK_BYTES + SPARE_BYTES))
      } finally {
        token.destroyObject(session, object)
      }
    },
  }
}

export function unwrapKw(bench: Bench, wrapped: Buffer): Buffer {
  return unwrap(bench, 'aes-kw', wrapped.subarray(1))
}

export function unwrapKwp(bench: Bench, wrapped: Buffer): Buffer {
  return unwrap(bench, 'aes-kwp', wrapped.subarray(1))
}

function unwrap({ token, session, kek }: Bench, form: Form, wrapped: Buffer): Buffer {
  const mechanism = mechanismOf(token, form)
  const { CKA_DECRYPT, CKA_UNWRAP, CKF_DECRYPT } = token.p11
  const canDecrypt =
    (token.mechanismFlags(mechanism.mechanism) & CKF_DECRYPT) !== 0 &&
    token.flag(session, kek.handle, CKA_DECRYPT) === true
  if (canDecrypt) {
    try {
      token.startDecrypt(session, mechanism, kek.handle)
      return checkedDek(
        doubting(() => token.decrypt(session, wrapped, DEK_BYTES + SPARE_BYTES)),
        'C_Decrypt',
      )
    } catch (error) {
      // The flags promised too much.
      if (!isUnsupported(error) || token.flag(session, kek.handle, CKA_UNWRAP) !== true) throw error
    }
  }
  const object = doubting(() => token.unwrapKey(session, mechanism, kek.handle, wrapped, readable(token)))
  try {
    const value = token.attribute(session, object, token.p11.CKA_VALUE)
    if (value === undefined) throw unsupportedForm('the token does not give away what C_UnwrapKey unwrapped')
    return checkedDek(value, 'C_UnwrapKey')
  } finally {
    token.destroyObject(session, object)
  }
}

/** The number under which this token has it; the standard's where it has none. */
export function mechanismOf(token: Token, form: Form): Mechanism {
  const [standard] = numbers[form]
  return { mechanism: numbers[form].find((number) => token.mechanismFlags(number) !== 0) ?? standard }
}

function formatted(form: Form, wrapped: Buffer): Buffer {
  if (wrapped.length === WRAPPED_BYTES) return Buffer.concat([Buffer.of(formatBytes[form]), wrapped])
  throw unsupportedForm(`${form} gave ${wrapped.length} bytes, not ${WRAPPED_BYTES} as its RFC says`)
}

function importDek(token: Token, session: Handle, dek: Buffer): Handle {
  const { p11 } = token
  return token.createObject(session, [
    { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_GENERIC_SECRET },
    { type: p11.CKA_TOKEN, value: false },
    { type: p11.CKA_PRIVATE, value: true },
    { type: p11.CKA_SENSITIVE, value: true },
    { type: p11.CKA_EXTRACTABLE, value: true },
    { type: p11.CKA_VALUE, value: dek },
  ])
}

function readable({ p11 }: Token) {
  return [
    { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_GENERIC_SECRET },
    { type: p11.CKA_TOKEN, value: false },
    { type: p11.CKA_PRIVATE, value: true },
    { type: p11.CKA_SENSITIVE, value: false },
    { type: p11.CKA_EXTRACTABLE, value: true },
  ]
}
