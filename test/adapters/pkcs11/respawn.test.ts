/** When may a process be started again, and when may it log in? */
import { describe, expect, test } from 'vitest'
import { Backoff } from '../../../src/adapters/backends/pkcs11/backoff.js'
import { LoginMemory, loginMemoryOf } from '../../../src/adapters/backends/pkcs11/login_memory.js'

describe('the back-off between two HSM processes', () => {
  test('nothing after the first failure, then 250 ms doubling to 1 s less up to half, and anew after a success', () => {
    for (let run = 0; run < 50; run++) {
      const backoff = new Backoff()
      expect(backoff.waitMs(0)).toBe(0)
      for (const mostMs of [0, 250, 500, 1000, 1000]) {
        backoff.failed(5000)
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

describe('the memory of refused PINs', () => {
  test('a refused PIN is told with every later leave to log in', () => {
    const memory = new LoginMemory()
    const grant = memory.grant('file 1')
    memory.settle(grant, { type: 'pinRefused', fingerprint: 'f1', text: '' })
    expect(memory.grant('file 2')).toEqual({ refused: ['f1'], cautious: false })
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
