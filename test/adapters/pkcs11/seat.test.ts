/** What one thread does at the token, on SoftHSM loaded into this very process. */
import { createDecipheriv, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HsmError, importPkcs11js, loadModule } from '../../../src/adapters/backends/pkcs11/child/cryptoki.js'
import * as gcm96 from '../../../src/adapters/backends/pkcs11/child/gcm96.js'
import { computedCheckValue, findKek } from '../../../src/adapters/backends/pkcs11/child/kek.js'
import { Seat } from '../../../src/adapters/backends/pkcs11/child/seat.js'
import type { Cryptoki, Handle, Template } from '../../../src/adapters/backends/pkcs11/child/pkcs11js.js'
import { findSlot, initialise, Token } from '../../../src/adapters/backends/pkcs11/child/token.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'

/** What the backend never calls. */
interface More {
  C_CloseAllSessions(slot: Handle): void
  C_Logout(session: Handle): void
  C_Finalize(): void
  C_CreateObject(session: Handle, template: Template): Handle
}

/** CKA_VALUE. */
const CKA_VALUE = 0x11

/** `OK`, or code and recovery of the {@link HsmError}. */
function outcome(work: () => unknown): string {
  try {
    work()
    return 'OK'
  } catch (error) {
    if (error instanceof HsmError) return `${error.code} ${error.recovery}`
    throw error
  }
}

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a thread at the token'), () => {
  let hsm: SoftHsm
  let module: Cryptoki & More
  let token: Token
  let anchor: Handle
  let seat: Seat
  const dek = randomBytes(32)

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    hsm.change({ do: 'makeAes', label: 'kek' })
    Object.assign(process.env, hsm.env)
    const p11 = await importPkcs11js()
    module = loadModule(p11, hsm.module) as Cryptoki & More
    initialise(p11, module)
    token = new Token(p11, module, findSlot(module, hsm.tokenLabel), hsm.tokenLabel)
  })

  afterAll(async () => hsm.remove())

  beforeEach(() => {
    module.C_CloseAllSessions(token.slot)
    anchor = token.openSession()
    module.C_Login(anchor, token.p11.CKU_USER, hsm.pin)
    seat = new Seat(token, 'kek')
  })

  test('initialising twice is no error', () => {
    expect(outcome(() => initialise(token.p11, module))).toBe('OK')
  })

  test('a session that was closed behind its back is replaced without a word', () => {
    const session = seat.open()
    seat.do({ op: 'identify' })
    module.C_CloseSession(session)
    expect(outcome(() => seat.do({ op: 'identify' }))).toBe('OK')
    expect(outcome(() => seat.do({ op: 'wrap', dek }))).toBe('OK')
  })

  test('a logout is told from a key that is gone, though a token finds no key either way', () => {
    const { identity, bytes } = seat.do({ op: 'wrap', dek })
    module.C_Logout(anchor)
    expect(outcome(() => seat.do({ op: 'identify' }))).toBe('ERR_BACKEND_UNAVAILABLE login')
    module.C_Login(anchor, token.p11.CKU_USER, hsm.pin)
    const again = seat.do({ op: 'unwrap', wrapped: bytes, identity })
    expect(Buffer.from(again.bytes).equals(dek)).toBe(true)
    module.C_Logout(anchor)
    const unwrap = () => seat.do({ op: 'unwrap', wrapped: bytes, identity })
    expect(outcome(unwrap)).toBe('ERR_BACKEND_UNAVAILABLE login')
  })

  test('a module that lost its state is left to a new process', () => {
    seat.do({ op: 'identify' })
    module.C_Finalize()
    expect(outcome(() => seat.do({ op: 'identify' }))).toBe('ERR_BACKEND_UNAVAILABLE replace')
    initialise(token.p11, module)
    token = new Token(token.p11, module, findSlot(module, hsm.tokenLabel), hsm.tokenLabel)
  })

  test('a DEK is never unwrapped under another identity than the one that was asked for', () => {
    const { identity, bytes } = seat.do({ op: 'wrap', dek })
    const other = { ...identity, checkValue: Buffer.from('000000', 'hex') }
    expect(outcome(() => seat.do({ op: 'unwrap', wrapped: bytes, identity: other }))).toBe(
      'ERR_KEY_UNKNOWN none',
    )
    expect(outcome(() => seat.do({ op: 'unwrap', wrapped: bytes, identity }))).toBe('OK')
  })

  test('the check value that the token computes is the one that it shows', () => {
    token.inSession('read', (session) => {
      const { handle, identity } = findKek(token, session, 'kek')
      expect(computedCheckValue(token, handle, 'the KEK')).toEqual(Buffer.from(identity.checkValue))
    })
  })

  describe('gcm96', () => {
    const raw = randomBytes(32)
    let session: Handle
    let kek: Handle

    beforeEach(() => {
      session = token.openSession('write')
      const { p11 } = token
      kek = module.C_CreateObject(session, [
        { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
        { type: p11.CKA_KEY_TYPE, value: p11.CKK_AES },
        { type: CKA_VALUE, value: raw },
        { type: p11.CKA_TOKEN, value: false },
        { type: p11.CKA_ENCRYPT, value: true },
        { type: p11.CKA_DECRYPT, value: true },
      ])
    })

    test('is AES-256-GCM with a 12-byte IV, a 16-byte tag and our AAD, as node:crypto has it', () => {
      const wrapped = gcm96.wrap(token, session, kek, dek)
      expect([wrapped.length, wrapped[0]]).toEqual([61, 1])
      const decipher = createDecipheriv('aes-256-gcm', raw, wrapped.subarray(1, 13), { authTagLength: 16 })
      decipher.setAAD(Buffer.from('kmsplugin/v1 dek')).setAuthTag(wrapped.subarray(45))
      expect(Buffer.concat([decipher.update(wrapped.subarray(13, 45)), decipher.final()])).toEqual(dek)
      expect(gcm96.unwrap(token, session, kek, wrapped)).toEqual(dek)
    })

    test('what was made under another AAD or without one does not unwrap', () => {
      const { CKM_AES_GCM, CK_PARAMS_AES_GCM_v240 } = token.p11
      for (const aad of [Buffer.from('kmsplugin/v1 dek '), Buffer.alloc(0)]) {
        const iv = randomBytes(12)
        const parameter = { type: CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 }
        const sealed = token.encrypt(session, { mechanism: CKM_AES_GCM, parameter }, kek, dek, 64)
        const wrapped = Buffer.concat([Buffer.of(1), iv, sealed])
        const attempt = () => token.inSession('read', (fresh) => gcm96.unwrap(token, fresh, kek, wrapped))
        expect(outcome(attempt)).toMatch(/^ERR_(UNWRAP_AMBIGUOUS|DECRYPTION_FAILED) none$/)
      }
    })

    test('another format or length never reaches the token', () => {
      for (const wrapped of [
        Buffer.alloc(0),
        Buffer.alloc(60, 1),
        Buffer.alloc(61, 2),
        Buffer.alloc(62, 1),
      ]) {
        const nowhere = undefined as unknown as Token
        expect(outcome(() => gcm96.unwrap(nowhere, session, kek, wrapped))).toBe('ERR_DECRYPTION_FAILED none')
      }
    })
  })
})
