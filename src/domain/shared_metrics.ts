/** What do several plugins report through one registry? */
import type { Metrics } from '../ports/metrics.js'

/**
 * Makes one view a plugin. Counts add up by themselves; a number that stands for a state would be overwritten by
 * whichever plugin spoke last, so each view remembers its own: cached DEKs are added, and of the seals under the
 * current DEKs the most are shown, since that is the one nearest to its limit.
 */
export function sharedMetrics(metrics: Metrics): () => Metrics {
  const cached: (() => number)[] = []
  const seals: (() => number)[] = []
  return () => {
    let ownCached = 0
    let ownSeals = 0
    cached.push(() => ownCached)
    seals.push(() => ownSeals)
    return {
      requestFinished: (...event) => metrics.requestFinished(...event),
      backendCallFinished: (...event) => metrics.backendCallFinished(...event),
      foreignDecoded: (...event) => metrics.foreignDecoded(...event),
      dekCacheLookup: (...event) => metrics.dekCacheLookup(...event),
      dekCacheSize(count) {
        ownCached = count
        metrics.dekCacheSize(cached.reduce((sum, of) => sum + of(), 0))
      },
      dekSeals(count) {
        ownSeals = count
        metrics.dekSeals(Math.max(...seals.map((of) => of())))
      },
      dekRenewed: (...event) => metrics.dekRenewed(...event),
      probeFinished: (...event) => metrics.probeFinished(...event),
      keyIdPublished: (...event) => metrics.keyIdPublished(...event),
      hsmChildRestarted: (...event) => metrics.hsmChildRestarted(...event),
      tokenHealth: (...event) => metrics.tokenHealth(...event),
    }
  }
}
