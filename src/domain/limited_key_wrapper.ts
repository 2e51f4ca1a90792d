/** A bound on how long one call to a backend takes and on how many wait for it. */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { KeyWrapper } from '../ports/key_wrapper.js'
import { withDeadline } from './deadline.js'
import { withLayer } from './key_wrapper_layer.js'

/** How many calls may wait for one backend. More would only wait to time out. */
export const MAX_CALLS_IN_FLIGHT = 256

/**
 * Each call ends within `callTimeoutMs` with `ERR_DEADLINE_EXCEEDED`, even when the backend never answers; the
 * call after the {@link MAX_CALLS_IN_FLIGHT}th fails at once with `ERR_QUEUE_FULL`.
 */
export function limited(inner: KeyWrapper, clock: Clock, callTimeoutMs: number): KeyWrapper {
  let inFlight = 0
  return withLayer(inner, async (_operation, options, call) => {
    if (inFlight >= MAX_CALLS_IN_FLIGHT) {
      throw new KmsError(
        'ERR_QUEUE_FULL',
        `${MAX_CALLS_IN_FLIGHT} calls already wait for the ${inner.backend} backend`,
      )
    }
    inFlight += 1
    try {
      return await withDeadline(clock, clock.nowMs() + callTimeoutMs, options, async (o) => {
        const answer = await call(o)
        // Too late: nobody takes it, so nobody else would wipe an unwrapped DEK.
        if (o.signal?.aborted === true && answer instanceof Uint8Array) answer.fill(0)
        return answer
      })
    } finally {
      inFlight -= 1
    }
  })
}
