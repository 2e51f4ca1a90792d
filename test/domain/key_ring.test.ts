/** Which of several keys is asked for what, and which are left alone. */
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../src/ports/errors.js'
import { keyId } from '../../src/ports/key_id.js'
import { buildCore, buildProvedCore } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'

/** A value that a key has sealed in another life, in which it was primary. */
async function valueOf(wrapper: FaultyKeyWrapper, clock: ManualClock): Promise<Uint8Array> {
  const { ciphertext } = await (
    await buildProvedCore({}, { clock, primary: wrapper })
  ).encrypt(Buffer.from(wrapper.keyId))
  return ciphertext
}

/** A proved primary and keys that only open; counts begin at zero. */
async function ring(names: readonly { name: string; backend?: string; isSeen?: boolean }[]) {
  const clock = new ManualClock()
  const olds = names.map(({ name, ...options }) => new FaultyKeyWrapper(name, clock, options))
  const core = await buildProvedCore({ maxRetries: 0 }, { clock, decryptOnly: olds })
  const reset = () => {
    for (const { calls } of [core.primary, ...olds])
      Object.assign(calls, { wrap: 0, unwrap: 0, currentKeyId: 0 })
  }
  reset()
  return { core, clock, olds, reset }
}

const foreign = (backend: string) => keyId(`${backend}:${'f'.repeat(26)}.${'g'.repeat(26)}`)

describe('a key id that no key made', () => {
  test('is refused without a call when every key has seen its KEK', async () => {
    const { core, olds } = await ring([{ name: 'old', isSeen: true }])
    const stranger = await valueOf(new FaultyKeyWrapper('stranger', core.clock), core.clock)
    expect(await outcomeOf(core.decrypt(stranger))).toBe('ERR_KEY_UNKNOWN')
    expect([core.primary.totalCalls, olds[0]!.totalCalls]).toEqual([0, 0])
  })

  test('is refused without a call when the only key that cannot say no is of another backend', async () => {
    const { core, olds } = await ring([{ name: 'old', backend: 'pkcs11' }])
    const wrapped = { keyId: foreign('local'), bytes: Buffer.of(1) }
    expect(await outcomeOf(core.keys.unwrap(wrapped, core.within()))).toBe('ERR_KEY_UNKNOWN')
    expect([core.primary.totalCalls, olds[0]!.totalCalls]).toEqual([0, 0])
  })

  test('makes a key that has not seen its KEK look once, and never again', async () => {
    const { core, olds } = await ring([{ name: 'old' }])
    const wrapped = { keyId: foreign('local'), bytes: Buffer.of(1) }
    for (let i = 0; i < 5; i += 1) {
      expect(await outcomeOf(core.keys.unwrap(wrapped, core.within()))).toBe('ERR_KEY_UNKNOWN')
    }
    expect(olds[0]!.calls).toEqual({ wrap: 0, unwrap: 1, currentKeyId: 0, decryptNative: 0 })
    expect(core.primary.totalCalls).toBe(0)
  })

  test('is not called unknown while a key that could have made it cannot be reached', async () => {
    const { core, olds } = await ring([{ name: 'old' }, { name: 'older' }])
    olds[1]!.fail('any', 'ERR_BACKEND_UNREACHABLE')
    const wrapped = { keyId: foreign('local'), bytes: Buffer.of(1) }
    expect(await outcomeOf(core.keys.unwrap(wrapped, core.within()))).toBe('ERR_BACKEND_UNREACHABLE')
  })
})

describe('a value of a key that only opens', () => {
  test('is opened by that key alone', async () => {
    const { core, clock, olds, reset } = await ring([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
    const values = await Promise.all(olds.map(async (old) => valueOf(old, clock)))
    reset()
    expect(await core.decrypt(values[1]!)).toEqual(Buffer.from(olds[1]!.keyId))
    expect(olds.map(({ totalCalls }) => totalCalls)).toEqual([0, 1, 0])
    expect(core.primary.totalCalls).toBe(0)
  })

  test('opens though another key that has not seen its KEK is out', async () => {
    const clock = new ManualClock()
    const [a, b] = [new FaultyKeyWrapper('a', clock), new FaultyKeyWrapper('b', clock)]
    const value = await valueOf(b, clock)
    // A process that has just started: neither knows its KEK yet.
    for (const wrapper of [a, b]) wrapper.recognizes = () => 'unknown'
    a.fail('any', 'ERR_BACKEND_UNREACHABLE')
    const core = await buildProvedCore({ maxRetries: 0 }, { clock, decryptOnly: [a, b] })
    expect(await core.decrypt(value)).toEqual(Buffer.from(b.keyId))
  })

  test('opens at once though another key that has not seen its KEK hangs', async () => {
    const clock = new ManualClock()
    const [a, b] = [new FaultyKeyWrapper('a', clock), new FaultyKeyWrapper('b', clock)]
    const value = await valueOf(b, clock)
    for (const wrapper of [a, b]) wrapper.recognizes = () => 'unknown'
    a.hold('unwrap')
    const core = await buildProvedCore({}, { clock, decryptOnly: [a, b] })
    expect(await core.decrypt(value)).toEqual(Buffer.from(b.keyId))
  })

  test.each(['ERR_KEY_UNKNOWN', 'ERR_KEY_NOT_FOUND', 'ERR_BACKEND_UNREACHABLE'] as const)(
    'opens by a second holder of its KEK when the first answers %s',
    async (code) => {
      const clock = new ManualClock()
      const [a, b] = [new FaultyKeyWrapper('a', clock), new FaultyKeyWrapper('b', clock)]
      const value = await valueOf(b, clock)
      for (const wrapper of [a, b]) wrapper.recognizes = () => 'yes'
      a.fail('unwrap', code)
      const core = await buildProvedCore({ maxRetries: 0 }, { clock, decryptOnly: [a, b] })
      expect(await core.decrypt(value)).toEqual(Buffer.from(b.keyId))
    },
  )

  test('is not taken to a second holder of its KEK when the first says that the data is bad', async () => {
    const clock = new ManualClock()
    const [a, b] = [new FaultyKeyWrapper('a', clock), new FaultyKeyWrapper('b', clock)]
    const value = await valueOf(b, clock)
    for (const wrapper of [a, b]) wrapper.recognizes = () => 'yes'
    a.fail('unwrap', 'ERR_DECRYPTION_FAILED')
    const core = await buildProvedCore({ maxRetries: 0 }, { clock, decryptOnly: [a, b] })
    b.calls.unwrap = 0
    expect(await outcomeOf(core.decrypt(value))).toBe('ERR_DECRYPTION_FAILED')
    expect(b.calls.unwrap).toBe(0)
  })

  test('opens after each of many rotations of its KEK', async () => {
    const { core, clock, olds } = await ring([{ name: 'old' }])
    for (let version = 0; version < 5; version += 1) {
      const value = await valueOf(olds[0]!, clock)
      expect(await core.decrypt(value)).toEqual(Buffer.from(olds[0]!.keyId))
      olds[0]!.rotate()
    }
  })

  test('cannot be sealed anew: only the primary wraps', async () => {
    const { core, olds } = await ring([{ name: 'old' }])
    for (let i = 0; i < 3; i += 1) await core.sealing.renew(core.within())
    expect(core.primary.calls.wrap).toBe(3)
    expect(olds[0]!.calls.wrap).toBe(0)
  })
})

test('closing closes every key, even when one of them fails to', async () => {
  const clock = new ManualClock()
  const olds = [new FaultyKeyWrapper('a', clock), new FaultyKeyWrapper('b', clock)]
  const core = buildCore({}, { clock, decryptOnly: olds })
  core.primary.close = async () => {
    throw new KmsError('ERR_BACKEND_UNAVAILABLE', 'cannot close')
  }
  await outcomeOf(core.keys.close())
  expect(olds.map(({ closes }) => closes)).toEqual([1, 1])
})
