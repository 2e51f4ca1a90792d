/** Whether salts and IVs from the pool are as good as ones that are drawn one by one. */
import { describe, expect, test } from 'vitest'
import { RandomPool } from '../../src/domain/random_pool.js'

/** The same eight bytes twice among so few is a fault, not chance: 2^-40. */
const TAKES = 4096

describe('the pool', () => {
  test('refuses what it could only give in part', () => {
    expect(() => new RandomPool(64).take(65)).toThrow(RangeError)
  })

  test.each([64, 60, 8])('of %i bytes gives every byte once, over many refills', (poolBytes) => {
    const pool = new RandomPool(poolBytes)
    const taken = Array.from({ length: TAKES }, () => pool.take(8))
    expect(new Set(taken.map((bytes) => bytes.toString('hex'))).size).toBe(TAKES)
    const places = taken.map((bytes) => [bytes.buffer, bytes.byteOffset] as const)
    const buffers = new Map<ArrayBufferLike, number[]>()
    for (const [buffer, at] of places) buffers.set(buffer, [...(buffers.get(buffer) ?? []), at])
    expect(buffers.size).toBe(Math.ceil(TAKES / Math.floor(poolBytes / 8)))
    for (const offsets of buffers.values()) expect(offsets).toEqual(offsets.map((_, i) => i * 8))
  })

  test('leaves alone what it has given: a refill does not change it', () => {
    const pool = new RandomPool(32)
    const first = pool.take(32)
    const copy = Buffer.from(first)
    pool.take(32)
    expect(first).toEqual(copy)
  })

  test('gives what is left nowhere when it is too little', () => {
    const pool = new RandomPool(48)
    const [first, second] = [pool.take(32), pool.take(32)]
    expect(second.buffer).not.toBe(first.buffer)
    expect(second.byteOffset).toBe(0)
  })

  test('sets as many bits as it does not set', () => {
    const pool = new RandomPool(4096)
    const bits = [...pool.take(4096)].reduce(
      (sum, byte) => sum + byte.toString(2).replaceAll('0', '').length,
      0,
    )
    // 32,768 fair coins stray by 2,000 once in 2^350 runs.
    expect(Math.abs(bits - 16_384)).toBeLessThan(2000)
  })
})
