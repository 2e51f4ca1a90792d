/** One metric per call to a backend. */
import type { Clock } from '../ports/clock.js'
import { asKmsError } from '../ports/errors.js'
import type { KeyWrapper } from '../ports/key_wrapper.js'
import type { Metrics, Outcome } from '../ports/metrics.js'
import { withLayer } from './key_wrapper_layer.js'

/** @param key The configured name, for the label. */
export function observed(inner: KeyWrapper, key: string, metrics: Metrics, clock: Clock): KeyWrapper {
  return withLayer(inner, async (operation, options, call) => {
    const startMs = clock.nowMs()
    let outcome: Outcome = 'OK'
    try {
      return await call(options)
    } catch (error) {
      outcome = asKmsError(error).code
      throw error
    } finally {
      metrics.backendCallFinished(key, operation, outcome, (clock.nowMs() - startMs) / 1000)
    }
  })
}
