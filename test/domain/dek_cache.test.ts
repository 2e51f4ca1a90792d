/** How long and how many opened DEKs are held, and what never gets in. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Dek } from '../../src/domain/dek.js'
import { DekCache } from '../../src/domain/dek_cache.js'
import { sealEnvelope } from '../../src/domain/envelope.js'
import { suitesByName } from '../../src/domain/cipher_suites.js'
import type { Clock } from '../../src/ports/clock.js'
import { keyId } from '../../src/ports/key_id.js'
import type { WrappedDek } from '../../src/ports/key_wrapper.js'
import { buildCore, buildProvedCore, type CoreSettings } from '../doubles/core.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'
import { dissect, referenceSeal } from '../doubles/reference_envelope.js'

const KEY_ID = keyId(`local:${'a'.repeat(26)}.${'b'.repeat(26)}`)
const newDek = (
  wrapped: WrappedDek = { keyId: KEY_ID, bytes: randomBytes(61) },
  clock: Clock = new ManualClock(),
) => new Dek(randomBytes(32), wrapped, clock.nowMs())

/** A core with an empty cache, and a value that it has not seen. */
async function cold(settings: Partial<CoreSettings> = {}) {
  const warm = await buildProvedCore()
  const { ciphertext } = await warm.encrypt(Buffer.from('value'))
  const core = buildCore(settings, { clock: warm.clock, primary: warm.primary })
  core.primary.calls.unwrap = 0
  return { core, ciphertext, unwraps: () => core.primary.calls.unwrap }
}

describe('what does not authenticate is not held', () => {
  test('a wrapped DEK that opens, in an envelope that does not', async () => {
    const { core, ciphertext, unwraps } = await cold()
    const bad = Uint8Array.from(ciphertext)
    bad[bad.length - 1]! ^= 1
    for (let i = 1; i <= 3; i += 1) {
      expect(await outcomeOf(core.decrypt(bad))).toBe('ERR_DECRYPTION_FAILED')
      expect(unwraps()).toBe(i)
    }
    expect(core.metrics.events.dekCacheSize).toEqual([])
  })

  test('a wrapped DEK of ours in an envelope that another DEK has sealed', async () => {
    const { core, ciphertext, unwraps } = await cold()
    const wrapped = { keyId: core.primary.keyId, bytes: dissect(ciphertext)!.wrapped }
    const forged = sealEnvelope(newDek(wrapped), suitesByName.A256GCM, Buffer.from('forged'))
    expect(await outcomeOf(core.decrypt(forged))).toBe('ERR_DECRYPTION_FAILED')
    expect(await core.decrypt(ciphertext)).toEqual(Buffer.from('value'))
    expect(unwraps()).toBe(2)
    expect(await outcomeOf(core.decrypt(forged))).toBe('ERR_DECRYPTION_FAILED')
    expect(unwraps()).toBe(2)
  })

  test('a key that is not 32 bytes long, even where an envelope authenticates under it', async () => {
    const { core, ciphertext } = await cold()
    const short = randomBytes(16)
    const { wrapped, salt } = dissect(ciphertext)!
    const recipe = { suite: 1, keyId: core.primary.keyId, wrapped, dek: short, salt } as const
    const { bytes } = referenceSeal({ ...recipe, iv: randomBytes(12), plaintext: Buffer.from('value') })
    core.primary.unwrap = async () => Uint8Array.from(short)
    expect(await outcomeOf(core.decrypt(bytes))).toBe('ERR_DECRYPTION_FAILED')
    expect(core.metrics.events.dekCacheSize).toEqual([])
  })
})

describe('time', () => {
  test('a DEK is held until a random moment in the last tenth of the timeout, and never beyond it', () => {
    const clock = new ManualClock()
    const ends = new Set<number>()
    for (let i = 0; i < 400; i += 1) {
      const cache = new DekCache({ timeoutMs: 100, maxEntries: 10 }, clock)
      const dek = newDek(undefined, clock)
      cache.put(dek)
      let heldMs = 0
      for (; cache.get(dek.wrapped) !== undefined; heldMs += 1) clock.suspend(1)
      expect(heldMs).toBeGreaterThanOrEqual(90)
      expect(heldMs).toBeLessThanOrEqual(100)
      ends.add(heldMs)
    }
    expect(ends.size).toBeGreaterThan(5)
  })

  test('neither use nor putting it again prolongs it', () => {
    const clock = new ManualClock()
    const cache = new DekCache({ timeoutMs: 1000, maxEntries: 10 }, clock)
    const dek = newDek(undefined, clock)
    cache.put(dek)
    for (let i = 0; i < 8; i += 1) {
      clock.suspend(100)
      expect(cache.get(dek.wrapped)).toBe(dek)
      cache.put(dek)
    }
    clock.suspend(200)
    expect(cache.get(dek.wrapped)).toBeUndefined()
  })

  test('what is sealed can be opened through an outage, however old its DEK', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 3_600_000, dekCacheTimeoutMs: 60_000 })
    await core.encrypt(Buffer.from('value'))
    core.clock.suspend(120_000)
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    expect(await outcomeOf(core.decrypt(ciphertext))).toBe('OK')
  })

  test('time that the machine slept counts', async () => {
    const { core, ciphertext, unwraps } = await cold({ dekCacheTimeoutMs: 60_000 })
    await core.decrypt(ciphertext)
    core.clock.suspend(86_400_000)
    await core.decrypt(ciphertext)
    expect(unwraps()).toBe(2)
  })

  test('a timeout of 0 keeps nothing', async () => {
    const { core, ciphertext, unwraps } = await cold({ dekCacheTimeoutMs: 0 })
    for (let i = 1; i <= 5; i += 1) {
      expect(await outcomeOf(core.decrypt(ciphertext))).toBe('OK')
      expect(unwraps()).toBe(i)
    }
    expect(core.metrics.events.dekCacheSize.every(([size]) => size === 0)).toBe(true)
  })

  test('under steady load a DEK is unwrapped at most once per lifetime', async () => {
    const { core, ciphertext, unwraps } = await cold({ dekCacheTimeoutMs: 1000 })
    for (let i = 0; i < 1000; i += 1) {
      await Promise.all([core.decrypt(ciphertext), core.decrypt(ciphertext)])
      await core.clock.advance(10)
    }
    expect(unwraps()).toBeGreaterThanOrEqual(10)
    expect(unwraps()).toBeLessThanOrEqual(12)
  })

  test('sweeping drops what has expired though nobody asks for it', async () => {
    const { core, ciphertext } = await cold({ dekCacheTimeoutMs: 1000 })
    await core.decrypt(ciphertext)
    core.opening.sweep()
    await core.clock.advance(1000)
    core.opening.sweep()
    expect(core.metrics.events.dekCacheSize).toEqual([[1], [1], [0]])
  })
})

describe('number', () => {
  test('never more than its bound are held, and those used last stay', () => {
    const cache = new DekCache({ timeoutMs: 1000, maxEntries: 3 }, new ManualClock())
    const [a, b, c, d] = [newDek(), newDek(), newDek(), newDek()]
    for (const dek of [a, b, c]) cache.put(dek)
    cache.get(a.wrapped)
    cache.put(d)
    expect(cache.size).toBe(3)
    expect([a, b, c, d].map((dek) => cache.get(dek.wrapped) === dek)).toEqual([true, false, true, true])
  })

  test('a flood of DEKs does not grow it', () => {
    const cache = new DekCache({ timeoutMs: 1000, maxEntries: 50 }, new ManualClock())
    for (let i = 0; i < 5000; i += 1) {
      cache.put(newDek())
      expect(cache.size).toBeLessThanOrEqual(50)
    }
  })

  test('a bound of 0 keeps nothing', () => {
    const cache = new DekCache({ timeoutMs: 1000, maxEntries: 0 }, new ManualClock())
    cache.put(newDek())
    expect(cache.size).toBe(0)
  })
})

test('the same wrapped bytes under another key id are another DEK', () => {
  const cache = new DekCache({ timeoutMs: 1000, maxEntries: 3 }, new ManualClock())
  const dek = newDek()
  cache.put(dek)
  const otherId = keyId(`local:${'a'.repeat(26)}.${'c'.repeat(26)}`)
  expect(cache.get({ keyId: otherId, bytes: dek.wrapped.bytes })).toBeUndefined()
  expect(cache.get(dek.wrapped)).toBe(dek)
})

test('what this process has sealed it opens without asking the backend', async () => {
  const core = await buildProvedCore()
  const before = core.primary.totalCalls
  const { ciphertext } = await core.encrypt(Buffer.from('value'))
  expect(await core.decrypt(ciphertext)).toEqual(Buffer.from('value'))
  expect(core.primary.totalCalls).toBe(before)
})
