/** How long and how much one reused DEK seals: never one value over a bound, whatever runs at the same time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildProvedCore, type Core } from '../doubles/core.js'
import { outcomeOf } from '../doubles/outcome.js'
import { dissect } from '../doubles/reference_envelope.js'

/** Which DEK sealed a ciphertext. */
const dekOf = (ciphertext: Uint8Array) => Buffer.from(dissect(ciphertext)!.wrapped).toString('hex')

async function sealAll(core: Core, lengths: readonly number[]) {
  const results = await Promise.all(lengths.map(async (length) => core.encrypt(Buffer.alloc(length), 65_535)))
  return results.map(({ ciphertext }, i) => ({ dek: dekOf(ciphertext), bytes: lengths[i]! }))
}

/** Seals and bytes of each DEK, the most used first. */
function usage(sealed: readonly { dek: string; bytes: number }[]) {
  const used = new Map<string, { seals: number; bytes: number }>()
  for (const { dek, bytes } of sealed) {
    const sum = used.get(dek) ?? { seals: 0, bytes: 0 }
    used.set(dek, { seals: sum.seals + 1, bytes: sum.bytes + bytes })
  }
  return [...used.values()].sort((a, b) => b.seals - a.seals)
}

const seal = async (core: Core) => dekOf((await core.encrypt(Buffer.alloc(32))).ciphertext)

describe('age', () => {
  test('a DEK seals until just before its age is reached and not at it', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 60_000 })
    const first = await seal(core)
    await core.clock.advance(59_999)
    expect(await seal(core)).toBe(first)
    await core.clock.advance(1)
    expect(await seal(core)).not.toBe(first)
    expect(core.primary.calls.wrap).toBe(2)
  })

  test('a DEK grows old while the machine sleeps', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 60_000 })
    const first = await seal(core)
    core.clock.suspend(86_400_000)
    expect(await seal(core)).not.toBe(first)
  })

  test('age counts from the proof, so a slow backend cannot use it up', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 1000 })
    await core.clock.advance(1000)
    core.primary.latencyMs = () => 400
    const sealing = seal(core)
    await core.clock.advance(800)
    const first = await sealing
    await core.clock.advance(999)
    expect(await seal(core)).toBe(first)
    await core.clock.advance(1)
    const renewed = seal(core)
    await core.clock.advance(800)
    expect(await renewed).not.toBe(first)
  })
})

describe('seals', () => {
  test('no DEK seals one value more than its bound when hundreds of requests meet it at once', async () => {
    const core = await buildProvedCore({ dekMaxSeals: 10 })
    const used = usage(await sealAll(core, Array<number>(205).fill(32)))
    expect(used.map(({ seals }) => seals)).toEqual([...Array<number>(20).fill(10), 5])
    expect(core.primary.calls.wrap).toBe(21)
  })

  test('a bound of one gives each value a DEK of its own, and no request fails', async () => {
    const core = await buildProvedCore({ dekMaxSeals: 1 })
    const used = usage(await sealAll(core, Array<number>(40).fill(32)))
    expect(used).toHaveLength(40)
  })
})

describe('bytes', () => {
  test('a value that alone is larger than the bound is refused without a call', async () => {
    const core = await buildProvedCore({ dekMaxBytes: 100 })
    const before = core.primary.totalCalls
    expect(await outcomeOf(core.encrypt(Buffer.alloc(101)))).toBe('ERR_REQUEST_TOO_LARGE')
    expect(core.primary.totalCalls).toBe(before)
    expect(await outcomeOf(core.encrypt(Buffer.alloc(100)))).toBe('OK')
  })

  test('no DEK seals one byte more than its bound', async () => {
    const core = await buildProvedCore({ dekMaxBytes: 96 })
    const used = usage(await sealAll(core, Array<number>(50).fill(32)))
    expect(used.slice(0, -1).every(({ bytes }) => bytes === 96)).toBe(true)
    expect(used.at(-1)?.bytes).toBe(64)
  })
})

test('a DEK at hand seals without a timer and without a call, and is counted all the same', async () => {
  const core = await buildProvedCore({ dekMaxSeals: 3 })
  const first = dekOf((await core.encrypt(Buffer.alloc(32))).ciphertext)
  const before = core.primary.totalCalls
  let sleeps = 0
  const sleep = core.clock.sleep.bind(core.clock)
  core.clock.sleep = async (delayMs, signal) => {
    sleeps += 1
    return sleep(delayMs, signal)
  }
  expect([await seal(core), await seal(core)]).toEqual([first, first])
  expect([sleeps, core.primary.totalCalls - before]).toEqual([0, 0])
  expect(core.publication.dek?.seals).toBe(3)
  expect(await seal(core)).not.toBe(first)
  expect(sleeps).toBeGreaterThan(0)
  expect(core.metrics.events.dekSeals.map(([seals]) => seals)).toEqual([0, 1, 2, 3, 0, 1])
})

test('in any mix of requests, delays and pauses all three bounds hold and no request fails', async () => {
  const bursts = fc.array(
    fc.record({
      lengths: fc.array(fc.nat({ max: 200 }), { minLength: 1, maxLength: 20 }),
      latencyMs: fc.nat({ max: 40 }),
      pauseMs: fc.nat({ max: 700 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  await fc.assert(
    fc.asyncProperty(bursts, async (schedule) => {
      const bounds = { dekMaxAgeMs: 500, dekMaxSeals: 7, dekMaxBytes: 600 }
      const core = await buildProvedCore(bounds)
      const sealed: { dek: string; bytes: number }[] = []
      const firstUseMs = new Map<string, number>()
      const pending: Promise<void>[] = []
      for (const { lengths, latencyMs, pauseMs } of schedule) {
        core.primary.latencyMs = () => latencyMs
        for (const bytes of lengths) {
          const one = core.encrypt(Buffer.alloc(bytes)).then(({ ciphertext }) => {
            const dek = dekOf(ciphertext)
            sealed.push({ dek, bytes })
            const first = firstUseMs.get(dek) ?? core.clock.nowMs()
            firstUseMs.set(dek, first)
            expect(core.clock.nowMs() - first).toBeLessThan(bounds.dekMaxAgeMs)
          })
          pending.push(one)
        }
        await core.clock.advance(pauseMs)
      }
      await core.clock.advance(10_000)
      await Promise.all(pending)
      for (const { seals, bytes } of usage(sealed)) {
        expect(seals).toBeLessThanOrEqual(bounds.dekMaxSeals)
        expect(bytes).toBeLessThanOrEqual(bounds.dekMaxBytes)
      }
    }),
    { numRuns: 150 },
  )
})
