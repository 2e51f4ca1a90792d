/**
 * How does a token wrap a DEK with AES-GCM?
 *
 * C_Encrypt rather than C_WrapKey: the DEK never becomes an object on the token, the KEK needs no right to wrap
 * keys, and a label is bound.
 */
import { randomFillSync } from 'node:crypto'
import { GCM_FORMAT, GCM_TOKEN_IV_FORMAT } from '../../shared/formats.js'
import type { Mechanism } from '../pkcs11js.js'
import type { Token } from '../token.js'
import {
  checkedDek,
  DEK_BYTES,
  DEK_LABEL,
  doubting,
  SPARE_BYTES,
  unsupportedForm,
  type Bench,
  type Strategy,
} from './strategy.js'

const IV_BYTES = 12
const TAG_BYTES = 16
/** A Luna in FIPS mode ignores the IV that it gets and appends its own (Thales Luna SDK, AES-GCM). */
const TOKEN_IV_BYTES = 16
const SEALED_BYTES = DEK_BYTES + TAG_BYTES

export const aesGcm: Strategy = {
  mechanism: 'aes-gcm',
  by: 'C_Encrypt',
  keyType: 'AES',
  usage: ['CKA_ENCRYPT', 'CKA_DECRYPT'],

  wrap({ token, session, kek }, dek) {
    const iv = randomFillSync(Buffer.allocUnsafeSlow(IV_BYTES))
    const sealed = token.encrypt(session, gcm(token, iv), kek.handle, dek, SEALED_BYTES + SPARE_BYTES)
    // Read after the call: a module that makes its own 12-byte IV writes it into this buffer.
    if (sealed.length === SEALED_BYTES) return Buffer.concat([Buffer.of(GCM_FORMAT), iv, sealed])
    if (sealed.length === SEALED_BYTES + TOKEN_IV_BYTES) {
      return Buffer.concat([Buffer.of(GCM_TOKEN_IV_FORMAT), sealed])
    }
    throw unsupportedForm(
      `C_Encrypt with AES-GCM gave ${sealed.length} bytes, not the ciphertext and a tag of ${TAG_BYTES}`,
    )
  },
}

export function unwrapGcm(bench: Bench, wrapped: Buffer): Buffer {
  return open(bench, wrapped.subarray(1, 1 + IV_BYTES), wrapped.subarray(1 + IV_BYTES))
}

export function unwrapGcmTokenIv(bench: Bench, wrapped: Buffer): Buffer {
  return open(bench, wrapped.subarray(1 + SEALED_BYTES), wrapped.subarray(1, 1 + SEALED_BYTES))
}

function open({ token, session, kek }: Bench, iv: Buffer, sealed: Buffer): Buffer {
  token.startDecrypt(session, gcm(token, iv), kek.handle)
  return checkedDek(
    doubting(() => token.decrypt(session, sealed, sealed.length + SPARE_BYTES)),
    'C_Decrypt',
  )
}

function gcm({ p11 }: Token, iv: Buffer): Mechanism {
  return {
    mechanism: p11.CKM_AES_GCM,
    parameter: {
      type: p11.CK_PARAMS_AES_GCM_v240,
      iv,
      ivBits: iv.length * 8,
      aad: DEK_LABEL,
      tagBits: TAG_BYTES * 8,
    },
  }
}
