export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly rounds: number
}
export function median(values: readonly number[]): number
/** Median, lowest and highest. */
export function spread(values: readonly number[]): Spread
/** The ratio of two figures round by round. */
export function ratio(over: readonly number[], under: readonly number[]): Spread
