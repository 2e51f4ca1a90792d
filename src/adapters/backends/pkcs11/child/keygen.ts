/** How is a KEK made on a token? Every attribute is stated; defaults differ. */
import { randomFillSync } from 'node:crypto'
import { usageNames, type MechanismName, type UsageName } from '../shared/mechanisms.js'
import type { KeyKind, KeyQuery } from '../shared/messages.js'
import { keyName } from '../shared/token_name.js'
import { call, HsmError } from './cryptoki.js'
import { findKek } from './kek.js'
import type { Handle, Template } from './pkcs11js.js'
import { macIdOf } from './strategies/aes_cbc_hmac.js'
import { mechanismOf } from './strategies/aes_key_wrap.js'
import type { Kek } from './strategies/strategy.js'
import type { Token } from './token.js'

const CKA_ID_BYTES = 16
const KEY_BYTES = 32
const RSA_BITS = 3072

/**
 * Makes a KEK for this mechanism that never leaves the token and can do nothing else: a key that may wrap and decrypt
 * lets a caller turn a wrapped key into plaintext. Under a random CKA_ID, unless the query has one.
 *
 * @throws {HsmError} `ERR_CONFIG_INVALID` when the query has no label, or an object with its label or CKA_ID exists.
 */
export function makeKek(token: Token, query: KeyQuery, wanted: MechanismName | 'auto'): Kek {
  const { label, kind } = query
  if (label === undefined) throw new HsmError('ERR_CONFIG_INVALID', 'a new key needs a keyLabel; set it')
  const ckaId = Buffer.from(query.ckaId ?? randomFillSync(Buffer.allocUnsafeSlow(CKA_ID_BYTES)))
  return token.inSession('write', (session) => {
    refuseExisting(token, session, query)
    const mechanism = wanted === 'auto' ? bestOf(token, kind) : wanted
    if (kind !== undefined && (kind === 'RSA') !== (mechanism === 'rsa-oaep-sha256')) {
      const text = `a key for ${mechanism} is none of the type that the uri names; leave out type or set another mechanism`
      throw new HsmError('ERR_CONFIG_INVALID', text)
    }
    const named = (id: Buffer): Template => [
      { type: token.p11.CKA_LABEL, value: label },
      { type: token.p11.CKA_ID, value: id },
      { type: token.p11.CKA_TOKEN, value: true },
      // CKA_ID is part of the key's identity.
      { type: token.p11.CKA_MODIFIABLE, value: false },
    ]
    if (mechanism === 'rsa-oaep-sha256') makeRsa(token, session, named(ckaId))
    else {
      makeAes(token, session, named(ckaId), wraps(token, mechanism) ? 'wrap' : 'encrypt')
      if (mechanism === 'aes-cbc-hmac') makeHmac(token, session, named(macIdOf(ckaId)))
    }
    return findKek(token, session, query)
  })
}

function refuseExisting(token: Token, session: Handle, { label, ckaId }: KeyQuery): void {
  const { p11 } = token
  const names: readonly (readonly [KeyQuery, Template])[] = [
    [{ label: label ?? '' }, [{ type: p11.CKA_LABEL, value: label ?? '' }]],
    ...(ckaId === undefined ? [] : [[{ ckaId }, [{ type: p11.CKA_ID, value: Buffer.from(ckaId) }]] as const]),
  ]
  for (const [query, template] of names) {
    if (token.find(session, template).length === 0) continue
    const text = `${token.name} has an object ${keyName(query)} already; choose another`
    throw new HsmError('ERR_CONFIG_INVALID', text)
  }
}

/** By what the token says of itself: the order is that of `auto`. */
function bestOf(token: Token, kind: KeyKind | undefined): MechanismName {
  const { p11 } = token
  if (kind === 'RSA') return 'rsa-oaep-sha256'
  if (token.mechanismFlags(p11.CKM_AES_GCM) !== 0) return 'aes-gcm'
  if (token.mechanismFlags(mechanismOf(token, 'aes-kwp').mechanism) !== 0) return 'aes-kwp'
  if (token.mechanismFlags(mechanismOf(token, 'aes-kw').mechanism) !== 0) return 'aes-kw'
  if (token.mechanismFlags(p11.CKM_AES_CBC) !== 0) return 'aes-cbc-hmac'
  return 'rsa-oaep-sha256'
}

/** Whether this mechanism works by C_WrapKey only. */
function wraps(token: Token, mechanism: MechanismName): boolean {
  if (mechanism !== 'aes-kw' && mechanism !== 'aes-kwp') return false
  return (token.mechanismFlags(mechanismOf(token, mechanism).mechanism) & token.p11.CKF_ENCRYPT) === 0
}

function makeAes(token: Token, session: Handle, name: Template, use: 'encrypt' | 'wrap'): void {
  const { p11 } = token
  generate(token, session, p11.CKM_AES_KEY_GEN, [
    ...secret(token, p11.CKK_AES, name),
    ...usage(token, use === 'wrap' ? ['CKA_WRAP', 'CKA_UNWRAP'] : ['CKA_ENCRYPT', 'CKA_DECRYPT']),
  ])
}

function makeHmac(token: Token, session: Handle, name: Template): void {
  const { p11 } = token
  const template = [
    ...secret(token, p11.CKK_GENERIC_SECRET, name),
    ...usage(token, ['CKA_SIGN', 'CKA_VERIFY']),
  ]
  generate(token, session, p11.CKM_GENERIC_SECRET_KEY_GEN, template)
}

function makeRsa(token: Token, session: Handle, name: Template): void {
  const { p11, module } = token
  const flag = (type: number, value: boolean) => ({ type, value })
  const publicKey: Template = [
    ...name,
    { type: p11.CKA_CLASS, value: p11.CKO_PUBLIC_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_RSA },
    { type: p11.CKA_MODULUS_BITS, value: RSA_BITS },
    { type: p11.CKA_PUBLIC_EXPONENT, value: Buffer.of(1, 0, 1) },
    flag(p11.CKA_PRIVATE, false),
    flag(p11.CKA_ENCRYPT, true),
    flag(p11.CKA_VERIFY, false),
    flag(p11.CKA_WRAP, false),
  ]
  const privateKey: Template = [
    ...name,
    { type: p11.CKA_CLASS, value: p11.CKO_PRIVATE_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_RSA },
    flag(p11.CKA_PRIVATE, true),
    flag(p11.CKA_SENSITIVE, true),
    flag(p11.CKA_EXTRACTABLE, false),
    flag(p11.CKA_DECRYPT, true),
    flag(p11.CKA_UNWRAP, false),
    flag(p11.CKA_SIGN, false),
    flag(p11.CKA_DERIVE, false),
  ]
  call('C_GenerateKeyPair', () =>
    module.C_GenerateKeyPair(session, { mechanism: p11.CKM_RSA_PKCS_KEY_PAIR_GEN }, publicKey, privateKey),
  )
}

function secret({ p11 }: Token, keyType: number, name: Template): Template {
  return [
    ...name,
    { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
    { type: p11.CKA_KEY_TYPE, value: keyType },
    { type: p11.CKA_VALUE_LEN, value: KEY_BYTES },
    { type: p11.CKA_PRIVATE, value: true },
    { type: p11.CKA_SENSITIVE, value: true },
    { type: p11.CKA_EXTRACTABLE, value: false },
  ]
}

function usage({ p11 }: Token, wanted: readonly UsageName[]): Template {
  return usageNames.map((name) => ({ type: p11[name], value: wanted.includes(name) }))
}

function generate({ module }: Token, session: Handle, mechanism: number, template: Template): void {
  call('C_GenerateKey', () => module.C_GenerateKey(session, { mechanism }, template))
}
