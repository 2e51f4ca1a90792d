/** What is needed to export the metrics of a plugin that we replace? */
import type { Registry } from 'prom-client'
import type { Metrics } from '../../../ports/metrics.js'

/** Registers them; answers what feeds them. None of it throws. */
export type PeerMetrics = (registry: Registry) => Partial<Metrics>

/** One metric as the other plugin has it: name, type, labels and buckets are its own, the words ours. */
export interface PeerRow<L extends string = string> {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly L[]
  /** The HELP text, and a cell of docs/metrics.md. */
  readonly meaning: string
  /** Upper bounds, in the unit of the name. */
  readonly buckets?: readonly number[]
}

/** What prom-client wants to know of a row. */
export function settingsOf<L extends string>(registry: Registry, row: PeerRow<L>) {
  return { name: row.name, help: row.meaning, labelNames: row.labels, registers: [registry] }
}
