/** What stands round every backend, from the outside in: retries, the canary, metrics, limits. */
import type { Clock } from '../ports/clock.js'
import type { RetryConfig } from '../ports/config.js'
import type { KeyWrapper } from '../ports/key_wrapper.js'
import type { Metrics } from '../ports/metrics.js'
import { canaried } from './canaried_key_wrapper.js'
import type { RingKey } from './key_ring.js'
import { limited } from './limited_key_wrapper.js'
import { observed } from './observed_key_wrapper.js'
import { retried } from './retried_key_wrapper.js'

/** @param name The configured name of the key. */
export function ringKey(
  name: string,
  backend: KeyWrapper,
  policy: RetryConfig,
  clock: Clock,
  metrics: Metrics,
): RingKey {
  const bounded = observed(limited(backend, clock, policy.callTimeoutMs), name, metrics, clock)
  const canary = canaried(bounded, clock, policy.totalTimeoutMs)
  return { name, wrapper: retried(canary, policy, clock), knownGood: () => canary.knownGood }
}
