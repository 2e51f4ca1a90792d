/** What each way to wrap stores, against node:crypto, on SoftHSM loaded into this very process. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HsmError, importPkcs11js, loadModule } from '../../../src/adapters/backends/pkcs11/child/cryptoki.js'
import type { Template } from '../../../src/adapters/backends/pkcs11/child/pkcs11js.js'
import { findSlot, initialise } from '../../../src/adapters/backends/pkcs11/child/slots.js'
import {
  aesCbcHmac,
  macCheckValueOf,
} from '../../../src/adapters/backends/pkcs11/child/strategies/aes_cbc_hmac.js'
import { aesGcm } from '../../../src/adapters/backends/pkcs11/child/strategies/aes_gcm.js'
import {
  aesKwByEncrypt,
  aesKwByWrap,
  aesKwpByWrap,
} from '../../../src/adapters/backends/pkcs11/child/strategies/aes_key_wrap.js'
import {
  chooseStrategy,
  selfTest,
  unwrapDek,
} from '../../../src/adapters/backends/pkcs11/child/strategies/index.js'
import { rsaOaepSha256 } from '../../../src/adapters/backends/pkcs11/child/strategies/rsa_oaep.js'
import type { Bench, Kek } from '../../../src/adapters/backends/pkcs11/child/strategies/strategy.js'
import { Token } from '../../../src/adapters/backends/pkcs11/child/token.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'

function outcome(work: () => unknown): string {
  try {
    work()
    return 'OK'
  } catch (error) {
    if (error instanceof HsmError) return error.code
    throw error
  }
}

const LABEL = Buffer.from('kmsplugin/v1 dek')
const BAD = /^ERR_(UNWRAP_AMBIGUOUS|DECRYPTION_FAILED)$/

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a way to wrap'), () => {
  const dek = randomBytes(32)
  const raw = randomBytes(32)
  const macRaw = randomBytes(32)
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  let hsm: SoftHsm
  let token: Token
  let bench: Bench

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    Object.assign(process.env, hsm.env)
    const p11 = await importPkcs11js()
    const module = loadModule(p11, hsm.module)
    initialise(p11, module, undefined)
    token = new Token(p11, module, findSlot(p11, module, { label: hsm.tokenLabel }), 'token')
    const anchor = token.openSession('write')
    module.C_Login(anchor, p11.CKU_USER, hsm.pin)
    const secret = (keyType: number, value: Buffer, ...usage: number[]): Template => [
      { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
      { type: p11.CKA_KEY_TYPE, value: keyType },
      { type: p11.CKA_VALUE, value },
      { type: p11.CKA_TOKEN, value: true },
      { type: p11.CKA_ID, value: Buffer.of(7) },
      ...usage.map((type) => ({ type, value: true })),
    ]
    const { CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN } = p11
    const aes = secret(p11.CKK_AES, raw, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP)
    const handle = token.createObject(anchor, aes)
    const mac = secret(p11.CKK_GENERIC_SECRET, macRaw, CKA_SIGN)
    const named = mac.map((each) =>
      each.type === p11.CKA_ID ? { ...each, value: Buffer.from('\x07hmac') } : each,
    )
    token.createObject(anchor, named)
    kek = { handle, identity: { keyType: 'AES-256', ckaId: Buffer.of(7), checkValue: Buffer.alloc(3) } }
    rsaKek = {
      handle: importRsa(anchor),
      identity: { keyType: 'RSA-2048', ckaId: Buffer.of(8), checkValue: Buffer.alloc(32) },
    }
  })

  let kek: Kek
  let rsaKek: Kek

  function importRsa(session: Buffer) {
    const { p11 } = token
    const jwk = createPrivateKey(rsa.privateKey.export({ type: 'pkcs8', format: 'pem' })).export({
      format: 'jwk',
    })
    const number = (text: string | undefined) => Buffer.from(text ?? '', 'base64url')
    const parts = [jwk.n, jwk.e, jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi]
    // CKA_MODULUS, then CKA_PUBLIC_EXPONENT to CKA_COEFFICIENT: consecutive numbers from 0x122.
    const types = [0x120, 0x122, 0x123, 0x124, 0x125, 0x126, 0x127, 0x128]
    return token.createObject(session, [
      { type: p11.CKA_CLASS, value: p11.CKO_PRIVATE_KEY },
      { type: p11.CKA_KEY_TYPE, value: p11.CKK_RSA },
      { type: p11.CKA_TOKEN, value: true },
      { type: p11.CKA_ID, value: Buffer.of(8) },
      { type: p11.CKA_DECRYPT, value: true },
      ...types.map((type, at) => ({ type, value: number(parts[at]) })),
    ])
  }

  afterAll(async () => hsm.remove())

  beforeEach(() => {
    bench = { token, session: token.openSession(), kek: { ...kek } }
  })

  test('aes-gcm: format 1, IV 12, ciphertext, tag 16 under our AAD', () => {
    const wrapped = aesGcm.wrap(bench, dek)
    expect([wrapped.length, wrapped[0]]).toEqual([61, 1])
    const decipher = createDecipheriv('aes-256-gcm', raw, wrapped.subarray(1, 13), { authTagLength: 16 })
    decipher.setAAD(LABEL).setAuthTag(wrapped.subarray(45))
    expect(Buffer.concat([decipher.update(wrapped.subarray(13, 45)), decipher.final()])).toEqual(dek)
    expect(unwrapDek(bench, wrapped)).toEqual(dek)
  })

  test('aes-gcm with an IV of the token: format 2, ciphertext, tag, IV 16 at the end', () => {
    const iv = randomBytes(16)
    const cipher = createCipheriv('aes-256-gcm', raw, iv, { authTagLength: 16 }).setAAD(LABEL)
    const sealed = Buffer.concat([cipher.update(dek), cipher.final()])
    const wrapped = Buffer.concat([Buffer.of(2), sealed, cipher.getAuthTag(), iv])
    expect(unwrapDek(bench, wrapped)).toEqual(dek)
    wrapped[60] = (wrapped[60] ?? 0) ^ 1
    expect(outcome(() => unwrapDek(bench, wrapped))).toMatch(BAD)
  })

  test('what was made under another AAD or without one does not unwrap', () => {
    for (const aad of [Buffer.from('kmsplugin/v1 dek '), Buffer.alloc(0)]) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', raw, iv, { authTagLength: 16 }).setAAD(aad)
      const sealed = Buffer.concat([cipher.update(dek), cipher.final(), cipher.getAuthTag()])
      expect(outcome(() => unwrapDek(bench, Buffer.concat([Buffer.of(1), iv, sealed])))).toMatch(BAD)
    }
  })

  test('aes-kw and aes-kwp by C_WrapKey: formats 3 and 4, the bytes of RFC 3394 and RFC 5649', () => {
    const ciphers = [
      [aesKwByWrap, 3, 'id-aes256-wrap', 'a6a6a6a6a6a6a6a6'],
      [aesKwpByWrap, 4, 'id-aes256-wrap-pad', 'a65959a6'],
    ] as const
    for (const [strategy, format, name, iv] of ciphers) {
      const wrapped = strategy.wrap(bench, dek)
      const cipher = createCipheriv(name, raw, Buffer.from(iv, 'hex'))
      const expected = Buffer.concat([Buffer.of(format), cipher.update(dek), cipher.final()])
      expect(wrapped).toEqual(expected)
      expect(unwrapDek(bench, wrapped)).toEqual(dek)
    }
  })

  test('no object is left on the token by a wrap or an unwrap', () => {
    const count = () => token.find(bench.session, [], 100).length
    const before = count()
    unwrapDek(bench, aesKwByWrap.wrap(bench, dek))
    expect(count()).toBe(before)
  })

  test('aes-cbc-hmac: format 5, IV 16, ciphertext 32, HMAC-SHA-256 over the label and all before it', () => {
    const wrapped = aesCbcHmac.wrap(bench, dek)
    expect([wrapped.length, wrapped[0]]).toEqual([81, 5])
    const body = wrapped.subarray(0, 49)
    expect(createHmac('sha256', macRaw).update(LABEL).update(body).digest()).toEqual(wrapped.subarray(49))
    const decipher = createDecipheriv('aes-256-cbc', raw, body.subarray(1, 17)).setAutoPadding(false)
    expect(Buffer.concat([decipher.update(body.subarray(17)), decipher.final()])).toEqual(dek)
    expect(unwrapDek(bench, wrapped)).toEqual(dek)
  })

  test('aes-cbc-hmac: nothing is decrypted under a wrong HMAC', () => {
    const wrapped = aesCbcHmac.wrap(bench, dek)
    for (let at = 1; at < wrapped.length; at += 1) {
      const altered = Buffer.from(wrapped)
      altered.writeUInt8(altered.readUInt8(at) ^ 0x80, at)
      const spying = Object.create(token, {
        startDecrypt: { value: () => expect.unreachable('decrypted before the HMAC was checked') },
      }) as Token
      expect(outcome(() => unwrapDek({ ...bench, token: spying }, altered))).toBe('ERR_UNWRAP_AMBIGUOUS')
    }
  })

  test('rsa-oaep with SHA-1: format 7 is read', () => {
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    const sealed = publicEncrypt({ key: rsa.publicKey, padding, oaepHash: 'sha1' }, dek)
    expect(unwrapDek({ ...bench, kek: rsaKek }, Buffer.concat([Buffer.of(7), sealed]))).toEqual(dek)
    sealed[255] = (sealed[255] ?? 0) ^ 1
    const altered = Buffer.concat([Buffer.of(7), sealed])
    expect(outcome(() => unwrapDek({ ...bench, kek: rsaKek }, altered))).toMatch(BAD)
  })

  test('a public key that is not that of the private key is never encrypted with', () => {
    const { p11 } = token
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
    const session = token.openSession('write')
    token.createObject(session, [
      { type: p11.CKA_CLASS, value: p11.CKO_PUBLIC_KEY },
      { type: p11.CKA_KEY_TYPE, value: p11.CKK_RSA },
      { type: p11.CKA_ID, value: Buffer.of(8) },
      { type: p11.CKA_ENCRYPT, value: true },
      { type: p11.CKA_MODULUS, value: Buffer.from(other.n ?? '', 'base64url') },
      { type: p11.CKA_PUBLIC_EXPONENT, value: Buffer.from(other.e ?? '', 'base64url') },
    ])
    expect(outcome(() => rsaOaepSha256.wrap({ ...bench, kek: { ...rsaKek } }, dek))).toBe('ERR_KEY_UNUSABLE')
  })

  test('no format, a wrong length and another key type never reach the token', () => {
    const nowhere = { ...bench, token: undefined as unknown as Token }
    for (const format of [6, 7]) {
      const wrapped = Buffer.concat([Buffer.of(format), randomBytes(256)])
      expect(outcome(() => unwrapDek(nowhere, wrapped))).toBe('ERR_DECRYPTION_FAILED')
    }
    const short = Buffer.concat([Buffer.of(6), randomBytes(384)])
    const aes = Buffer.concat([Buffer.of(1), randomBytes(60)])
    for (const wrapped of [short, aes]) {
      expect(outcome(() => unwrapDek({ ...nowhere, kek: rsaKek }, wrapped))).toBe('ERR_DECRYPTION_FAILED')
    }
    for (const wrapped of [
      Buffer.alloc(0),
      Buffer.alloc(61, 0),
      Buffer.alloc(62, 1),
      Buffer.alloc(61, 2),
      Buffer.alloc(41, 9),
    ]) {
      expect(outcome(() => unwrapDek(nowhere, wrapped))).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test('auto takes the first that works and says why not a better one', () => {
    const may =
      (...allowed: string[]) =>
      (attribute: string) =>
        allowed.includes(attribute)
    const all = chooseStrategy(
      token,
      { ...kek },
      'auto',
      may('CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP'),
      'the KEK',
    )
    expect(all).toEqual({ mechanism: 'aes-gcm', by: 'C_Encrypt', why: 'aes-gcm by C_Encrypt' })
    const wrapOnly = chooseStrategy(token, { ...kek }, 'auto', may('CKA_WRAP', 'CKA_UNWRAP'), 'the KEK')
    expect([wrapOnly.mechanism, wrapOnly.by]).toEqual(['aes-kwp', 'C_WrapKey'])
    expect(wrapOnly.why).toContain('aes-gcm by C_Encrypt: the key lacks CKA_ENCRYPT and CKA_DECRYPT')
    expect(() => chooseStrategy(token, { ...kek }, 'auto', may(), 'the KEK')).toThrow(/lacks/)
    expect(() => chooseStrategy(token, { ...kek }, 'rsa-oaep-sha256', may('CKA_DECRYPT'), 'the KEK')).toThrow(
      /AES-256/,
    )
  })

  test('an attribute that is answered with anything but one byte is not told, and any byte but 0 is true', () => {
    const answering = (value: Buffer) => Object.create(token, { attribute: { value: () => value } }) as Token
    const flag = (value: Buffer) => answering(value).flag(bench.session, kek.handle, 0)
    expect([Buffer.of(0), Buffer.of(1), Buffer.of(0xff)].map(flag)).toEqual([false, true, true])
    expect([Buffer.alloc(0), Buffer.alloc(8)].map(flag)).toEqual([undefined, undefined])
  })

  test('an HMAC key has a check value, which is no HMAC of a DEK', () => {
    const expected = createHmac('sha256', macRaw).update('kmsplugin/v1 check').digest()
    const digest = createHash('sha256').update(expected).digest()
    expect(Buffer.from(macCheckValueOf(bench))).toEqual(digest.subarray(0, 8))
  })

  test('a mechanism that the token lacks is told from a device that fails', () => {
    expect(() =>
      chooseStrategy(
        token,
        { ...kek },
        'aes-kw',
        (name) => name === 'CKA_ENCRYPT' || name === 'CKA_DECRYPT',
        'the KEK',
      ),
    ).toThrow(/CKR_MECHANISM_INVALID/)
    expect(outcome(() => selfTest(bench, aesKwByEncrypt))).toBe('ERR_KEY_UNUSABLE')
    const broken = { ...kek, handle: Buffer.alloc(8, 0xff) }
    expect(outcome(() => chooseStrategy(token, broken, 'auto', () => true, 'the KEK'))).toBe(
      'ERR_BACKEND_UNAVAILABLE',
    )
  })
})
