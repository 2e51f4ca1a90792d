/** Whether a failing request brings the next probe forward, and why that cannot become a storm. */
import { describe, expect, test } from 'vitest'
import { outcomeOf } from '../doubles/outcome.js'
import { migrating, run } from '../doubles/running_probe.js'

describe('hurry', () => {
  test('a request that fails for the backend brings the next round forward', async () => {
    const { core, roundsMs } = await run({ dek: 'fresh' })
    await core.clock.advance(10_000)
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_BACKEND_UNREACHABLE')
    await core.clock.advance(0)
    expect(roundsMs).toEqual([0, 10_000])
    expect(core.health.report().ready).toBe(false)
  })

  test('a request that fails for its own data does not', async () => {
    const { core, roundsMs } = await run()
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    await core.clock.advance(10_000)
    const bad = Uint8Array.from(ciphertext)
    bad[100]! ^= 1
    expect(await outcomeOf(core.decrypt(bad))).toBe('ERR_DECRYPTION_FAILED')
    await core.clock.advance(10_000)
    expect(roundsMs).toEqual([0])
  })

  test('a storm of failing requests does not become a storm of probes', async () => {
    const { core, roundsMs, olds, values } = await migrating()
    olds[0].fail('any', 'ERR_BACKEND_UNREACHABLE')
    for (let i = 0; i < 1000; i += 1) {
      expect(await outcomeOf(core.decrypt(values[0]!.ciphertext))).toBe('ERR_BACKEND_UNREACHABLE')
      await core.clock.advance(10)
    }
    expect(roundsMs.length).toBeGreaterThan(1)
    expect(roundsMs.length).toBeLessThanOrEqual(1 + 10_000 / 250)
  })

  test('while the primary fails, requests do not shorten the pauses', async () => {
    const { core, roundsMs } = await run({ dek: 'fresh' })
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    await core.clock.advance(30_000)
    for (let i = 0; i < 300; i += 1) {
      await outcomeOf(core.encrypt(Buffer.from('value')))
      await core.clock.advance(10)
    }
    expect(roundsMs).toEqual([0, 30_000, 30_250, 30_750, 31_750, 32_750])
  })
})
