/** How is a KEK made on a token? */
import { randomFillSync } from 'node:crypto'
import { call, HsmError } from './cryptoki.js'
import { findKek, type Kek } from './kek.js'
import type { Token } from './token.js'

const CKA_ID_BYTES = 16
const KEK_BYTES = 32

/**
 * Makes an AES-256 key that never leaves the token and can do nothing but encrypt and decrypt: a key that may also
 * unwrap or wrap lets a caller turn a wrapped key into plaintext. Every attribute is stated; defaults differ.
 *
 * @throws {HsmError} `ERR_CONFIG_INVALID` when any object has the label already.
 */
export function makeKek(token: Token, label: string): Kek {
  const { p11, module } = token
  return token.inSession('write', (session) => {
    if (token.find(session, [{ type: p11.CKA_LABEL, value: label }]).length > 0) {
      throw new HsmError(
        'ERR_CONFIG_INVALID',
        `token "${token.label}" has an object "${label}" already; choose another keyLabel`,
      )
    }
    const flag = (type: number, value: boolean) => ({ type, value })
    call('C_GenerateKey', () =>
      module.C_GenerateKey(session, { mechanism: p11.CKM_AES_KEY_GEN }, [
        { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
        { type: p11.CKA_KEY_TYPE, value: p11.CKK_AES },
        { type: p11.CKA_VALUE_LEN, value: KEK_BYTES },
        { type: p11.CKA_LABEL, value: label },
        { type: p11.CKA_ID, value: randomFillSync(Buffer.allocUnsafeSlow(CKA_ID_BYTES)) },
        flag(p11.CKA_TOKEN, true),
        flag(p11.CKA_PRIVATE, true),
        // CKA_ID is part of the key's identity.
        flag(p11.CKA_MODIFIABLE, false),
        flag(p11.CKA_SENSITIVE, true),
        flag(p11.CKA_EXTRACTABLE, false),
        flag(p11.CKA_ENCRYPT, true),
        flag(p11.CKA_DECRYPT, true),
        flag(p11.CKA_WRAP, false),
        flag(p11.CKA_UNWRAP, false),
        flag(p11.CKA_SIGN, false),
        flag(p11.CKA_VERIFY, false),
        flag(p11.CKA_DERIVE, false),
      ]),
    )
    return findKek(token, session, label)
  })
}
