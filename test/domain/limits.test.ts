/** Whether every call ends in time, however its backend behaves, and how many may wait. */
import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { untilAborted, withDeadline } from '../../src/domain/deadline.js'
import { limited, MAX_CALLS_IN_FLIGHT } from '../../src/domain/limited_key_wrapper.js'
import { KmsError } from '../../src/ports/errors.js'
import type { CallOptions } from '../../src/ports/key_wrapper.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock, settled } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'

function limitedWrapper() {
  const clock = new ManualClock()
  const inner = new FaultyKeyWrapper('kek', clock)
  return { clock, inner, wrapper: limited(inner, clock, 1000), later: clock.nowMs() + 60_000 }
}

describe('time', () => {
  test('a backend that never answers and ignores the signal costs callTimeout', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    inner.hold('currentKeyId')
    let outcome = 'pending'
    void outcomeOf(wrapper.currentKeyId({ deadlineMs: later })).then((result) => (outcome = result))
    await clock.advance(999)
    expect(outcome).toBe('pending')
    expect(inner.options[0]?.signal?.aborted).toBe(false)
    await clock.advance(1)
    expect(outcome).toBe('ERR_DEADLINE_EXCEEDED')
    expect(inner.options[0]?.signal?.aborted).toBe(true)
    expect(clock.sleepers).toBe(0)
  })

  test('the deadline of the caller counts when it is earlier, and the backend is told it', async () => {
    const { clock, inner, wrapper } = limitedWrapper()
    inner.hold('currentKeyId')
    const deadlineMs = clock.nowMs() + 300
    const outcome = outcomeOf(wrapper.currentKeyId({ deadlineMs, uid: 'request 1' }))
    await clock.advance(300)
    expect(await outcome).toBe('ERR_DEADLINE_EXCEEDED')
    expect(inner.options[0]).toMatchObject({ deadlineMs, uid: 'request 1' })
  })

  test('a caller who leaves is answered at once and the backend is told', async () => {
    const { inner, wrapper, later } = limitedWrapper()
    inner.hold('currentKeyId')
    const caller = new AbortController()
    const outcome = outcomeOf(wrapper.currentKeyId({ deadlineMs: later, signal: caller.signal }))
    await settled()
    caller.abort(new KmsError('ERR_SHUTTING_DOWN', 'stopping'))
    expect(await outcome).toBe('ERR_SHUTTING_DOWN')
    expect(inner.options[0]?.signal?.aborted).toBe(true)
  })

  test('the signal of a call that was answered in time never aborts', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    await wrapper.currentKeyId({ deadlineMs: later })
    inner.fail('currentKeyId', 'ERR_BACKEND_UNAVAILABLE', 1)
    await outcomeOf(wrapper.currentKeyId({ deadlineMs: later }))
    await clock.advance(100_000)
    expect(inner.options.map(({ signal }) => signal?.aborted)).toEqual([false, false])
    expect(clock.sleepers).toBe(0)
  })

  test('a DEK that comes too late is wiped: nobody takes it', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    const wrapped = await wrapper.wrap(Buffer.alloc(32, 7), { deadlineMs: later })
    const release = inner.hold('unwrap')
    const outcome = outcomeOf(wrapper.unwrap(wrapped, { deadlineMs: later }))
    await clock.advance(1000)
    expect(await outcome).toBe('ERR_DEADLINE_EXCEEDED')
    await release()
    expect(inner.rawDeks).toHaveLength(2)
    expect(inner.rawDeks[1]?.every((byte) => byte === 0)).toBe(true)
  })

  test('an error that comes too late troubles nobody', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    const release = inner.hold('currentKeyId')
    inner.fail('currentKeyId', 'ERR_BACKEND_UNAVAILABLE', 1)
    const outcome = outcomeOf(wrapper.currentKeyId({ deadlineMs: later }))
    await clock.advance(1000)
    expect(await outcome).toBe('ERR_DEADLINE_EXCEEDED')
    await release()
    expect(await outcomeOf(wrapper.currentKeyId({ deadlineMs: later }))).toBe('OK')
  })
})

describe('number', () => {
  test('the call after the 256th fails at once without reaching the backend', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    const release = inner.hold('currentKeyId')
    const calls = Array.from({ length: MAX_CALLS_IN_FLIGHT }, async () =>
      outcomeOf(wrapper.currentKeyId({ deadlineMs: later })),
    )
    expect(MAX_CALLS_IN_FLIGHT).toBe(256)
    expect(
      await outcomeOf(wrapper.unwrap({ keyId: inner.keyId, bytes: Buffer.of(1) }, { deadlineMs: later })),
    ).toBe('ERR_QUEUE_FULL')
    expect(inner.totalCalls).toBe(256)
    await release()
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['OK']))
    expect(await outcomeOf(wrapper.currentKeyId({ deadlineMs: clock.nowMs() + 1 }))).toBe('OK')
  })

  test('values of another plugin, however many wait, take no place from our own and from the probe', async () => {
    const { inner, wrapper, later } = limitedWrapper()
    const wrapped = await wrapper.wrap(Buffer.alloc(32, 7), { deadlineMs: later })
    const native = { bytes: inner.encryptNative(Buffer.from('seed')) }
    const release = inner.hold('decryptNative')
    const calls = Array.from({ length: MAX_CALLS_IN_FLIGHT + 1 }, async () =>
      outcomeOf(wrapper.decryptNative?.(native, { deadlineMs: later }) ?? Promise.reject(new Error())),
    )
    expect(await calls.at(-1)).toBe('ERR_QUEUE_FULL')
    expect(await outcomeOf(wrapper.currentKeyId({ deadlineMs: later }))).toBe('OK')
    expect(await outcomeOf(wrapper.unwrap(wrapped, { deadlineMs: later }))).toBe('OK')
    await release()
    expect(new Set(await Promise.all(calls.slice(0, -1)))).toEqual(new Set(['OK']))
  })

  test('calls that failed or timed out make room again', async () => {
    const { clock, inner, wrapper, later } = limitedWrapper()
    inner.hold('currentKeyId')
    const calls = Array.from({ length: MAX_CALLS_IN_FLIGHT }, async () =>
      outcomeOf(wrapper.currentKeyId({ deadlineMs: later })),
    )
    await clock.advance(1000)
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['ERR_DEADLINE_EXCEEDED']))
    inner.fail('wrap', 'ERR_ACCESS_DENIED', 300)
    for (let i = 0; i < 300; i += 1) {
      expect(await outcomeOf(wrapper.wrap(Buffer.alloc(32), { deadlineMs: later }))).toBe('ERR_ACCESS_DENIED')
    }
    expect(await outcomeOf(wrapper.wrap(Buffer.alloc(32), { deadlineMs: later }))).toBe('OK')
  })
})

describe('withDeadline', () => {
  const never = async () => new Promise<never>(() => undefined)

  test('work is not begun for a caller who has left', async () => {
    let begun = false
    const work = async () => Promise.resolve((begun = true))
    const outer = { signal: AbortSignal.abort() }
    expect(await outcomeOf(withDeadline(new ManualClock(), 1e9, outer, work))).toBe('ERR_CANCELLED')
    expect(begun).toBe(false)
  })

  test('a deadline that has passed is answered at once', async () => {
    const clock = new ManualClock()
    expect(await outcomeOf(withDeadline(clock, clock.nowMs() - 1, {}, never))).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('it leaves nothing behind on the signal of the caller, however the work ends', async () => {
    const clock = new ManualClock()
    const { signal } = new AbortController()
    const outer = { signal, deadlineMs: clock.nowMs() + 100 }
    const failing = async () => Promise.reject(new KmsError('ERR_INTERNAL', 'scripted'))
    await withDeadline(clock, Infinity, outer, async () => Promise.resolve())
    expect(await outcomeOf(withDeadline(clock, Infinity, outer, failing))).toBe('ERR_INTERNAL')
    const late = outcomeOf(withDeadline(clock, Infinity, outer, never))
    await clock.advance(100)
    expect(await late).toBe('ERR_DEADLINE_EXCEEDED')
    await untilAborted(signal, async () => Promise.resolve())
    expect(await outcomeOf(untilAborted(signal, failing))).toBe('ERR_INTERNAL')
    expect(getEventListeners(signal, 'abort')).toEqual([])
    expect(clock.sleepers).toBe(0)
  })

  test('it makes no error for work that ends in time', async () => {
    const clock = new ManualClock()
    const slept: (AbortSignal | undefined)[] = []
    const sleep = clock.sleep.bind(clock)
    clock.sleep = async (delayMs, signal) => {
      slept.push(signal)
      return sleep(delayMs, signal)
    }
    await withDeadline(clock, 5000, {}, async () => Promise.resolve())
    expect(slept.map((signal) => signal?.aborted)).toEqual([true])
    expect(slept[0]?.reason).not.toBeInstanceOf(Error)
  })

  test('the earlier of both deadlines is passed on', async () => {
    const clock = new ManualClock()
    const seen: number[] = []
    const work = async ({ deadlineMs }: CallOptions) => Promise.resolve(seen.push(deadlineMs))
    await withDeadline(clock, 5000, { deadlineMs: 4000 }, work)
    await withDeadline(clock, 5000, { deadlineMs: 6000 }, work)
    expect(seen).toEqual([4000, 5000])
  })
})
