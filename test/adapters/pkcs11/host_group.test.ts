import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HostGroup } from '../../../src/adapters/backends/pkcs11/host_group.js'
import type { DecryptRequest, KekRequest } from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { keyIdOfKek } from '../../../src/adapters/backends/pkcs11/wrapper.js'
import { KmsError, type KmsErrorCode } from '../../../src/ports/errors.js'
import { ManualClock, settled } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { FakeMember, kekOf } from './fake_member.js'

const DEADLINE_MS = 1000

let clock: ManualClock
let log: RecordingLogger
let group: HostGroup
let heavy: FakeMember
let light: FakeMember

const identify: KekRequest = { op: 'identify', seals: true }
const show: KekRequest = { op: 'identify', seals: false }
const wrap: KekRequest = { op: 'wrap', dek: Buffer.alloc(32, 7) }
const unwrap: KekRequest = { op: 'unwrap', wrapped: Buffer.alloc(61, 1), identity: kekOf('one') }

function open(...members: FakeMember[]): void {
  clock = new ManualClock()
  log = new RecordingLogger()
  group = new HostGroup(
    members.map(({ options }) => options),
    clock,
    log,
  )
}

async function ask(request: KekRequest, withinMs = DEADLINE_MS, signal?: AbortSignal): Promise<string> {
  const options = { deadlineMs: clock.nowMs() + withinMs, ...(signal === undefined ? {} : { signal }) }
  return Buffer.from((await group.call(request, options)).bytes).toString()
}

async function refusal(call: Promise<unknown>): Promise<KmsError> {
  return call.then(
    () => expect.unreachable(),
    (error: unknown) => error as KmsError,
  )
}

/** As after the first probe. */
async function met(...members: FakeMember[]): Promise<void> {
  await ask(identify)
  await settled()
  for (const member of members) member.count()
}

beforeEach(async () => {
  heavy = new FakeMember('heavy', 2)
  light = new FakeMember('light', 1)
  open(heavy, light)
})

afterEach(async () => {
  await group.close()
  await settled()
  // A timer that outlives the group keeps the process alive.
  expect(clock.sleepers).toBe(0)
})

describe('who is asked', () => {
  test('nobody before the first call, and each counts as down until it has answered', () => {
    expect([heavy.asked, light.asked]).toEqual([[], []])
    expect([heavy.health, light.health]).toEqual([[false], [false]])
  })

  test('the heaviest alone while it answers', async () => {
    await met(heavy, light)
    for (let i = 0; i < 5; i++) expect(await ask(wrap)).toBe('wrap by heavy')
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    expect(light.asked).toEqual([])
  })

  test('those of one weight by turns, also when another one is set aside', async () => {
    const equals = ['a', 'b', 'c'].map((name) => new FakeMember(name))
    open(...equals, heavy)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await met(...equals)
    for (let i = 0; i < 6; i++) await ask(unwrap)
    expect(equals.map((each) => each.count('unwrap'))).toEqual([2, 2, 2])
    equals[1]!.fail('ERR_BACKEND_UNAVAILABLE')
    for (let i = 0; i < 7; i++) await ask(unwrap)
    expect(equals.map((each) => each.count('unwrap'))).toEqual([3, 1, 4])
  })

  test('one that is set aside only when no other is left, then by weight', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await ask(unwrap)
    heavy.count()
    await ask(unwrap)
    expect(heavy.asked).toEqual([])
    light.fail('ERR_BACKEND_UNAVAILABLE')
    heavy.mend()
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    light.mend()
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    light.count()
    expect(await ask(unwrap)).toBe('unwrap by light')
  })

  test('a request for one token alone is refused', async () => {
    expect(await outcomeOf(ask({ op: 'keygen' }))).toBe('ERR_INTERNAL')
    expect(await outcomeOf(ask({ op: 'inspect' }))).toBe('ERR_INTERNAL')
    expect([heavy.asked, light.asked]).toEqual([[], []])
  })
})

describe('what a failure means', () => {
  const ofTheToken: KmsErrorCode[] = [
    'ERR_BACKEND_UNAVAILABLE',
    'ERR_BACKEND_RESPONSE',
    'ERR_QUEUE_FULL',
    'ERR_LOGIN_REFUSED',
    'ERR_CONFIG_INVALID',
    'ERR_ACCESS_DENIED',
    'ERR_KEY_NOT_FOUND',
    'ERR_KEY_UNUSABLE',
    'ERR_KEY_UNKNOWN',
    'ERR_INTERNAL',
  ]

  test.each(ofTheToken)(
    '%s: the next one answers the same call, and the token is set aside',
    async (code) => {
      await met(heavy, light)
      heavy.fail(code, 'wrap', 'unwrap')
      expect(await ask(unwrap)).toBe('unwrap by light')
      expect(heavy.isUp).toBe(false)
      expect(await ask(wrap)).toBe('wrap by light')
      const [line, ...more] = log.lines.filter(({ text }) => text === 'token set aside')
      expect(line?.fields).toEqual({ token: 'heavy', code, reason: 'unwrap failed' })
      expect(more).toEqual([])
    },
  )

  test('a fault in data is final at the first answer and sets nobody aside', async () => {
    await met(heavy, light)
    heavy.fail('ERR_DECRYPTION_FAILED', 'unwrap')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_DECRYPTION_FAILED')
    expect(light.asked).toEqual([])
    expect(heavy.isUp).toBe(true)
  })

  test('an ambiguous answer is decided by the next one', async () => {
    await met(heavy, light)
    heavy.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    light.fail('ERR_DECRYPTION_FAILED', 'unwrap')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_DECRYPTION_FAILED')
    expect(heavy.isUp).toBe(true)
    // Who opens the bytes proves that the other one was at fault.
    light.mend()
    expect(await ask(unwrap)).toBe('unwrap by light')
    expect(heavy.isUp).toBe(false)
  })

  const ofTheBytes = ['ERR_KEY_UNUSABLE', 'ERR_ACCESS_DENIED', 'ERR_BACKEND_RESPONSE'] as const
  test.each(ofTheBytes)('bytes that no token unwraps (%s) set nobody aside', async (code) => {
    await met(heavy, light)
    heavy.fail(code, 'unwrap')
    light.fail(code, 'unwrap')
    for (let i = 0; i < 3; i++) expect(await outcomeOf(ask(unwrap))).toBe(code)
    expect([heavy.isUp, light.isUp, heavy.count('unwrap')]).toEqual([true, true, 3])
    expect(log.texts('warn')).toEqual([])
  })

  test('a token that lacks the common KEK is set aside, whether another one has it or not', async () => {
    await met(heavy, light)
    heavy.fail('ERR_KEY_NOT_FOUND', 'unwrap')
    light.fail('ERR_KEY_UNKNOWN', 'unwrap')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_KEY_NOT_FOUND')
    expect([heavy.isUp, light.isUp]).toEqual([false, false])
  })

  test('ambiguous answers of all stay ambiguous and set nobody aside', async () => {
    await met(heavy, light)
    heavy.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    light.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_UNWRAP_AMBIGUOUS')
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
  })

  test('an ambiguous answer does not wait for a token that is set aside', async () => {
    await met(heavy, light)
    light.hang()
    heavy.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    const first = outcomeOf(ask(unwrap))
    await clock.advance(DEADLINE_MS)
    expect(await first).toBe('ERR_UNWRAP_AMBIGUOUS')
    expect(light.isUp).toBe(false)
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_UNWRAP_AMBIGUOUS')
  })

  test('while another one that is up may still answer, an ambiguous answer waits for that one alone', async () => {
    const third = new FakeMember('third', 3)
    open(third, heavy, light)
    await met(third, heavy, light)
    light.fail('ERR_BACKEND_UNAVAILABLE', 'identify')
    await ask(identify)
    await settled()
    light.count()
    third.hang()
    heavy.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    const call = ask(unwrap, 900)
    await clock.advance(800)
    third.mend()
    expect(await call).toBe('unwrap by third')
    expect([heavy.isUp, light.count('unwrap')]).toEqual([false, 0])
  })

  test.each<[KmsErrorCode, KmsErrorCode, KmsErrorCode]>([
    ['ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    ['ERR_BACKEND_RESPONSE', 'ERR_QUEUE_FULL', 'ERR_BACKEND_UNAVAILABLE'],
    ['ERR_QUEUE_FULL', 'ERR_QUEUE_FULL', 'ERR_QUEUE_FULL'],
    ['ERR_LOGIN_REFUSED', 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    ['ERR_LOGIN_REFUSED', 'ERR_KEY_NOT_FOUND', 'ERR_LOGIN_REFUSED'],
    ['ERR_KEY_NOT_FOUND', 'ERR_KEY_NOT_FOUND', 'ERR_KEY_NOT_FOUND'],
  ])('%s and %s are told as %s, with both reasons', async (first, second, told) => {
    await met()
    heavy.fail(first)
    light.fail(second)
    for (const request of [unwrap, identify, { op: 'list' } as const]) {
      const { code, message } = await refusal(ask(request))
      expect(code).toBe(told)
      expect(message).toMatch(/^heavy: \w+ failed; light: \w+ failed$/)
    }
  })

  test('before the tokens have met, their answers are told alike', async () => {
    heavy.fail('ERR_LOGIN_REFUSED')
    light.fail('ERR_BACKEND_UNAVAILABLE')
    expect(await outcomeOf(ask(identify))).toBe('ERR_BACKEND_UNAVAILABLE')
    light.fail('ERR_CONFIG_INVALID')
    expect(await outcomeOf(ask(wrap))).toBe('ERR_LOGIN_REFUSED')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_LOGIN_REFUSED')
    expect(log.texts('warn')).toEqual([])
    expect(clock.sleepers).toBe(0)
  })

  test('that a token lacks a KEK which is not the common one says nothing about it', async () => {
    await met(heavy, light)
    heavy.fail('ERR_KEY_NOT_FOUND', 'unwrap')
    const older = { ...unwrap, identity: kekOf('older') }
    expect(await ask(older)).toBe('unwrap by light')
    expect(heavy.isUp).toBe(true)
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'unwrap')
    expect(await ask(older)).toBe('unwrap by light')
    expect(heavy.isUp).toBe(false)
  })
})

describe('a token that hangs', () => {
  test('gets its share of the time, then the next one is asked as well and the hung one is set aside', async () => {
    await met(heavy, light)
    heavy.hang()
    const call = ask(unwrap)
    await clock.advance(499)
    expect([light.count(), heavy.isUp]).toEqual([0, true])
    await clock.advance(1)
    expect(await call).toBe('unwrap by light')
    expect(heavy.isUp).toBe(false)
    // Nobody waits there any more: a DEK that is still queued must not be sent once its owner has wiped it.
    expect(heavy.left).toBe(1)
    expect(await ask(unwrap)).toBe('unwrap by light')
  })

  test('the first good answer is taken, and a DEK that comes later is wiped', async () => {
    await met(heavy, light)
    heavy.isStubborn = true
    heavy.hang()
    const call = ask(unwrap)
    await clock.advance(500)
    expect(await call).toBe('unwrap by light')
    heavy.mend()
    await settled()
    const late = heavy.answers.filter(({ bytes }) => bytes.length > 0)
    expect(late.map(({ bytes }) => Buffer.from(bytes).every((byte) => byte === 0))).toEqual([true])
  })

  test('may still be the first to answer, and is looked at before it is asked again', async () => {
    await met(heavy, light)
    heavy.hang()
    light.hang()
    const call = ask(unwrap)
    await clock.advance(600)
    heavy.mend()
    expect(await call).toBe('unwrap by heavy')
    expect([heavy.isUp, light.isUp]).toEqual([false, true])
    light.mend()
    await clock.advance(250)
    expect(heavy.isUp).toBe(true)
  })

  test('when all hang, the call fails at its deadline and all are set aside', async () => {
    await met(heavy, light)
    heavy.hang()
    light.hang()
    const call = outcomeOf(ask(unwrap))
    await clock.advance(DEADLINE_MS)
    expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
    expect([heavy.isUp, light.isUp]).toEqual([false, false])
  })

  test('three share the time in three', async () => {
    const third = new FakeMember('third', 0)
    open(heavy, light, third)
    await met(heavy, light, third)
    heavy.hang()
    light.hang()
    const call = ask(unwrap, 900)
    await clock.advance(300)
    expect([light.count(), third.count()]).toEqual([1, 0])
    await clock.advance(300)
    expect(await call).toBe('unwrap by third')
  })

  test.each([new KmsError('ERR_CANCELLED', 'gone'), 'a reason of somebody else'])(
    'a caller that leaves says nothing about the token',
    async (reason) => {
      await met(heavy, light)
      heavy.hang()
      const leaving = new AbortController()
      const call = outcomeOf(ask(unwrap, DEADLINE_MS, leaving.signal))
      await clock.advance(200)
      leaving.abort(reason)
      expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
      expect([heavy.isUp, light.asked]).toEqual([true, []])
      heavy.mend()
    },
  )

  test('a caller that comes late says nothing about the token either', async () => {
    await met(heavy, light)
    heavy.hang()
    light.hang()
    const call = outcomeOf(ask(unwrap, 90))
    await clock.advance(90)
    expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
    heavy.mend()
    light.mend()
  })

  test('a deadline that a signal tells shows a slow token as well as the clock does', async () => {
    await met(heavy, light)
    heavy.hang()
    const late = new AbortController()
    const call = outcomeOf(ask(unwrap, DEADLINE_MS, late.signal))
    await clock.advance(400)
    late.abort(new KmsError('ERR_DEADLINE_EXCEEDED', 'too late'))
    expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
    expect([heavy.isUp, light.isUp, light.asked]).toEqual([false, true, []])
  })
})

describe('which KEK it is', () => {
  test('tokens that disagree at the start are refused by name, and nothing is wrapped', async () => {
    light.kek = kekOf('another')
    for (const request of [identify, wrap]) {
      const { code, message } = await refusal(ask(request))
      expect(code).toBe('ERR_KEY_UNUSABLE')
      expect(message).toContain(`heavy holds ${keyIdOfKek(heavy.kek)}, light holds ${keyIdOfKek(light.kek)}`)
    }
    expect(heavy.count('wrap') + light.count('wrap')).toBe(0)
    // What either wrapped before still opens.
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    light.kek = kekOf('one')
    expect(await ask(wrap)).toBe('wrap by heavy')
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
  })

  test('a single answer is enough, and one that comes later with another KEK is set aside and never used', async () => {
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    expect(await ask(wrap)).toBe('wrap by light')
    heavy.mend()
    heavy.kek = kekOf('another')
    await clock.advance(20_000)
    expect(heavy.isUp).toBe(false)
    expect(log.lines.at(-1)).toMatchObject({ text: 'token set aside', fields: { code: 'ERR_KEY_UNUSABLE' } })
    light.fail('ERR_BACKEND_UNAVAILABLE')
    // It may hold the common KEK under another label; it unwraps with that, and is not up for it.
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    expect(heavy.isUp).toBe(false)
    const { code, message } = await refusal(ask(wrap))
    expect(code).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(message).toContain(keyIdOfKek(heavy.kek))
  })

  test('once one has answered, the others get 500 ms, and a hung one costs no more', async () => {
    heavy.hang()
    const call = ask(wrap)
    await clock.advance(499)
    expect(light.count('wrap')).toBe(0)
    await clock.advance(1)
    expect(await call).toBe('wrap by light')
    heavy.mend()
    await clock.advance(250)
    expect(heavy.isUp).toBe(true)
  })

  test('where tokens are slow, the others get as long again as the first one took', async () => {
    heavy.hang()
    light.hang()
    light.kek = kekOf('another')
    const call = outcomeOf(ask(identify, 10_000))
    await clock.advance(2000)
    heavy.mend()
    await clock.advance(1900)
    light.mend()
    expect(await call).toBe('ERR_KEY_UNUSABLE')
  })

  test('a token that hangs while others fail does not keep them from being asked anew', async () => {
    heavy.hang()
    light.fail('ERR_BACKEND_UNAVAILABLE')
    const call = refusal(ask(identify))
    await clock.advance(500)
    expect((await call).message).toMatch(/^heavy: .*; light: identify failed$/)
    light.mend()
    const next = ask(wrap)
    await clock.advance(500)
    expect(await next).toBe('wrap by light')
    expect(heavy.count('identify')).toBe(1)
    heavy.mend()
  })

  test('a caller leaves at its deadline, and the tokens meet without it', async () => {
    heavy.hang()
    light.hang()
    const call = outcomeOf(ask(identify))
    await clock.advance(DEADLINE_MS)
    expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
    heavy.mend()
    light.mend()
    await settled()
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
    expect([heavy.count('identify'), light.count('identify')]).toEqual([1, 1])
  })

  test('what a token wraps under another KEK is not used, and the next one wraps', async () => {
    await met(heavy, light)
    heavy.kek = kekOf('another')
    expect(await ask(wrap)).toBe('wrap by light')
    expect(heavy.isUp).toBe(false)
    const reason = log.lines.find(({ text }) => text === 'token set aside')?.fields['reason']
    expect(reason).toContain(`heavy holds ${keyIdOfKek(heavy.kek)}, light holds ${keyIdOfKek(light.kek)}`)
    await clock.advance(60_000)
    expect(heavy.isUp).toBe(false)
    expect(await ask(wrap)).toBe('wrap by light')
  })

  test('a label that was moved on every token is a rotation', async () => {
    await met(heavy, light)
    heavy.kek = kekOf('next')
    expect((await group.call(identify, { deadlineMs: clock.nowMs() + 1000 })).identity).toEqual(kekOf('one'))
    light.kek = kekOf('next')
    expect((await group.call(identify, { deadlineMs: clock.nowMs() + 1000 })).identity).toEqual(kekOf('next'))
    expect(light.isUp).toBe(true)
    await clock.advance(5000)
    expect(heavy.isUp).toBe(true)
  })

  test('a token that never showed a KEK does not hold up a rotation; one that did, does', async () => {
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await met(light)
    light.kek = kekOf('next')
    expect((await group.call(identify, { deadlineMs: clock.nowMs() + 1000 })).identity).toEqual(kekOf('next'))
    heavy.kek = kekOf('next')
    heavy.mend()
    await clock.advance(5000)
    light.kek = kekOf('third')
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    expect(await outcomeOf(ask(wrap))).toBe('ERR_BACKEND_UNAVAILABLE')
  })

  test('a token with another HMAC key is found by the probe and never wraps until it has the same', async () => {
    heavy.companion = 'one'
    light.companion = 'other'
    await met(heavy, light)
    expect([heavy.isUp, light.isUp]).toEqual([true, false])
    const reason = log.lines.find(({ text }) => text === 'token set aside')?.fields['reason']
    expect(reason).toContain('light and heavy hold different HMAC keys')
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    const { code, message } = await refusal(ask(wrap))
    expect(code).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(message).toContain('different HMAC keys')
    // It may open what it wrapped once.
    expect(await ask(unwrap)).toBe('unwrap by light')
    heavy.mend()
    await clock.advance(20_000)
    expect([heavy.isUp, light.isUp]).toEqual([true, false])
    light.companion = 'one'
    await clock.advance(5000)
    expect(light.isUp).toBe(true)
  })

  test('what only the token with another HMAC key opens is opened by that, and no other is blamed for it', async () => {
    heavy.companion = 'one'
    light.companion = 'other'
    await met(heavy, light)
    heavy.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    for (let i = 0; i < 3; i++) expect(await ask(unwrap)).toBe('unwrap by light')
    expect([heavy.isUp, light.isUp]).toEqual([true, false])
    light.fail('ERR_UNWRAP_AMBIGUOUS', 'unwrap')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_UNWRAP_AMBIGUOUS')
  })

  test('an HMAC key that was replaced on every token is the new one', async () => {
    heavy.companion = 'one'
    light.companion = 'one'
    await met(heavy, light)
    heavy.companion = 'next'
    light.companion = 'next'
    await ask(identify)
    await settled()
    await ask(identify)
    await clock.advance(5000)
    await ask(identify)
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
    expect(await ask(wrap)).toBe('wrap by heavy')
  })

  test('a token that wraps in another way has no HMAC key to differ in', async () => {
    heavy.companion = 'one'
    await met(heavy, light)
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
    heavy.companion = undefined
    light.companion = 'other'
    await ask(identify)
    await settled()
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
  })

  test('the keys of all tokens that answer are listed', async () => {
    light.kek = kekOf('another')
    const third = new FakeMember('third')
    third.fail('ERR_BACKEND_UNAVAILABLE')
    open(heavy, light, third)
    const { identity, others } = await group.call({ op: 'list' }, { deadlineMs: clock.nowMs() + 1000 })
    expect([identity, ...(others ?? [])]).toEqual([kekOf('one'), kekOf('another')])
  })
})

describe('what another program encrypted', () => {
  const question: DecryptRequest = { op: 'decrypt', algorithm: 'AES-CBC', bytes: Buffer.alloc(16), key: {} }
  const decrypt = async () => {
    const options = { deadlineMs: clock.nowMs() + DEADLINE_MS }
    return Buffer.from(await group.decrypt(question, options)).toString()
  }

  test('is decrypted by one token, and by the next one when that fails, which is set aside', async () => {
    await met(heavy, light)
    expect(await decrypt()).toBe('decrypt by heavy')
    expect(light.count('decrypt')).toBe(0)
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'decrypt')
    expect(await decrypt()).toBe('decrypt by light')
    expect([heavy.isUp, light.isUp]).toEqual([false, true])
  })

  test.each([
    'ERR_KEY_NOT_FOUND',
    'ERR_KEY_UNKNOWN',
    'ERR_KEY_UNUSABLE',
    'ERR_ACCESS_DENIED',
    'ERR_UNWRAP_AMBIGUOUS',
  ] as const)('a token that answers %s is not set aside, and the next one may have the key', async (code) => {
    await met(heavy, light)
    heavy.fail(code, 'decrypt')
    expect(await decrypt()).toBe('decrypt by light')
    light.fail(code, 'decrypt')
    expect(await outcomeOf(decrypt())).toBe(code)
  })

  test('bad bytes are final at the first answer', async () => {
    await met(heavy, light)
    heavy.fail('ERR_DECRYPTION_FAILED', 'decrypt')
    expect(await outcomeOf(decrypt())).toBe('ERR_DECRYPTION_FAILED')
    expect(light.count('decrypt')).toBe(0)
    expect(heavy.isUp).toBe(true)
  })

  test.each(['OK', 'ERR_DECRYPTION_FAILED'] as const)(
    'never comes from a token that shows another KEK under the same name, though it would answer %s',
    async (wouldAnswer) => {
      await met(heavy, light)
      heavy.kek = kekOf('another')
      await ask(identify)
      if (wouldAnswer !== 'OK') heavy.fail(wouldAnswer, 'decrypt')
      expect(await decrypt()).toBe('decrypt by light')
      light.fail('ERR_BACKEND_UNAVAILABLE')
      expect(await outcomeOf(decrypt())).toBe('ERR_BACKEND_UNAVAILABLE')
      expect(heavy.count('decrypt')).toBe(0)
    },
  )

  test('opens before the tokens have shown a KEK, and not after they were closed', async () => {
    expect(await decrypt()).toBe('decrypt by heavy')
    await group.close()
    expect(await outcomeOf(decrypt())).toBe('ERR_SHUTTING_DOWN')
  })
})

describe('a token that was set aside', () => {
  test('is looked at in the background, at growing distances up to 5 s, and is back with its answer', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await ask(unwrap)
    heavy.count()
    await clock.advance(250)
    expect(heavy.count('identify')).toBe(1)
    await clock.advance(60_000)
    const looks = heavy.count('identify')
    expect(looks).toBeGreaterThanOrEqual(12)
    expect(looks).toBeLessThanOrEqual(32)
    heavy.mend()
    await clock.advance(5000)
    expect(heavy.health).toEqual([false, true, false, true])
    const told = ['token set aside', 'token is back']
    expect(log.lines.map(({ text }) => text).filter((text) => told.includes(text))).toEqual(told)
    expect(log.lines.at(-1)?.fields).toEqual({ token: 'heavy' })
    expect(await ask(unwrap)).toBe('unwrap by heavy')
  })

  test('no call waits for a look', async () => {
    await met(heavy, light)
    heavy.hang()
    const first = ask(unwrap)
    await clock.advance(500)
    await first
    await clock.advance(250)
    expect(heavy.asked.at(-1)).toBe('identify')
    expect(await ask(unwrap)).toBe('unwrap by light')
    expect(await ask(wrap)).toBe('wrap by light')
  })

  test('is told again when its reason becomes another', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await ask(unwrap)
    await clock.advance(5000)
    heavy.fail('ERR_LOGIN_REFUSED')
    await clock.advance(20_000)
    const codes = log.lines
      .filter(({ text }) => text === 'token set aside')
      .map(({ fields }) => fields['code'])
    expect(codes).toEqual(['ERR_BACKEND_UNAVAILABLE', 'ERR_LOGIN_REFUSED'])
  })

  test('and that fails at work though it answers looks, comes back less and less often', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'unwrap')
    for (let i = 0; i < 600; i++) {
      expect(await ask(unwrap)).toBe('unwrap by light')
      await clock.advance(100)
      await ask(identify)
    }
    const failures = heavy.count('unwrap')
    expect(failures).toBeGreaterThanOrEqual(12)
    expect(failures).toBeLessThanOrEqual(32)
    // Once it has worked, the first pause is the short one again.
    heavy.mend()
    await clock.advance(5000)
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'unwrap')
    await ask(unwrap)
    expect(heavy.isUp).toBe(false)
    await clock.advance(250)
    expect(heavy.isUp).toBe(true)
  })

  test('since it could not wrap, is not back before it can', async () => {
    await met(heavy, light)
    heavy.canWrap = false
    expect(await ask(wrap)).toBe('wrap by light')
    await clock.advance(60_000)
    expect(heavy.isUp).toBe(false)
    heavy.canWrap = true
    await clock.advance(5000)
    expect(heavy.isUp).toBe(true)
  })

  test.each(['ERR_ACCESS_DENIED', 'ERR_KEY_UNUSABLE'] as const)(
    'since it answers %s when it should seal, opens all the same, and is not back before it can seal',
    async (code) => {
      heavy.sealingFails = code
      light.sealingFails = code
      expect(await outcomeOf(ask(identify))).toBe(code)
      await settled()
      expect([heavy.isUp, light.isUp]).toEqual([false, false])
      for (let i = 0; i < 3; i++) {
        await clock.advance(5000)
        expect(await ask(unwrap)).toBe('unwrap by heavy')
      }
      expect(heavy.isUp).toBe(false)
      expect(log.texts('warn').filter((text) => text === 'token set aside')).toHaveLength(2)
      heavy.sealingFails = undefined
      await clock.advance(5000)
      expect([heavy.isUp, light.isUp]).toEqual([true, false])
      expect(await ask(wrap)).toBe('wrap by heavy')
    },
  )

  test('is asked how it wraps only for one who seals, or since it could not', async () => {
    await ask(show)
    await settled()
    await ask(unwrap)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    await ask(show)
    await clock.advance(20_000)
    heavy.mend()
    await clock.advance(5000)
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
    expect([...heavy.askedToSeal, ...light.askedToSeal]).not.toContain(true)
    await ask(identify)
    expect([heavy.askedToSeal.at(-1), light.askedToSeal.at(-1)]).toEqual([true, true])
  })

  test('on which a key only opens, stays up: it is not asked to wrap', async () => {
    heavy.canWrap = false
    light.canWrap = false
    await met(heavy, light)
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    expect([heavy.isUp, light.isUp]).toEqual([true, true])
  })

  test('is back at once when it answers a call for want of others', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE')
    light.fail('ERR_BACKEND_UNAVAILABLE')
    expect(await outcomeOf(ask(unwrap))).toBe('ERR_BACKEND_UNAVAILABLE')
    light.mend()
    expect(await ask(unwrap)).toBe('unwrap by light')
    expect([heavy.isUp, light.isUp]).toEqual([false, true])
  })

  test('and was taken back by a call stays up when a look that began before fails', async () => {
    await met(heavy, light)
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'unwrap')
    await ask(unwrap)
    heavy.mend()
    heavy.hang()
    await clock.advance(250)
    heavy.hangNoMore()
    light.fail('ERR_BACKEND_UNAVAILABLE')
    expect(await ask(unwrap)).toBe('unwrap by heavy')
    heavy.fail('ERR_BACKEND_UNAVAILABLE', 'identify')
    heavy.release()
    await settled()
    expect(heavy.isUp).toBe(true)
  })

  test('one that nobody asks is looked at whenever the probe asks for the KEK', async () => {
    await met(heavy, light)
    light.fail('ERR_BACKEND_UNAVAILABLE')
    await ask(unwrap)
    expect(light.isUp).toBe(true)
    await ask(identify)
    await settled()
    expect([heavy.isUp, light.isUp]).toEqual([true, false])
  })
})

test('closing closes every token and ends every look; twice does no harm', async () => {
  await met(heavy, light)
  heavy.fail('ERR_BACKEND_UNAVAILABLE')
  await ask(unwrap)
  light.hang()
  expect(clock.sleepers).toBe(1)
  await group.close()
  await group.close()
  await settled()
  expect([heavy.isClosed, light.isClosed, clock.sleepers]).toEqual([true, true, 0])
  expect(await outcomeOf(ask(unwrap))).toBe('ERR_SHUTTING_DOWN')
})
