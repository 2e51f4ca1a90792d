/**
 * How do the events of the port become Prometheus metrics?
 *
 * Rule: nothing here throws into a request. A value that is no number counts as 0, a code outside the table as
 * `ERR_INTERNAL`.
 */
import { createHash } from 'node:crypto'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from '../../ports/metrics.js'
import { beside } from './beside.js'
import { codeOf, finite, settings, type Row } from './instruments.js'
import { ownMetrics, processMetrics } from './metrics_table.js'
import type { PeerMetrics } from './peer_metrics/peer.js'
import { countRequests } from './request_metrics.js'
import { TallyCounter } from './tallies.js'

/** The port, and what /metrics answers. */
export interface PrometheusMetrics extends Metrics {
  /** All metrics in the text format of Prometheus. Also resets the maximum of the event loop's delay. */
  scrape(): Promise<string>
  readonly contentType: string
  /** The same registry for one of several plugins that replace another one: what it reports feeds that one's metrics too. */
  withPeer(peer: PeerMetrics | undefined): Metrics
}

export interface PrometheusMetricsOptions {
  /** Of the plugin. */
  readonly version: string
  /** Of Node.js. */
  readonly node: string
  /** Asked at each scrape; never falls. */
  readonly droppedLogLines: () => number
  /** The formats of other plugins that the configuration decodes: each has a series from the start. */
  readonly foreignFormats?: readonly string[]
  /** Registers the metrics of another plugin, which are then fed beside ours. */
  readonly peer?: PeerMetrics | undefined
}

/** Its own registry: two graphs in one process do not share a number. */
export function createPrometheusMetrics(options: PrometheusMetricsOptions): PrometheusMetrics {
  const registry = new Registry()
  const counter = <L extends string>(row: Row<L>) => new Counter(settings(registry, row))
  const gauge = <L extends string>(row: Row<L>) => new Gauge(settings(registry, row))
  const histogram = <L extends string>(row: Row<L> & { buckets: readonly number[] }) =>
    new Histogram({ ...settings(registry, row), buckets: [...row.buckets] })

  const requestFinished = countRequests(registry)
  const backendCalls = counter(ownMetrics.backendCalls)
  const backendCallSeconds = histogram(ownMetrics.backendCallSeconds)
  const dekCacheLookups = new TallyCounter(settings(registry, ownMetrics.dekCacheLookups))
  const foreignDecrypts = counter(ownMetrics.foreignDecrypts)
  const foreignLastDecrypt = gauge(ownMetrics.foreignLastDecrypt)
  const dekCacheSize = gauge(ownMetrics.dekCacheSize)
  const dekSeals = gauge(ownMetrics.dekSeals)
  const dekRenewals = counter(ownMetrics.dekRenewals)
  const probes = counter(ownMetrics.probes)
  const probeHealthy = gauge(ownMetrics.probeHealthy)
  const probeTimestamp = gauge(ownMetrics.probeTimestamp)
  const keyIdHash = gauge(ownMetrics.keyIdHash)
  const hsmChildRestarts = counter(ownMetrics.hsmChildRestarts)
  const hsmTokenUp = gauge(ownMetrics.hsmTokenUp)
  const credentialExpiry = gauge(ownMetrics.credentialExpiry)
  const credentialReplacements = counter(ownMetrics.credentialReplacements)
  gauge(ownMetrics.buildInfo).set({ version: options.version, node: options.node }, 1)
  const logLinesDropped = counter(ownMetrics.logLinesDropped)
  registerProcessMetrics(registry)

  const lookups = {
    hit: dekCacheLookups.series({ result: 'hit' }),
    miss: dekCacheLookups.series({ result: 'miss' }),
  }
  for (const format of options.foreignFormats ?? []) {
    foreignDecrypts.inc({ format, code: 'OK' }, 0)
    foreignLastDecrypt.set({ format }, 0)
  }

  const own: Metrics = {
    requestFinished,
    backendCallFinished(key, operation, outcome, seconds) {
      backendCalls.inc({ key, operation, code: codeOf(outcome) })
      backendCallSeconds.observe({ key, operation }, finite(seconds))
    },
    dekCacheLookup: (result) => void (lookups[result].count += 1),
    foreignDecoded(format, outcome) {
      foreignDecrypts.inc({ format, code: codeOf(outcome) })
      foreignLastDecrypt.setToCurrentTime({ format })
    },
    dekCacheSize: (count) => dekCacheSize.set(finite(count)),
    dekSeals: (count) => dekSeals.set(finite(count)),
    dekRenewed: (key) => dekRenewals.inc({ key }),
    probeFinished(key, outcome) {
      probes.inc({ key, outcome: codeOf(outcome) })
      probeHealthy.set({ key }, outcome === 'OK' ? 1 : 0)
      probeTimestamp.setToCurrentTime({ key })
    },
    keyIdPublished(keyId, former) {
      if (former !== undefined) keyIdHash.remove({ key_id_hash: hashOf(former) })
      keyIdHash.set({ key_id_hash: hashOf(keyId) }, 1)
    },
    hsmChildRestarted: (key) => hsmChildRestarts.inc({ key }),
    tokenHealth: (key, token, isUp) => hsmTokenUp.set({ key, token }, isUp ? 1 : 0),
    credentialReplaced(key, how, lifetimeSeconds) {
      credentialReplacements.inc({ key, how })
      if (lifetimeSeconds === undefined) credentialExpiry.remove({ key })
      else credentialExpiry.set({ key }, Date.now() / 1000 + finite(lifetimeSeconds))
    },
    // Calls of the port are counted as backend calls; those who replace another plugin ask for requests as well.
    httpRequestFinished: () => undefined,
  }
  return {
    ...beside(own, options.peer?.(registry) ?? {}),
    async scrape() {
      logLinesDropped.reset()
      logLinesDropped.inc(options.droppedLogLines())
      return registry.metrics()
    },
    contentType: registry.contentType,
    withPeer: (peer) => beside(own, peer?.(registry) ?? {}),
  }
}

/** As `getHash` of k8s.io/apiserver pkg/storage/value/encrypt/envelope/metrics/metrics.go. */
function hashOf(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`
}

/** prom-client registers its default metrics all or none: it does so aside, and the chosen ones are taken over. */
function registerProcessMetrics(registry: Registry): void {
  const all = new Registry()
  collectDefaultMetrics({ register: all, prefix: 'kmsplugin_' })
  for (const { name } of processMetrics) {
    const metric = all.getSingleMetric(name)
    // The descriptors are counted on Linux only.
    if (metric !== undefined) registry.registerMetric(metric)
  }
}
