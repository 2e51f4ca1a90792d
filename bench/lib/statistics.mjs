/** Figures of several rounds as one. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Median, lowest and highest. */
export function spread(values) {
  return {
    median: median(values),
    low: Math.min(...values),
    high: Math.max(...values),
    rounds: values.length,
  }
}

/** The ratio of two figures round by round, so that what slows the whole machine for a while falls out. */
export function ratio(over, under) {
  return spread(over.map((value, round) => value / under[round]))
}
