/** Whether /metrics shows of any traffic what prom-client would, counting each event by itself. */
import fc from 'fast-check'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { ownMetrics } from '../../../src/adapters/observability/metrics_table.js'
import { createPrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import { errorCodes } from '../../../src/ports/errors.js'
import type { Metrics, Outcome } from '../../../src/ports/metrics.js'

type Heard = Pick<Metrics, 'requestFinished' | 'dekCacheLookup' | 'dekCacheSize' | 'dekSeals'>
type Event = (metrics: Heard) => void

const names = ['requests', 'requestSeconds', 'dekCacheLookups', 'dekCacheSize', 'dekSeals'] as const

/** Every event goes to prom-client at once. */
class Reference implements Heard {
  readonly registry = new Registry()
  readonly #requests = new Counter(this.#settings('requests'))
  readonly #seconds = new Histogram({
    ...this.#settings('requestSeconds'),
    buckets: [...ownMetrics.requestSeconds.buckets],
  })
  readonly #lookups = new Counter(this.#settings('dekCacheLookups'))
  readonly #size = new Gauge(this.#settings('dekCacheSize'))
  readonly #seals = new Gauge(this.#settings('dekSeals'))
  readonly #seen = new Set<string>()

  constructor() {
    for (const result of ['hit', 'miss']) this.#lookups.inc({ result }, 0)
  }

  requestFinished(api: string, operation: string, outcome: string, seconds: number): void {
    if (!this.#seen.has(api + operation)) {
      for (const code of ['OK', ...Object.keys(errorCodes)]) this.#requests.inc({ api, operation, code }, 0)
    }
    this.#seen.add(api + operation)
    const code = outcome === 'OK' || outcome in errorCodes ? outcome : 'ERR_INTERNAL'
    this.#requests.inc({ api, operation, code })
    this.#seconds.observe({ api, operation }, seconds > 0 && seconds < Infinity ? seconds : 0)
  }

  dekCacheLookup(result: string): void {
    this.#lookups.inc({ result })
  }

  dekCacheSize(count: number): void {
    this.#size.set(count)
  }

  dekSeals(count: number): void {
    this.#seals.set(count)
  }

  #settings(name: (typeof names)[number]) {
    const { name: full, meaning: help, labels } = ownMetrics[name]
    return { name: full, help, labelNames: [...labels], registers: [this.registry] }
  }
}

/** A page without what else is exported. */
function chosen(page: string): readonly string[] {
  const wanted = names.map((name) => ownMetrics[name].name)
  return page
    .split('\n')
    .filter((line) => wanted.some((name) => line.replace(/^# \w+ /, '').startsWith(name)))
}

const seconds = fc.oneof(
  fc.double({ min: 0, max: 4, noNaN: true }),
  fc.constantFrom(...ownMetrics.requestSeconds.buckets),
  fc.constantFrom(NaN, Infinity, -1),
)
const outcome = fc.constantFrom<Outcome>(
  ...(['OK', 'OK', 'ERR_DECRYPTION_FAILED', 'ERR_INTERNAL', 'ERR_NEW'] as Outcome[]),
)
const event: fc.Arbitrary<Event> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('v1', 'v2'),
      fc.constantFrom('encrypt', 'decrypt', 'status', 'version'),
      outcome,
      seconds,
    )
    .map((words) => (metrics: Heard) => metrics.requestFinished(...words)),
  fc.constantFrom('hit', 'miss').map((result) => (metrics: Heard) => metrics.dekCacheLookup(result)),
  fc.nat().map((count) => (metrics: Heard) => metrics.dekCacheSize(count)),
  fc.nat().map((count) => (metrics: Heard) => metrics.dekSeals(count)),
)

test('equal traffic gives equal lines in equal order, at every scrape', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(event, { maxLength: 30 }), { minLength: 1, maxLength: 3 }),
      async (scrapes) => {
        const ours = createPrometheusMetrics({ version: '1', node: 'v20', droppedLogLines: () => 0 })
        const reference = new Reference()
        for (const events of scrapes) {
          for (const tell of events) {
            tell(ours)
            tell(reference)
          }
          expect(chosen(await ours.scrape())).toEqual(chosen(await reference.registry.metrics()))
        }
      },
    ),
    { numRuns: 100 },
  )
})
