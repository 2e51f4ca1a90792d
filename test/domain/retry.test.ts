/** What is tried again, how often, after which pauses, and until when. */
import { describe, expect, test } from 'vitest'
import { retried } from '../../src/domain/retried_key_wrapper.js'
import type { RetryConfig } from '../../src/ports/config.js'
import { errorCodes, KmsError, type KmsErrorCode } from '../../src/ports/errors.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'

const policy: RetryConfig = {
  maxRetries: 2,
  callTimeoutMs: 1000,
  totalTimeoutMs: 2500,
  initialDelayMs: 50,
  maxDelayMs: 1000,
}

/** A clock that notes how long it was asked to sleep. */
class NotingClock extends ManualClock {
  readonly delaysMs: number[] = []

  override async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    this.delaysMs.push(delayMs)
    return super.sleep(delayMs, signal)
  }
}

function retriedWrapper(settings: Partial<RetryConfig> = {}) {
  const clock = new NotingClock()
  const inner = new FaultyKeyWrapper('kek', clock)
  const wrapper = retried(inner, { ...policy, ...settings }, clock)
  const ask = async (ms: number, signal?: AbortSignal) =>
    outcomeOf(
      wrapper.currentKeyId({ deadlineMs: clock.nowMs() + ms, ...(signal === undefined ? {} : { signal }) }),
    )
  return { clock, inner, wrapper, ask, calls: () => inner.calls.currentKeyId }
}

describe('which', () => {
  test.each(Object.keys(errorCodes) as KmsErrorCode[])('%s: exactly when the table says so', async (code) => {
    const { clock, inner, ask, calls } = retriedWrapper()
    inner.fail('any', code)
    const outcome = ask(60_000)
    await clock.advance(60_000)
    expect(await outcome).toBe(code)
    expect(calls()).toBe(errorCodes[code].retryable ? 3 : 1)
  })

  test('what is no error of ours becomes ERR_INTERNAL and is not tried again', async () => {
    const { inner, ask } = retriedWrapper()
    let calls = 0
    inner.currentKeyId = async () => {
      calls += 1
      throw new TypeError('a bug')
    }
    expect(await ask(1000)).toBe('ERR_INTERNAL')
    expect(calls).toBe(1)
  })

  test('a wrong PIN is never tried twice', async () => {
    const { clock, inner, ask, calls } = retriedWrapper({ maxRetries: 10 })
    inner.fail('any', 'ERR_LOGIN_REFUSED')
    const outcome = ask(60_000)
    await clock.advance(60_000)
    expect(await outcome).toBe('ERR_LOGIN_REFUSED')
    expect(calls()).toBe(1)
  })
})

describe('how often', () => {
  test.each([0, 1, 2, 5])('maxRetries %i means that many and one', async (maxRetries) => {
    const { clock, inner, ask, calls } = retriedWrapper({ maxRetries })
    inner.fail('any', 'ERR_BACKEND_UNREACHABLE')
    const outcome = ask(60_000)
    await clock.advance(60_000)
    expect(await outcome).toBe('ERR_BACKEND_UNREACHABLE')
    expect(calls()).toBe(maxRetries + 1)
  })

  test('a fault that passes is not noticed', async () => {
    const { clock, inner, ask, calls } = retriedWrapper()
    inner.fail('any', 'ERR_CREDENTIALS_EXPIRED', 2)
    const outcome = ask(60_000)
    await clock.advance(5000)
    expect(await outcome).toBe('OK')
    expect(calls()).toBe(3)
  })

  test('wrap and unwrap are tried again as well, with the same arguments', async () => {
    const { clock, inner, wrapper } = retriedWrapper()
    const options = { deadlineMs: clock.nowMs() + 60_000 }
    const dek = Buffer.alloc(32, 7)
    inner.fail('wrap', 'ERR_BACKEND_THROTTLED', 1)
    inner.fail('unwrap', 'ERR_BACKEND_RESPONSE', 1)
    const round = wrapper.wrap(dek, options).then(async (wrapped) => wrapper.unwrap(wrapped, options))
    await clock.advance(5000)
    expect(Buffer.from(await round).equals(dek)).toBe(true)
    expect(inner.calls).toEqual({ wrap: 2, unwrap: 2, currentKeyId: 0, decryptNative: 0 })
  })
})

describe('pauses', () => {
  test('full jitter: anything from 0 to a bound that doubles up to maxDelay', async () => {
    const byAttempt: number[][] = [[], [], [], []]
    for (let i = 0; i < 300; i += 1) {
      const { clock, inner, ask } = retriedWrapper({ maxRetries: 4, initialDelayMs: 50, maxDelayMs: 150 })
      inner.fail('any', 'ERR_BACKEND_UNAVAILABLE')
      const outcome = ask(60_000)
      await clock.advance(5000)
      await outcome
      clock.delaysMs.forEach((delayMs, attempt) => byAttempt[attempt]?.push(delayMs))
    }
    const bounds = [50, 100, 150, 150]
    byAttempt.forEach((delaysMs, attempt) => {
      const bound = bounds[attempt]!
      expect(delaysMs).toHaveLength(300)
      expect(Math.min(...delaysMs)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...delaysMs)).toBeLessThanOrEqual(bound)
      // 300 draws that miss a tenth of the range at either end: less than 1 in 10^13.
      expect(Math.min(...delaysMs)).toBeLessThan(bound * 0.1)
      expect(Math.max(...delaysMs)).toBeGreaterThan(bound * 0.9)
    })
  })
})

describe('a backend that says how long it wants to be left alone', () => {
  const leaveAlone = (retryAfterMs: number, ms: number) => {
    const retrying = retriedWrapper({ maxRetries: 5 })
    const { inner, clock } = retrying
    const beganMs: number[] = []
    inner.currentKeyId = async () => {
      beganMs.push(clock.nowMs())
      return Promise.reject(new KmsError('ERR_BACKEND_THROTTLED', 'slow down', { retryAfterMs }))
    }
    return { ...retrying, beganMs, outcome: retrying.ask(ms) }
  }

  test('is not asked again before that', async () => {
    const { clock, beganMs, outcome } = leaveAlone(700, 2500)
    await clock.advance(2500)
    expect(await outcome).toBe('ERR_BACKEND_THROTTLED')
    expect(beganMs.length).toBeGreaterThan(1)
    const pauses = beganMs.slice(1).map((atMs, i) => atMs - beganMs[i]!)
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(700)
  })

  test('is not asked again where nobody would wait so long, and the caller is told at once', async () => {
    const { clock, beganMs, outcome } = leaveAlone(7000, 2500)
    expect(await outcome).toBe('ERR_BACKEND_THROTTLED')
    expect(beganMs).toHaveLength(1)
    expect(clock.delaysMs).toEqual([])
  })
})

describe('until when', () => {
  test('no try begins at or after the deadline, and no pause reaches it', async () => {
    for (let i = 0; i < 200; i += 1) {
      const { clock, inner, ask } = retriedWrapper({ maxRetries: 50 })
      const deadlineMs = clock.nowMs() + 120
      inner.fail('any', 'ERR_BACKEND_UNAVAILABLE')
      inner.latencyMs = () => 15
      const beganMs: number[] = []
      const currentKeyId = inner.currentKeyId.bind(inner)
      inner.currentKeyId = async (options) => {
        beganMs.push(clock.nowMs())
        return currentKeyId(options)
      }
      const outcome = ask(120)
      await clock.advance(119)
      await clock.advance(100)
      expect(await outcome).toBe('ERR_BACKEND_UNAVAILABLE')
      expect(Math.max(...beganMs)).toBeLessThan(deadlineMs)
    }
  })

  test('a pause that would reach the deadline is not begun: the last error comes at once', async () => {
    const { clock, inner, ask, calls } = retriedWrapper({ initialDelayMs: 1_000_000, maxDelayMs: 1_000_000 })
    inner.fail('any', 'ERR_BACKEND_UNAVAILABLE')
    expect(await ask(1)).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(calls()).toBe(1)
    expect(clock.delaysMs).toEqual([])
  })

  test('a caller who leaves during a pause ends it, and nothing is tried again', async () => {
    const { clock, inner, ask, calls } = retriedWrapper({ initialDelayMs: 1_000_000, maxDelayMs: 1_000_000 })
    inner.fail('any', 'ERR_BACKEND_UNAVAILABLE')
    const caller = new AbortController()
    const outcome = ask(10_000_000, caller.signal)
    await clock.advance(0)
    caller.abort()
    expect(await outcome).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(calls()).toBe(1)
    expect(clock.sleepers).toBe(0)
  })
})
