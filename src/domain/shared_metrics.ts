/** What do several plugins report through one registry? */
import type { Metrics } from '../ports/metrics.js'

/**
 * Makes one view a plugin. Counts add up by themselves; a number that stands for a state would be overwritten by
 * whichever plugin spoke last, so each view remembers its own: cached DEKs are added, and of the seals under the
 * current DEKs the most are shown, since that is the one nearest to its limit.
 *
 * @returns Given what a plugin would report to alone (a plain object), what it reports to among the others.
 */
export function sharedMetrics(): (metrics: Metrics) => Metrics {
  const cached: (() => number)[] = []
  const seals: (() => number)[] = []
  return (metrics) => {
    let ownCached = 0
    let ownSeals = 0
    cached.push(() => ownCached)
    seals.push(() => ownSeals)
    return {
      ...metrics,
      dekCacheSize(count) {
        ownCached = count
        metrics.dekCacheSize(cached.reduce((sum, of) => sum + of(), 0))
      },
      dekSeals(count) {
        ownSeals = count
        metrics.dekSeals(Math.max(...seals.map((of) => of())))
      },
    }
  }
}
