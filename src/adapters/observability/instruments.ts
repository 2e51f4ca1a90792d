/** What do rows, outcomes and numbers become, so that prom-client takes them without throwing? */
import type { Registry } from 'prom-client'
import { errorCodes } from '../../ports/errors.js'
import type { Outcome } from '../../ports/metrics.js'

/** What the label `code` may say. */
export const codes: readonly string[] = ['OK', ...Object.keys(errorCodes)]

export function codeOf(outcome: Outcome): string {
  return codes.includes(outcome) ? outcome : 'ERR_INTERNAL'
}

/** prom-client throws at NaN and, for counters, below 0. */
export function finite(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0
}

/** What prom-client wants to know of a row. */
export function settings<L extends string>(registry: Registry, row: Row<L>) {
  return { name: row.name, help: row.meaning, labelNames: row.labels, registers: [registry] }
}

export interface Row<L extends string> {
  readonly name: string
  readonly meaning: string
  readonly labels: readonly L[]
}
