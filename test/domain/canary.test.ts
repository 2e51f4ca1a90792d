/** How bad data is told from a bad device when the backend's answer does not tell. */
import { expect, test } from 'vitest'
import { canaried } from '../../src/domain/canaried_key_wrapper.js'
import { errorCodes, type KmsErrorCode } from '../../src/ports/errors.js'
import type { WrappedDek } from '../../src/ports/key_wrapper.js'
import { buildProvedCore } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock, settled } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'

async function canariedWrapper() {
  const clock = new ManualClock()
  const inner = new FaultyKeyWrapper('kek', clock)
  inner.ambiguous = true
  const wrapper = canaried(inner, clock, 1000)
  const options = { deadlineMs: clock.nowMs() + 60_000 }
  const good = await wrapper.wrap(Buffer.alloc(32, 7), options)
  const bad: WrappedDek = {
    keyId: good.keyId,
    bytes: good.bytes.map((byte, i) => (i === 20 ? byte ^ 1 : byte)),
  }
  return { clock, inner, wrapper, options, good, bad }
}

test('without a known-good DEK the ambiguous error stands, and nothing else is asked', async () => {
  const { inner, wrapper, options, bad } = await canariedWrapper()
  expect(wrapper.knownGood).toBeUndefined()
  expect(await outcomeOf(wrapper.unwrap(bad, options))).toBe('ERR_UNWRAP_AMBIGUOUS')
  expect(inner.calls.unwrap).toBe(1)
  expect(wrapper.knownGood).toBeUndefined()
})

test('a known-good DEK that opens means that the data is bad', async () => {
  const { inner, wrapper, options, good, bad } = await canariedWrapper()
  await wrapper.unwrap(good, options)
  expect(wrapper.knownGood).toBe(good)
  expect(await outcomeOf(wrapper.unwrap(bad, options))).toBe('ERR_DECRYPTION_FAILED')
  expect(inner.calls.unwrap).toBe(3)
  expect(wrapper.knownGood).toBe(good)
})

test.each(['ERR_UNWRAP_AMBIGUOUS', 'ERR_BACKEND_UNREACHABLE', 'ERR_KEY_NOT_FOUND'] as const)(
  'a known-good DEK that fails with %s means that the backend is bad',
  async (code) => {
    const { inner, wrapper, options, good, bad } = await canariedWrapper()
    await wrapper.unwrap(good, options)
    const release = inner.hold('unwrap')
    const outcome = outcomeOf(wrapper.unwrap(bad, options))
    await settled()
    inner.fail('unwrap', 'ERR_UNWRAP_AMBIGUOUS', 1)
    inner.fail('unwrap', code)
    await release()
    expect(await outcome).toBe('ERR_BACKEND_UNAVAILABLE')
  },
)

test('a known-good DEK that hangs is a fault of the backend too, within the time limit', async () => {
  const { clock, inner, wrapper, options, good, bad } = await canariedWrapper()
  await wrapper.unwrap(good, options)
  inner.fail('unwrap', 'ERR_UNWRAP_AMBIGUOUS', 1)
  const first = outcomeOf(wrapper.unwrap(bad, options))
  inner.hold('unwrap')
  await clock.advance(1000)
  expect(await first).toBe('ERR_DEADLINE_EXCEEDED')
})

test.each((Object.keys(errorCodes) as KmsErrorCode[]).filter((code) => code !== 'ERR_UNWRAP_AMBIGUOUS'))(
  '%s passes as it is, without a canary',
  async (code) => {
    const { inner, wrapper, options, good } = await canariedWrapper()
    await wrapper.unwrap(good, options)
    inner.fail('unwrap', code)
    expect(await outcomeOf(wrapper.unwrap(good, options))).toBe(code)
    expect(inner.calls.unwrap).toBe(2)
  },
)

test('64 bad values at once share one canary', async () => {
  const core = await buildProvedCore()
  const { primary } = core
  primary.ambiguous = true
  const { ciphertext } = await core.encrypt(Buffer.from('value'))
  const before = primary.calls.unwrap
  const release = primary.hold('unwrap')
  const all = Array.from({ length: 64 }, async (_, i) => {
    const bad = Uint8Array.from(ciphertext)
    // Within the wrapped DEK: behind magic, version, suite, key id and both lengths.
    bad[9 + primary.keyId.length + (i % 60)]! ^= 1 + (i >> 5)
    return outcomeOf(core.decrypt(bad))
  })
  await settled()
  await release()
  expect(new Set(await Promise.all(all))).toEqual(new Set(['ERR_DECRYPTION_FAILED']))
  expect(primary.calls.unwrap - before).toBe(64 + 1)
  expect(core.health.report().ready).toBe(true)
})

test('64 requests for one bad value share one unwrap and one canary', async () => {
  const core = await buildProvedCore()
  core.primary.ambiguous = true
  const bad = Uint8Array.from((await core.encrypt(Buffer.from('value'))).ciphertext)
  bad[100]! ^= 1
  const before = core.primary.calls.unwrap
  const all = await Promise.all(Array.from({ length: 64 }, async () => outcomeOf(core.decrypt(bad))))
  expect(new Set(all)).toEqual(new Set(['ERR_DECRYPTION_FAILED']))
  expect(core.primary.calls.unwrap - before).toBe(2)
})

test('a bad value while the device is dying is the fault of the device, which is tried again', async () => {
  const core = await buildProvedCore()
  core.primary.ambiguous = true
  const bad = Uint8Array.from((await core.encrypt(Buffer.from('value'))).ciphertext)
  bad[100]! ^= 1
  const before = core.primary.calls.unwrap
  core.primary.fail('unwrap', 'ERR_UNWRAP_AMBIGUOUS')
  const outcome = outcomeOf(core.decrypt(bad))
  await core.clock.advance(3000)
  expect(await outcome).toBe('ERR_BACKEND_UNAVAILABLE')
  expect(core.primary.calls.unwrap - before).toBeGreaterThanOrEqual(3 * 2)
})
