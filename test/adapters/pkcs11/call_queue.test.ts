import { describe, expect, test } from 'vitest'
import { CallQueue, MAX_WAITING_CALLS } from '../../../src/adapters/backends/pkcs11/call_queue.js'
import type { HsmResult } from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { KmsError } from '../../../src/ports/errors.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'

const request = { op: 'identify', seals: false } as const

function result(): HsmResult {
  const identity = { keyType: 'AES-256' as const, ckaId: Buffer.from('id'), checkValue: Buffer.from('abc') }
  return { identity, bytes: Buffer.alloc(32, 7) }
}

function setUp() {
  const clock = new ManualClock()
  return { clock, queue: new CallQueue(clock), in100: { deadlineMs: clock.nowMs() + 100 } }
}

describe('calls to the HSM process', () => {
  test('a call whose deadline has passed or whose caller is gone does not wait', async () => {
    const { clock, queue } = setUp()
    expect(await outcomeOf(queue.add(request, { deadlineMs: clock.nowMs() }))).toBe('ERR_DEADLINE_EXCEEDED')
    const gone = { deadlineMs: clock.nowMs() + 100, signal: AbortSignal.abort() }
    expect(await outcomeOf(queue.add(request, gone))).toBe('ERR_DEADLINE_EXCEEDED')
    expect(queue.waiting).toBe(0)
  })

  test('a call leaves at its own deadline, waiting or under way, and nobody else does', async () => {
    const { clock, queue, in100 } = setUp()
    const underWay = outcomeOf(queue.add(request, in100))
    queue.next()
    const waiting = outcomeOf(queue.add(request, in100))
    const patient = queue.add(request, { deadlineMs: clock.nowMs() + 200 })
    await clock.advance(150)
    expect(await underWay).toBe('ERR_DEADLINE_EXCEEDED')
    expect(await waiting).toBe('ERR_DEADLINE_EXCEEDED')
    expect(queue.waiting).toBe(1)
    expect(queue.underWay).toBe(1)
    const next = queue.next()!
    queue.resolve(next.id, result())
    await patient
    expect(clock.sleepers).toBe(0)
  })

  test('a caller that goes away leaves at once', async () => {
    const { clock, queue } = setUp()
    const caller = new AbortController()
    const call = outcomeOf(queue.add(request, { deadlineMs: clock.nowMs() + 100, signal: caller.signal }))
    caller.abort()
    expect(await call).toBe('ERR_DEADLINE_EXCEEDED')
    expect(queue.waiting).toBe(0)
  })

  test('a late answer is counted, wiped and given to nobody', async () => {
    const { clock, queue, in100 } = setUp()
    const call = outcomeOf(queue.add(request, in100))
    const { id } = queue.next()!
    await clock.advance(150)
    await call
    const late = result()
    queue.resolve(id, late)
    expect(late.bytes).toEqual(Buffer.alloc(32))
    expect(queue.dropped).toBe(1)
    expect(queue.underWay).toBe(0)
  })

  test('an answer under an id that was never given, or given twice, is counted, wiped and given to nobody', async () => {
    const { queue, in100 } = setUp()
    const call = queue.add(request, in100)
    const { id } = queue.next()!
    const stray = result()
    queue.resolve(id + 1, stray)
    expect(stray.bytes).toEqual(Buffer.alloc(32))
    queue.resolve(id, result())
    queue.resolve(id, result())
    expect((await call).bytes).toEqual(Buffer.alloc(32, 7))
    expect(queue.dropped).toBe(2)
  })

  test('no more calls wait than the bound', async () => {
    const { queue, in100 } = setUp()
    const calls = Array.from({ length: MAX_WAITING_CALLS }, async () => outcomeOf(queue.add(request, in100)))
    expect(await outcomeOf(queue.add(request, in100))).toBe('ERR_QUEUE_FULL')
    queue.rejectAll(new KmsError('ERR_SHUTTING_DOWN', 'stop'))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['ERR_SHUTTING_DOWN']))
  })

  test('the oldest call goes first', () => {
    const { queue, in100 } = setUp()
    for (let i = 0; i < 3; i++) void queue.add(request, in100).catch(() => undefined)
    const ids = [queue.next()!.id, queue.next()!.id, queue.next()!.id]
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
    expect(queue.next()).toBeUndefined()
    queue.rejectAll(new KmsError('ERR_SHUTTING_DOWN', 'stop'))
  })
})
