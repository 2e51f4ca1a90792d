/** A bound on how long one call to a backend takes and on how many wait for it. */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { KeyWrapper } from '../ports/key_wrapper.js'
import { withDeadline } from './deadline.js'
import { withLayer } from './key_wrapper_layer.js'

/** How many calls may wait for one backend, and as many for values of other plugins. More would only wait to time out. */
export const MAX_CALLS_IN_FLIGHT = 256

/**
 * Each call ends within `callTimeoutMs` with `ERR_DEADLINE_EXCEEDED`, even when the backend never answers; the
 * call after the {@link MAX_CALLS_IN_FLIGHT}th fails at once with `ERR_QUEUE_FULL`. Values of other plugins each need
 * a call, so they are counted apart: many at once stop neither our own nor the probe.
 */
export function limited(inner: KeyWrapper, clock: Clock, callTimeoutMs: number): KeyWrapper {
  const inFlight = { own: 0, foreign: 0 }
  return withLayer(inner, async (operation, options, call) => {
    const whose = operation === 'decryptNative' ? 'foreign' : 'own'
    if (inFlight[whose] >= MAX_CALLS_IN_FLIGHT) {
      throw new KmsError(
        'ERR_QUEUE_FULL',
        `${MAX_CALLS_IN_FLIGHT} calls already wait for the ${inner.backend} backend`,
      )
    }
    inFlight[whose] += 1
    try {
      return await withDeadline(clock, clock.nowMs() + callTimeoutMs, options, async (o) => {
        const answer = await call(o)
        // Too late: nobody takes it, so nobody else would wipe an unwrapped DEK.
        if (o.signal?.aborted === true && answer instanceof Uint8Array) answer.fill(0)
        return answer
      })
    } finally {
      inFlight[whose] -= 1
    }
  })
}
