import { describe, expect, test } from 'vitest'
import { createSystemClock } from '../../../src/adapters/system/clock.js'

describe('the system clock', () => {
  test('never goes back', () => {
    const clock = createSystemClock()
    let before = clock.nowMs()
    for (let reading = 0; reading < 10_000; reading += 1) {
      const now = clock.nowMs()
      expect(now).toBeGreaterThanOrEqual(before)
      before = now
    }
  })

  test('goes as fast as the monotonic clock while the machine is awake', async () => {
    const clock = createSystemClock()
    const offsetMs = clock.nowMs() - performance.now()
    await clock.sleep(250)
    expect(Math.abs(clock.nowMs() - performance.now() - offsetMs)).toBeLessThan(50)
  })

  test('does not follow the wall clock', () => {
    const clock = createSystemClock()
    const { now } = Date
    const beforeMs = clock.nowMs()
    try {
      Date.now = () => now() + 3_600_000
      expect(clock.nowMs() - beforeMs).toBeLessThan(60_000)
    } finally {
      Date.now = now
    }
  })
})

describe('a sleep', () => {
  test('lasts at least as long as it was asked to', async () => {
    const clock = createSystemClock()
    const startMs = performance.now()
    await clock.sleep(30)
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(29)
  })

  test('ends at once, without an error, when its signal aborts', async () => {
    const clock = createSystemClock()
    const controller = new AbortController()
    const slept = clock.sleep(3_600_000, controller.signal)
    controller.abort(new Error('no reason for a sleeper'))
    await expect(slept).resolves.toBeUndefined()
  })

  test('does not begin when its signal has aborted before', async () => {
    await createSystemClock().sleep(3_600_000, AbortSignal.abort())
  })

  test.each([2 ** 31, 2 ** 40, Infinity])('of %d ms does not end at once', async (delayMs) => {
    const clock = createSystemClock()
    const controller = new AbortController()
    let hasEnded = false
    const slept = clock.sleep(delayMs, controller.signal).then(() => (hasEnded = true))
    await clock.sleep(20)
    expect(hasEnded).toBe(false)
    controller.abort()
    await slept
  })

  test('leaves no listener on its signal behind', async () => {
    const clock = createSystemClock()
    const controller = new AbortController()
    let listeners = 0
    const { signal } = controller
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1
      remove(...args)
    }
    for (let turn = 0; turn < 5; turn += 1) await clock.sleep(1, signal)
    expect(listeners).toBe(0)
  })
})
