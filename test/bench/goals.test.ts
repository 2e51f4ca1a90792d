/** When does the benchmark say that a goal is reached? */
import { describe, expect, it } from 'vitest'
import { goals, judge } from '../../bench/goals.mjs'

const faster = { figure: 'f', text: 'faster', atLeast: 0.9, noise: 'n' }
const smaller = { figure: 'f', text: 'smaller', atMost: 50 }

function figure(low: number, median: number, high: number) {
  return { low, median, high }
}

describe('a goal', () => {
  it('is reached by the median, whatever the worst round was', () => {
    expect(judge(faster, { f: figure(0.5, 0.9, 1) })).toBe('reached')
    expect(judge(smaller, { f: figure(40, 50, 70) })).toBe('reached')
  })

  it('is missed when the median misses it', () => {
    expect(judge(smaller, { f: figure(40, 50.1, 70) })).toBe('missed')
    expect(judge(faster, { f: figure(0.8, 0.89, 0.95), n: figure(1, 1, 1) })).toBe('missed')
  })

  it('is within the noise when the null envelope differs from itself by more than is missing', () => {
    expect(judge(faster, { f: figure(0.8, 0.85, 0.91), n: figure(0.94, 1, 1.02) })).toBe('within the noise')
  })

  it('is missed however loud the noise when no round reached it', () => {
    expect(judge(faster, { f: figure(0.3, 0.4, 0.5), n: figure(0.2, 1, 3) })).toBe('missed')
  })

  it('is not measured without its figure', () => {
    expect(judge(faster, {})).toBe('not measured')
  })

  it('names each figure once', () => {
    const names = goals.map((goal) => goal.figure)
    expect(new Set(names).size).toBe(names.length)
  })
})
