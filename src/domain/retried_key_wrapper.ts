/** The one retry policy of the program. Backends and vendor SDKs retry nothing themselves. */
import { randomInt } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import type { RetryConfig } from '../ports/config.js'
import { asKmsError } from '../ports/errors.js'
import type { CallOptions, KeyWrapper } from '../ports/key_wrapper.js'
import { withLayer } from './key_wrapper_layer.js'

/**
 * Repeats a call up to `maxRetries` times while its error is retryable and its deadline allows another try.
 * Waits a random time between 0 and a bound that starts at `initialDelayMs` and doubles up to `maxDelayMs`: full
 * jitter, so that many nodes do not come back in step. A backend that says how long it wants to be left alone is left
 * alone so long, and the jitter on top; the call fails at once where its deadline does not allow that.
 */
export function retried(inner: KeyWrapper, policy: RetryConfig, clock: Clock): KeyWrapper {
  return withLayer(inner, async (_operation, options, call) => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await call(options)
      } catch (thrown) {
        const error = asKmsError(thrown)
        if (!error.retryable || attempt >= policy.maxRetries || options.signal?.aborted === true) throw error
        const delayMs = (error.retryAfterMs ?? 0) + jitteredDelayMs(policy, attempt)
        if (clock.nowMs() + delayMs >= options.deadlineMs) throw error
        await clock.sleep(delayMs, options.signal)
        if (isOver(options, clock)) throw error
      }
    }
  })
}

function jitteredDelayMs(policy: RetryConfig, attempt: number): number {
  const boundMs = Math.min(policy.initialDelayMs * 2 ** attempt, policy.maxDelayMs)
  return randomInt(Math.ceil(boundMs) + 1)
}

function isOver(options: CallOptions, clock: Clock): boolean {
  return options.signal?.aborted === true || clock.nowMs() >= options.deadlineMs
}
