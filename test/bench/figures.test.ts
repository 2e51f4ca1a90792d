/** What the figures of the benchmark are made of. */
import { describe, expect, it } from 'vitest'
import { joinMessages, splitMessages } from '../../bench/client/messages_file.mjs'
import { quantiles } from '../../bench/client/quantiles.mjs'
import { median, ratio, spread } from '../../bench/lib/statistics.mjs'

describe('quantiles', () => {
  it('are values that were measured, not points between them', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect(quantiles(hundred)).toEqual({ p50: 50, p99: 99, p999: 100, max: 100 })
  })

  it('show one late call among two as p99', () => {
    expect(quantiles([1, 300])).toEqual({ p50: 1, p99: 300, p999: 300, max: 300 })
  })

  it('order numbers, not their texts', () => {
    expect(quantiles([9, 10, 100]).p50).toBe(10)
  })

  it('of nothing are no numbers', () => {
    expect(quantiles([]).p50).toBeNaN()
  })
})

describe('the median', () => {
  it('is the middle one, or between the two middle ones', () => {
    expect(median([10, 9, 100])).toBe(10)
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  it('leaves the order of its values', () => {
    const values = [3, 1, 2]
    median(values)
    expect(values).toEqual([3, 1, 2])
  })

  it('comes with the lowest and the highest', () => {
    expect(spread([3, 1, 2, 9])).toEqual({ median: 2.5, low: 1, high: 9, rounds: 4 })
  })
})

describe('a ratio', () => {
  it('is that of the rounds, not of the medians', () => {
    // A machine that is three times as slow in the second round is so for both.
    expect(ratio([90, 30, 60], [100, 33, 120])).toMatchObject({ median: 0.9, low: 0.5 })
  })
})

describe('a file of messages', () => {
  it('gives back what was put in, empty ones too', () => {
    const messages = [Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(70_000, 7)]
    expect(splitMessages(joinMessages(messages))).toEqual(messages)
    expect(splitMessages(joinMessages([]))).toEqual([])
  })

  it('that was cut off is refused', () => {
    const file = joinMessages([Buffer.from('one'), Buffer.from('two')])
    expect(() => splitMessages(file.subarray(0, -1))).toThrow('ends inside one')
  })
})
