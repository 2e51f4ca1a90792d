/**
 * How does a token wrap a DEK where it has neither AES-GCM nor a key wrap? AES-CBC, then HMAC-SHA-256 over all of
 * it by a second key of the token, checked before anything is decrypted.
 *
 * What belongs together is found together: the CKA_ID of the HMAC key is that of the KEK and "hmac" after it. The
 * same CKA_ID would not do: NSS keeps one secret key of each.
 */
import { createHash, randomFillSync, timingSafeEqual } from 'node:crypto'
import { CBC_HMAC_FORMAT } from '../../shared/formats.js'
import { MAC_CHECK_VALUE_BYTES } from '../../shared/messages.js'
import { HsmError } from '../cryptoki.js'
import type { Handle, Mechanism } from '../pkcs11js.js'
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

const MAC_ID_SUFFIX = Buffer.from('hmac', 'ascii')
/** No wrapped DEK begins so. */
const CHECK_LABEL = Buffer.from('kmsplugin/v1 check', 'ascii')
const IV_BYTES = 16
const MAC_BYTES = 32

export const aesCbcHmac: Strategy = {
  mechanism: 'aes-cbc-hmac',
  by: 'C_Encrypt',
  keyType: 'AES',
  usage: ['CKA_ENCRYPT', 'CKA_DECRYPT'],

  wrap(bench, dek) {
    const { token, session, kek } = bench
    // Found first: without it there is nothing to encrypt for.
    macKeyOf(bench)
    const iv = randomFillSync(Buffer.allocUnsafeSlow(IV_BYTES))
    // Two whole blocks, so that no padding can be asked about.
    const sealed = token.encrypt(session, cbc(token, iv), kek.handle, dek, DEK_BYTES + SPARE_BYTES)
    if (sealed.length !== DEK_BYTES) {
      throw unsupportedForm(`C_Encrypt with AES-CBC gave ${sealed.length} bytes, not ${DEK_BYTES}`)
    }
    const body = Buffer.concat([Buffer.of(CBC_HMAC_FORMAT), iv, sealed])
    return Buffer.concat([body, macOf(bench, body)])
  },
}

export function unwrapCbcHmac(bench: Bench, wrapped: Buffer): Buffer {
  const { token, session, kek } = bench
  const body = wrapped.subarray(0, wrapped.length - MAC_BYTES)
  if (!timingSafeEqual(macOf(bench, body), wrapped.subarray(body.length))) {
    // The device may have made a wrong one now, or the HMAC key may be another than that which was used.
    const text = 'the HMAC is not the one of these bytes: they are damaged, or the HMAC key was replaced'
    throw new HsmError('ERR_UNWRAP_AMBIGUOUS', text)
  }
  token.startDecrypt(session, cbc(token, body.subarray(1, 1 + IV_BYTES)), kek.handle)
  return checkedDek(
    doubting(() => token.decrypt(session, body.subarray(1 + IV_BYTES), DEK_BYTES + SPARE_BYTES)),
    'C_Decrypt',
  )
}

/**
 * The one HMAC key of the KEK.
 *
 * @throws {HsmError} `ERR_KEY_UNUSABLE` when there is none or there are several.
 */
export function macKeyOf({ token, session, kek }: Bench): Handle {
  if (kek.companion !== undefined) return kek.companion
  const { p11 } = token
  const ckaId = macIdOf(kek.identity.ckaId)
  const found = [p11.CKK_GENERIC_SECRET, p11.CKK_SHA256_HMAC].flatMap((keyType) =>
    token.find(session, [
      { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
      { type: p11.CKA_KEY_TYPE, value: keyType },
      { type: p11.CKA_ID, value: ckaId },
    ]),
  )
  const [handle, second] = found
  if (handle === undefined || second !== undefined) {
    const many = handle === undefined ? 'no HMAC key has' : 'several HMAC keys have'
    throw unsupportedForm(`${many} the CKA_ID ${ckaId.toString('hex')}, which is that of the KEK and "hmac"`)
  }
  kek.companion = handle
  return handle
}

/** CKA_ID of the HMAC key of a KEK. */
export function macIdOf(ckaId: Uint8Array): Buffer {
  return Buffer.concat([ckaId, MAC_ID_SUFFIX])
}

/** What tells one HMAC key from another; {@link MAC_CHECK_VALUE_BYTES} bytes. */
export function macCheckValueOf(bench: Bench): Uint8Array {
  const digest = createHash('sha256').update(hmac(bench, CHECK_LABEL)).digest()
  return Uint8Array.from(digest.subarray(0, MAC_CHECK_VALUE_BYTES))
}

function macOf(bench: Bench, body: Buffer): Buffer {
  return hmac(bench, Buffer.concat([DEK_LABEL, body]))
}

function hmac(bench: Bench, input: Buffer): Buffer {
  const { token, session } = bench
  const mechanism = { mechanism: token.p11.CKM_SHA256_HMAC }
  const mac = token.sign(session, mechanism, macKeyOf(bench), input, MAC_BYTES + SPARE_BYTES)
  if (mac.length === MAC_BYTES) return mac
  throw unsupportedForm(`C_Sign with HMAC-SHA-256 gave ${mac.length} bytes, not ${MAC_BYTES}`)
}

function cbc({ p11 }: Token, iv: Buffer): Mechanism {
  return { mechanism: p11.CKM_AES_CBC, parameter: iv }
}
