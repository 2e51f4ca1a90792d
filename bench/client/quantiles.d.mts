/** Exact quantiles: the smallest value that the given share of all values does not exceed. */
export function quantiles(values: readonly number[]): {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}
