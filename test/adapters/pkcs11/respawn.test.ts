/** When may a process be started again, and when may it log in? */
import { describe, expect, test } from 'vitest'
import { Backoff } from '../../../src/adapters/backends/pkcs11/backoff.js'
import { StartBound } from '../../../src/adapters/backends/pkcs11/start_bound.js'
import { LoginMemory, loginMemoryOf } from '../../../src/adapters/backends/pkcs11/login_memory.js'

describe('the back-off between two HSM processes', () => {
  test.each([
    ['ERR_BACKEND_UNAVAILABLE', [0, 250, 500, 1000, 1000, 1000, 1000]],
    ['ERR_LOGIN_REFUSED', [0, 250, 500, 1000, 1000, 1000, 1000]],
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
  test('ten seconds until one was, then three times the slowest, from three seconds to ten', () => {
    const bound = new StartBound()
    for (let i = 0; i < 5; i++) {
      expect(bound.ms).toBe(10_000)
      bound.failed()
    }
    for (const [tookMs, ms] of [
      [200, 3_000],
      [2_000, 6_000],
      [200, 6_000],
      [9_000, 10_000],
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
    expect(seen).toEqual([3_000, 3_000, 3_000, 10_000, 3_000, 3_000, 3_000, 10_000])
  })
})

describe('the memory of refused PINs', () => {
  test('a refused PIN is told with every later leave to log in', () => {
    const memory = new LoginMemory()
    const grant = memory.grant('file 1')
    memory.settle(grant, { type: 'pinRefused', fingerprint: 'f1', text: '' })
    expect(memory.grant('file 2')).toEqual({ refused: ['f1'], cautious: false, oneShot: false })
  })

  test('a login without a verdict makes the next one with the same file cautious, and one with another file not', () => {
    const memory = new LoginMemory()
    memory.grant('file 1')
    expect(memory.grant('file 1').cautious).toBe(true)
    expect(memory.grant('file 2').cautious).toBe(false)
  })

  test('caution outlives a login that was not tried, and ends with a verdict', () => {
    const memory = new LoginMemory()
    memory.grant('file 1')
    memory.settle(memory.grant('file 1'), { type: 'notTried', text: 'locked' })
    const grant = memory.grant('file 1')
    expect(grant.cautious).toBe(true)
    memory.settle(grant, { type: 'loggedIn' })
    expect(memory.grant('file 1').cautious).toBe(false)
  })

  test('what bars every PIN is held against none', () => {
    const memory = new LoginMemory()
    memory.settle(memory.grant('file 1'), { type: 'barred', text: 'locked' })
    expect(memory.grant('file 1')).toEqual({ refused: [], cautious: false, oneShot: false })
  })

  test('once a command has asked, every login of this program is that of a command', () => {
    const memory = new LoginMemory()
    memory.spareTries()
    expect(memory.grant('file 1').oneShot).toBe(true)
  })

  test('one logs in at a time, in the order of asking', async () => {
    const memory = new LoginMemory()
    const order: number[] = []
    const endFirst = await memory.turn()
    const second = memory.turn().then((end) => {
      order.push(2)
      end()
    })
    const third = memory.turn().then((end) => {
      order.push(3)
      end()
    })
    await Promise.resolve()
    expect(order).toEqual([])
    endFirst()
    await Promise.all([second, third])
    expect(order).toEqual([2, 3])
  })

  test('all keys of one token share it, and no two tokens do', () => {
    expect(loginMemoryOf('/m', 'one')).toBe(loginMemoryOf('/m', 'one'))
    expect(loginMemoryOf('/m', 'one')).not.toBe(loginMemoryOf('/m', 'two'))
  })
})
