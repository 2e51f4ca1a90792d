/** Whether the core hears of a caller who goes away, and what a call costs for which it does not want to. */
import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'
import { OptionsOfCall } from '../../../src/adapters/grpc/options_of_call.js'

/** A call of grpc-js: 'cancelled' comes when the stream ends, answered or not. */
class Call extends EventEmitter {
  cancelled = false

  end(): void {
    this.cancelled = true
    this.emit('cancelled')
  }

  get listening(): number {
    return this.listenerCount('cancelled')
  }
}

describe('the signal', () => {
  test('of a call that has ended before anyone asked is aborted', () => {
    const call = new Call()
    const options = new OptionsOfCall(call, 1000, undefined)
    call.end()
    expect(options.signal.aborted).toBe(true)
    expect(options.signal.reason).toMatchObject({ code: 'ERR_CANCELLED' })
    expect(call.listening).toBe(0)
  })

  test('aborts when the caller goes away, and is one however often it is asked for', () => {
    const call = new Call()
    const options = new OptionsOfCall(call, 1000, 'uid')
    const { signal } = options
    expect(options.signal).toBe(signal)
    expect(call.listening).toBe(1)
    expect(signal.aborted).toBe(false)
    call.end()
    expect(signal.reason).toMatchObject({ code: 'ERR_CANCELLED' })
  })

  test('of an answered call stays as it is', () => {
    const call = new Call()
    const options = new OptionsOfCall(call, 1000, 'uid')
    const { signal } = options
    options.answered()
    call.end()
    expect(signal.aborted).toBe(false)
    expect(call.listening).toBe(0)
  })

  test('that nobody asked for was never made: nothing listens to the call', () => {
    const call = new Call()
    const options = new OptionsOfCall(call, 1000, 'uid')
    expect(call.listening).toBe(0)
    options.answered()
    expect(options).toMatchObject({ deadlineMs: 1000, uid: 'uid' })
  })
})
