/** How are the requests of kube-apiserver counted? */
import type { Registry } from 'prom-client'
import type { ApiOperation, ApiVersion, Metrics } from '../../ports/metrics.js'
import { codes, finite, settings } from './instruments.js'
import { ownMetrics } from './metrics_table.js'
import { TallyCounter, TallyHistogram, type Distribution, type Tally } from './tallies.js'

/** A request costs two additions; prom-client is told at the scrape. */
export function countRequests(registry: Registry): Metrics['requestFinished'] {
  const requests = new TallyCounter(settings(registry, ownMetrics.requests))
  const seconds = new TallyHistogram(
    settings(registry, ownMetrics.requestSeconds),
    ownMetrics.requestSeconds.buckets,
  )
  interface Operation {
    readonly byCode: ReadonlyMap<string, Tally>
    readonly seconds: Distribution
  }
  const known = new Map<ApiVersion, Map<ApiOperation, Operation>>()
  const begin = (api: ApiVersion, operation: ApiOperation): Operation => {
    // increase() sees a step from 0 to 1, but no series that begins at 1; and one damaged value is one too many.
    const byCode = new Map(codes.map((code) => [code, requests.series({ api, operation, code })]))
    const made = { byCode, seconds: seconds.series({ api, operation }) }
    const ofApi = known.get(api) ?? new Map<ApiOperation, Operation>()
    known.set(api, ofApi.set(operation, made))
    return made
  }
  return (api, operation, outcome, secondsSpent) => {
    const series = known.get(api)?.get(operation) ?? begin(api, operation)
    const tally = series.byCode.get(outcome) ?? series.byCode.get('ERR_INTERNAL')
    if (tally !== undefined) tally.count += 1
    series.seconds.observe(finite(secondsSpent))
  }
}
