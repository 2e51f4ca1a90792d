/**
 * How does a token wrap a DEK with RSA-OAEP? Encrypted with the public key on the token, whose modulus must be that
 * of the private key: anyone may put a public key on a token, and it would tell him every DEK.
 */
import { OAEP_SHA256_FORMAT } from '../../shared/formats.js'
import { HsmError } from '../cryptoki.js'
import type { Handle, Mechanism } from '../pkcs11js.js'
import { rsaBits, rsaCheckValue } from '../rsa.js'
import type { Token } from '../token.js'
import {
  checkedDek,
  doubting,
  isUnsupported,
  unsupportedForm,
  type Bench,
  type Kek,
  type Strategy,
  type Unwrap,
} from './strategy.js'

const CKZ_DATA_SPECIFIED = 1
/** Anyone may put more of them there. */
const MAX_PUBLIC_KEYS = 100

export const rsaOaepSha256: Strategy = {
  mechanism: 'rsa-oaep-sha256',
  by: 'C_Encrypt',
  keyType: 'RSA',
  usage: ['CKA_DECRYPT'],

  wrap(bench, dek) {
    const { token, session, kek } = bench
    const publicKey = publicKeyOf(bench)
    const bytes = modulusBytes(kek)
    // No room to spare: tpm2-pkcs11 says that it filled all that it was given.
    const sealed = token.encrypt(session, oaep(token, 'SHA-256'), publicKey, dek, bytes)
    if (sealed.length === bytes) return Buffer.concat([Buffer.of(OAEP_SHA256_FORMAT), sealed])
    throw unsupportedForm(`C_Encrypt with RSA-OAEP gave ${sealed.length} bytes, not ${bytes}`)
  },
}

export const unwrapOaepSha256 = unwrapOaep('SHA-256')
export const unwrapOaepSha1 = unwrapOaep('SHA-1')

function unwrapOaep(hash: 'SHA-256' | 'SHA-1'): Unwrap {
  return ({ token, session, kek }, wrapped) => {
    try {
      token.startDecrypt(session, oaep(token, hash), kek.handle)
    } catch (error) {
      // So SoftHSM says that it has no such hash.
      if (error instanceof HsmError && isUnsupported(error)) throw unsupportedForm(error.message)
      throw error
    }
    const sealed = wrapped.subarray(1)
    return checkedDek(
      doubting(() => token.decrypt(session, sealed, modulusBytes(kek))),
      'C_Decrypt',
    )
  }
}

function modulusBytes({ identity }: Kek): number {
  return Number(identity.keyType.slice('RSA-'.length)) / 8
}

/** @throws {HsmError} `ERR_KEY_UNUSABLE` when no public key with the CKA_ID of the KEK belongs to it. */
function publicKeyOf({ token, session, kek }: Bench): Handle {
  if (kek.companion !== undefined) return kek.companion
  const { p11 } = token
  const ckaId = Buffer.from(kek.identity.ckaId)
  const named = [
    { type: p11.CKA_CLASS, value: p11.CKO_PUBLIC_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_RSA },
    { type: p11.CKA_ID, value: ckaId },
  ]
  // Both: the check value alone does not tell where the modulus ends.
  const handle = token.find(session, named, MAX_PUBLIC_KEYS).find((each) => {
    if (rsaBits(token, session, each) !== 8 * modulusBytes(kek)) return false
    return rsaCheckValue(token, session, each)?.equals(kek.identity.checkValue) === true
  })
  if (handle === undefined) {
    throw unsupportedForm(
      `the token has no public key with CKA_ID ${ckaId.toString('hex')} that is the KEK's`,
    )
  }
  kek.companion = handle
  return handle
}

/** CKM_RSA_PKCS_OAEP with one hash for both uses and no label. */
export function oaep({ p11 }: Token, hash: 'SHA-256' | 'SHA-1'): Mechanism {
  const [hashAlg, mgf] =
    hash === 'SHA-256' ? [p11.CKM_SHA256, p11.CKG_MGF1_SHA256] : [p11.CKM_SHA_1, p11.CKG_MGF1_SHA1]
  return {
    mechanism: p11.CKM_RSA_PKCS_OAEP,
    parameter: { type: p11.CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: CKZ_DATA_SPECIFIED },
  }
}
