/**
 * How is a frequent event counted for the price of an addition?
 *
 * prom-client looks a series up by its labels at each event. Here a series is looked up once and counts by itself;
 * prom-client hears of it when it is scraped, and shows what it would have shown.
 */
import { Counter, type Histogram, type Registry } from 'prom-client'

interface Settings {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly registers: readonly Registry[]
}

type Labels = Readonly<Record<string, string>>

/** What one series counted since the last scrape. */
export interface Tally {
  count: number
}

export class TallyCounter {
  readonly #series: { readonly labels: Labels; readonly tally: Tally }[] = []

  constructor(settings: Settings) {
    const series = this.#series
    new Counter({
      ...settings,
      registers: [...settings.registers],
      collect() {
        for (const { labels, tally } of series) {
          this.inc(labels, tally.count)
          tally.count = 0
        }
      },
    })
  }

  /** A series that is shown from now on, at 0 if nothing is counted. Ask once for each. */
  series(labels: Labels): Tally {
    const tally: Tally = { count: 0 }
    this.#series.push({ labels, tally })
    return tally
  }
}

/** One series of a histogram. */
export class Distribution {
  readonly labels: Labels
  readonly #buckets: readonly { readonly bound: number; count: number }[]
  #sum = 0
  #count = 0

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels
    this.#buckets = bounds.map((bound) => ({ bound, count: 0 }))
  }

  /** @param value A finite number. */
  observe(value: number): void {
    this.#sum += value
    this.#count += 1
    for (const bucket of this.#buckets) {
      if (value > bucket.bound) continue
      bucket.count += 1
      return
    }
  }

  /** Its lines: a bucket for each bound, which counts what lies below too, then all, their sum and their number. */
  samples(name: string) {
    let below = 0
    const buckets = this.#buckets.map(({ bound, count }) => [bound, (below += count)] as const)
    return [
      ...[...buckets, ['+Inf', this.#count] as const].map(([le, value]) => ({
        metricName: `${name}_bucket`,
        labels: { le, ...this.labels },
        value,
      })),
      { metricName: `${name}_sum`, labels: this.labels, value: this.#sum },
      { metricName: `${name}_count`, labels: this.labels, value: this.#count },
    ]
  }
}

export class TallyHistogram {
  readonly #bounds: readonly number[]
  readonly #series: Distribution[] = []

  constructor({ name, help, registers }: Settings, bounds: readonly number[]) {
    this.#bounds = bounds
    const values = () => this.#series.flatMap((series) => series.samples(name))
    // A histogram of prom-client takes one value at a time; a registry asks its metrics for no more than this.
    const metric = {
      name,
      get: async () =>
        Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values: values() }),
    }
    for (const registry of registers) registry.registerMetric(metric as unknown as Histogram)
  }

  /** A series that is shown from now on. Ask once for each. */
  series(labels: Labels): Distribution {
    const series = new Distribution(labels, this.#bounds)
    this.#series.push(series)
    return series
  }
}
