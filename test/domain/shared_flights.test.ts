/** One renewal and one unwrap for all who wait, and what happens when some of them leave. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { SingleFlight } from '../../src/domain/single_flight.js'
import { KmsError } from '../../src/ports/errors.js'
import { buildCore, buildProvedCore, type Core } from '../doubles/core.js'
import { ManualClock, settled } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'
import { dissect } from '../doubles/reference_envelope.js'

const WAITERS = 64
const times = async <T>(count: number, call: () => Promise<T>) =>
  Promise.all(Array.from({ length: count }, call))

/** A core that starts with an empty cache over the same KEK, and values under one DEK of the first core. */
async function cold(): Promise<{ core: Core; values: { plaintext: Buffer; ciphertext: Uint8Array }[] }> {
  const warm = await buildProvedCore()
  const values = await times(3, async () => {
    const plaintext = randomBytes(32)
    return { plaintext, ciphertext: (await warm.encrypt(plaintext)).ciphertext }
  })
  const core = buildCore({}, { clock: warm.clock, primary: warm.primary })
  for (const operation of ['wrap', 'unwrap', 'currentKeyId'] as const) core.primary.calls[operation] = 0
  return { core, values }
}

describe('renewal', () => {
  test('64 requests that find no DEK share one wrap and one verification', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 1000 })
    await core.clock.advance(1000)
    const sealed = await times(WAITERS, async () => core.encrypt(Buffer.alloc(32)))
    expect(
      new Set(sealed.map(({ ciphertext }) => Buffer.from(dissect(ciphertext)!.wrapped).toString('hex'))).size,
    ).toBe(1)
    expect(core.primary.calls).toMatchObject({ wrap: 2, unwrap: 2 })
  })

  test('64 requests share one failure and its retries', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 1000 })
    await core.clock.advance(1000)
    core.primary.fail('wrap', 'ERR_BACKEND_UNREACHABLE')
    const all = times(WAITERS, async () => outcomeOf(core.encrypt(Buffer.alloc(32))))
    await core.clock.advance(2500)
    expect(new Set(await all)).toEqual(new Set(['ERR_BACKEND_UNREACHABLE']))
    expect(core.primary.calls.wrap).toBe(1 + 3)
  })
})

describe('unwrap', () => {
  test('64 requests for one value share one unwrap', async () => {
    const { core, values } = await cold()
    const opened = await times(WAITERS, async () => core.decrypt(values[0]!.ciphertext))
    expect(opened.every((plaintext) => values[0]!.plaintext.equals(plaintext))).toBe(true)
    expect(core.primary.totalCalls).toBe(1)
  })

  test('requests for different values under one DEK share one unwrap', async () => {
    const { core, values } = await cold()
    const opened = await Promise.all(values.map(async ({ ciphertext }) => core.decrypt(ciphertext)))
    expect(opened.map((bytes) => Buffer.from(bytes))).toEqual(values.map(({ plaintext }) => plaintext))
    expect(core.primary.totalCalls).toBe(1)
  })

  test('100,000 replays of one value cost one unwrap in all', async () => {
    const { core, values } = await cold()
    for (let batch = 0; batch < 100; batch += 1) {
      await times(1000, async () => core.decrypt(values[0]!.ciphertext))
    }
    expect(core.primary.totalCalls).toBe(1)
  })

  test('a value that does not authenticate fails alone: those who wait with it get theirs', async () => {
    const { core, values } = await cold()
    const bad = Uint8Array.from(values[0]!.ciphertext)
    bad[bad.length - 1]! ^= 1
    const all = [bad, values[1]!.ciphertext, values[2]!.ciphertext]
    const outcomes = await Promise.all(all.map(async (bytes) => outcomeOf(core.decrypt(bytes))))
    expect(outcomes).toEqual(['ERR_DECRYPTION_FAILED', 'OK', 'OK'])
    expect(core.primary.totalCalls).toBe(1)
  })
})

test('a forged key id before the same wrapped DEK takes no other request along', async () => {
  const { core, values } = await cold()
  const { ciphertext, plaintext } = values[0]!
  const forged = Uint8Array.from(ciphertext)
  const lastOfKeyId = 6 + core.primary.keyId.length
  forged[lastOfKeyId] = forged[lastOfKeyId] === 0x61 ? 0x62 : 0x61
  const first = outcomeOf(core.decrypt(forged))
  const second = core.decrypt(ciphertext)
  expect(await first).toBe('ERR_DECRYPTION_FAILED')
  expect(await second).toEqual(plaintext)
})

describe('a waiter that leaves', () => {
  test('leaves at its own deadline and cancels nobody, even when it began the flight', async () => {
    const { core, values } = await cold()
    const request = { ciphertext: values[0]!.ciphertext }
    const release = core.primary.hold('unwrap')
    const hasty = outcomeOf(core.service.decrypt(request, core.within(100)))
    await settled()
    const patient = times(WAITERS, async () => outcomeOf(core.service.decrypt(request, core.within(2000))))
    await core.clock.advance(100)
    expect(await hasty).toBe('ERR_DEADLINE_EXCEEDED')
    await core.clock.advance(500)
    await release()
    expect(new Set(await patient)).toEqual(new Set(['OK']))
    expect(core.primary.totalCalls).toBe(1)
  })

  test('leaves at once when its caller goes away, and cancels nobody', async () => {
    const { core, values } = await cold()
    const request = { ciphertext: values[0]!.ciphertext }
    const release = core.primary.hold('unwrap')
    const caller = new AbortController()
    const gone = outcomeOf(core.service.decrypt(request, { ...core.within(), signal: caller.signal }))
    const patient = outcomeOf(core.service.decrypt(request, core.within()))
    await settled()
    caller.abort()
    expect(await gone).toBe('ERR_CANCELLED')
    await release()
    expect(await patient).toBe('OK')
  })

  test('gets the reason of its own signal when that is an error of ours', async () => {
    const { core, values } = await cold()
    core.primary.hold('unwrap')
    const caller = new AbortController()
    const options = { ...core.within(), signal: caller.signal }
    const gone = outcomeOf(core.service.decrypt({ ciphertext: values[0]!.ciphertext }, options))
    await settled()
    caller.abort(new KmsError('ERR_SHUTTING_DOWN', 'stopping'))
    expect(await gone).toBe('ERR_SHUTTING_DOWN')
  })

  test('that has left before it asked costs nothing', async () => {
    const { core, values } = await cold()
    const options = { ...core.within(), signal: AbortSignal.abort() }
    expect(await outcomeOf(core.service.decrypt({ ciphertext: values[0]!.ciphertext }, options))).toBe(
      'ERR_CANCELLED',
    )
    expect(core.primary.totalCalls).toBe(0)
  })

  test('when all have left the flight still ends in time, and the next request begins another', async () => {
    const { core, values } = await cold()
    const request = { ciphertext: values[0]!.ciphertext }
    const release = core.primary.hold('unwrap')
    const all = times(WAITERS, async () => outcomeOf(core.service.decrypt(request, core.within(50))))
    await core.clock.advance(50)
    expect(new Set(await all)).toEqual(new Set(['ERR_DEADLINE_EXCEEDED']))
    await core.clock.advance(2500)
    expect(core.clock.sleepers).toBe(0)
    await release()
    expect(await outcomeOf(core.service.decrypt(request, core.within()))).toBe('OK')
  })

  test('no request takes longer than totalTimeout when the backend never answers', async () => {
    const { core, values } = await cold()
    core.primary.hold('unwrap')
    let outcome = 'pending'
    void outcomeOf(core.service.decrypt({ ciphertext: values[0]!.ciphertext }, core.within(60_000))).then(
      (result) => (outcome = result),
    )
    await core.clock.advance(2499)
    expect(outcome).toBe('pending')
    await core.clock.advance(1)
    expect(outcome).toBe('ERR_DEADLINE_EXCEEDED')
  })
})

describe('a flight on its own', () => {
  test('goes on when its waiter leaves, for the one who comes next', async () => {
    const flights = new SingleFlight<string>(new ManualClock(), 1000)
    const waiter = new AbortController()
    let land!: (result: string) => void
    const work = async () => new Promise<string>((resolve) => (land = resolve))
    const first = outcomeOf(flights.join('name', { signal: waiter.signal }, work))
    await settled()
    waiter.abort()
    expect(await first).toBe('ERR_CANCELLED')
    const second = flights.join('name', {}, async () => Promise.resolve('another flight'))
    land('the first flight')
    expect(await second).toBe('the first flight')
    expect(await flights.join('name', {}, async () => Promise.resolve('another flight'))).toBe(
      'another flight',
    )
  })

  test('that fails when nobody listens any more troubles nobody', async () => {
    const flights = new SingleFlight<string>(new ManualClock(), 1000)
    const failing = async () => Promise.reject(new KmsError('ERR_INTERNAL', 'scripted'))
    const outcome = await outcomeOf(flights.join('name', { signal: AbortSignal.abort() }, failing))
    expect(outcome).toBe('ERR_CANCELLED')
    // An unhandled rejection would end the run.
    await settled()
  })
})
