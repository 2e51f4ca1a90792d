/** What one thread does at the token, on SoftHSM loaded into this very process. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HsmError, importPkcs11js, loadModule } from '../../../src/adapters/backends/pkcs11/child/cryptoki.js'
import { checkValueOf } from '../../../src/adapters/backends/pkcs11/child/check_value.js'
import { findKek } from '../../../src/adapters/backends/pkcs11/child/kek.js'
import { Seat } from '../../../src/adapters/backends/pkcs11/child/seat.js'
import type { Cryptoki, Handle } from '../../../src/adapters/backends/pkcs11/child/pkcs11js.js'
import { findSlot, initialise } from '../../../src/adapters/backends/pkcs11/child/slots.js'
import { Token } from '../../../src/adapters/backends/pkcs11/child/token.js'
import type { HsmTarget } from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'

/** What the backend never calls. */
interface More {
  C_CloseAllSessions(slot: Handle): void
  C_Logout(session: Handle): void
}

function targetOf({ module, tokenLabel }: SoftHsm): HsmTarget {
  const token = { label: tokenLabel }
  return { module, token, key: { label: 'kek' }, mechanism: 'auto', allowWeakKey: [], parallelCalls: 1 }
}

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
  let target: HsmTarget
  const dek = randomBytes(32)

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    hsm.change(
      { do: 'makeAes', label: 'kek' },
      { do: 'importSecret', label: 'mac', value: randomBytes(32).toString('hex') },
    )
    target = targetOf(hsm)
    Object.assign(process.env, hsm.env)
    const p11 = await importPkcs11js()
    module = loadModule(p11, hsm.module) as Cryptoki & More
    initialise(p11, module, undefined)
    token = new Token(p11, module, findSlot(p11, module, target.token), 'token')
  })

  afterAll(async () => hsm.remove())

  beforeEach(() => {
    module.C_CloseAllSessions(token.slot)
    anchor = token.openSession()
    module.C_Login(anchor, token.p11.CKU_USER, hsm.pin)
    seat = new Seat(token, target)
  })

  test('initialising twice is no error', () => {
    expect(outcome(() => initialise(token.p11, module, undefined))).toBe('OK')
  })

  test('a session that was closed behind its back is replaced without a word', () => {
    const session = seat.open()
    seat.do({ op: 'identify', seals: true })
    module.C_CloseSession(session)
    expect(outcome(() => seat.do({ op: 'identify', seals: true }))).toBe('OK')
    expect(outcome(() => seat.do({ op: 'wrap', dek }))).toBe('OK')
  })

  const mac = { op: 'decrypt', algorithm: 'HMAC-SHA256', bytes: dek, key: { label: 'mac' } } as const

  test('a login that comes while the HMAC key of another program is searched for hides no key', () => {
    let searches = 0
    class Late extends Token {
      override find(...search: Parameters<Token['find']>): readonly Handle[] {
        searches += 1
        // One for each type that the key may have.
        if (searches === 1) module.C_Logout(anchor)
        const found = super.find(...search)
        if (searches === 2) module.C_Login(anchor, this.p11.CKU_USER, hsm.pin)
        return found
      }
    }
    const late = new Seat(new Late(token.p11, module, token.slot, 'token'), target)
    expect(outcome(() => late.do(mac))).toBe('OK')
  })

  test('a token that is gone is an outage, and not an HMAC key that is not there', () => {
    class Gone extends Token {
      override find(): readonly Handle[] {
        return []
      }

      override info(): never {
        throw new HsmError('ERR_BACKEND_UNAVAILABLE', 'removed', 'replace')
      }
    }
    const gone = new Seat(new Gone(token.p11, module, token.slot, 'token'), target)
    expect(outcome(() => gone.do(mac))).toBe('ERR_BACKEND_UNAVAILABLE replace')
    expect(outcome(() => seat.do({ ...mac, key: { label: 'other' } }))).toBe('ERR_KEY_NOT_FOUND none')
  })

  test('a logout is told from a key that is gone, though a token finds no key either way', () => {
    const { identity, bytes } = seat.do({ op: 'wrap', dek })
    module.C_Logout(anchor)
    expect(outcome(() => seat.do({ op: 'identify', seals: true }))).toBe('ERR_BACKEND_UNAVAILABLE login')
    module.C_Login(anchor, token.p11.CKU_USER, hsm.pin)
    const again = seat.do({ op: 'unwrap', wrapped: bytes, identity })
    expect(Buffer.from(again.bytes).equals(dek)).toBe(true)
    module.C_Logout(anchor)
    const unwrap = () => seat.do({ op: 'unwrap', wrapped: bytes, identity })
    expect(outcome(unwrap)).toBe('ERR_BACKEND_UNAVAILABLE login')
  })

  test('a module that lost its state is left to a new process', () => {
    seat.do({ op: 'identify', seals: true })
    module.C_Finalize()
    expect(outcome(() => seat.do({ op: 'identify', seals: true }))).toBe('ERR_BACKEND_UNAVAILABLE replace')
    initialise(token.p11, module, undefined)
    token = new Token(token.p11, module, findSlot(token.p11, module, target.token), 'token')
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
      const { handle, identity } = findKek(token, session, target.key)
      expect(checkValueOf(token, session, handle, 'the KEK')).toEqual(Buffer.from(identity.checkValue))
    })
  })
})
