/** When may a process be started again, and how long may that take? */
import { describe, expect, test } from 'vitest'
import { Backoff } from '../../../src/adapters/backends/pkcs11/backoff.js'
import { StartBound } from '../../../src/adapters/backends/pkcs11/start_bound.js'

describe('the back-off between two HSM processes', () => {
  test.each([
    ['ERR_BACKEND_UNAVAILABLE', [0, 250, 500, 600, 600, 600, 600]],
    ['ERR_LOGIN_REFUSED', [0, 250, 500, 1000, 2000, 4000, 5000, 5000]],
    ['ERR_CONFIG_INVALID', [0, 250, 500, 1000, 2000, 4000, 5000, 5000]],
  ] as const)('%s: at most %j ms, less up to half, and anew after a success', (code, delays) => {
    for (let run = 0; run < 50; run++) {
      const backoff = new Backoff()
      expect(backoff.waitMs(0)).toBe(0)
      for (const mostMs of delays) {
        backoff.failed(5000, code)
        const waitMs = backoff.waitMs(5000)
        expect(waitMs).toBeLessThanOrEqual(mostMs)
        expect(waitMs).toBeGreaterThanOrEqual(mostMs / 2)
        expect(backoff.waitMs(5000 + mostMs)).toBe(0)
      }
      backoff.reset()
      expect(backoff.waitMs(5000)).toBe(0)
    }
  })
})

describe('the time that an HSM process gets to be ready', () => {
  test('ten seconds until one was, then three times the slowest of four, from 1.5 s to 10 s', () => {
    const bound = new StartBound()
    for (let i = 0; i < 5; i++) {
      expect(bound.ms).toBe(10_000)
      bound.failed()
    }
    for (const [tookMs, ms] of [
      [200, 1_500],
      [2_000, 6_000],
      [200, 6_000],
      [9_000, 10_000],
      [200, 10_000],
      [200, 10_000],
      [200, 10_000],
      [200, 1_500],
    ] as const) {
      bound.ready(tookMs)
      expect(bound.ms).toBe(ms)
    }
  })

  test('a device that became slow is not locked out: every fourth start in vain gets ten seconds', () => {
    const bound = new StartBound()
    bound.ready(200)
    const seen = Array.from({ length: 8 }, () => {
      const { ms } = bound
      bound.failed()
      return ms
    })
    expect(seen).toEqual([1_500, 1_500, 1_500, 10_000, 1_500, 1_500, 1_500, 10_000])
  })
})
