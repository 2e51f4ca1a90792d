import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { CallEnds } from '../../../src/adapters/backends/remote/call_ends.js'

const HOUR_MS = 3_600_000

/** Ends when it is told to. */
async function untilTold(ended: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    if (ended.aborted) resolve('ended')
    ended.addEventListener('abort', () => resolve('ended'))
  })
}

test('a call ends at its time limit', async () => {
  expect(await new CallEnds().during(1, undefined, untilTold)).toBe('ended')
})

test('a call ends when its caller leaves, also when he has left before', async () => {
  const ends = new CallEnds()
  const caller = new AbortController()
  const call = ends.during(HOUR_MS, caller.signal, untilTold)
  caller.abort()
  expect(await call).toBe('ended')
  expect(await ends.during(HOUR_MS, caller.signal, untilTold)).toBe('ended')
})

test('all calls end at close, and those after it', async () => {
  const ends = new CallEnds()
  const calls = [1, 2, 3].map(async () => ends.during(HOUR_MS, undefined, untilTold))
  ends.close()
  expect(await Promise.all(calls)).toEqual(['ended', 'ended', 'ended'])
  expect(await ends.during(HOUR_MS, undefined, untilTold)).toBe('ended')
})

test('nothing is left of a call, whether it worked or failed', async () => {
  const ends = new CallEnds()
  const caller = new AbortController()
  for (let i = 0; i < 100; i += 1) {
    await ends.during(HOUR_MS, caller.signal, async () => Promise.resolve('done'))
    await ends
      .during(HOUR_MS, caller.signal, async () => Promise.reject(new Error('no')))
      .catch(() => undefined)
  }
  expect(ends.size).toBe(0)
  expect(getEventListeners(caller.signal, 'abort')).toEqual([])
})
