/** What is to be reached: figures of the scenarios, each a ratio within one run, a count, or memory. */

const warm = (operation, inFlight) => ({
  figure: `throughput.${operation}.${inFlight}`,
  text: `warm ${operation.slice(0, 2)} ${operation.slice(2)}, ${inFlight} in flight: throughput of the null envelope`,
  atLeast: 0.9,
  noise: `noise.${operation}.${inFlight}`,
})

export const goals = [
  ...['v2Decrypt', 'v2Encrypt'].flatMap((operation) =>
    [1, 8, 64].map((inFlight) => warm(operation, inFlight)),
  ),
  ...['v1Decrypt', 'v1Encrypt'].map((operation) => warm(operation, 64)),
  { figure: 'list.5ms', text: 'serial LIST, KMS 5 ms: times as fast as asking for each value', atLeast: 20 },
  {
    figure: 'list.20ms',
    text: 'serial LIST, KMS 20 ms: times as fast as asking for each value',
    atLeast: 80,
  },
  {
    figure: 'coldStart.13',
    text: '1,000 cold Decrypts under one DEK, 13 in flight: time of asking for each',
    atMost: 0.1,
  },
  {
    figure: 'openLoop.p99',
    text: 'p99 at 1,000 Decrypts/s, KMS 20 ms: of asking for each value',
    atMost: 0.07,
  },
  { figure: 'status.underLoad.p99Ms', text: 'p99 of Status under full load, ms', atMost: 50 },
  {
    figure: 'hsm.device.ratio',
    text: 'HSM of 20 ms, 8 in flight: throughput of the device itself',
    atLeast: 0.95,
  },
  {
    figure: 'hsm.ipcP50Ms',
    text: 'unwrap in the HSM child, beyond a held Decrypt and the token itself, p50, ms',
    atMost: 0.2,
  },
  { figure: 'start.plain', text: 'start to first Status: times `node -e 0`', atMost: 1.5 },
  { figure: 'rss.idle.shippedMb', text: 'RSS idle, MB', atMost: 55 },
  { figure: 'rss.afterMillionMb', text: 'RSS after a million Decrypts, MB', atMost: 75 },
]

/**
 * `reached`, or `missed`; `within the noise` where a round reached it and the miss is smaller than that by which the
 * null envelope differs from itself; `not measured` where its scenario did not run.
 */
export function judge({ figure, atLeast, atMost, noise }, figures) {
  const found = figures[figure]
  if (found === undefined) return 'not measured'
  const { median, low, high } = found
  const isReached = (value) => (atLeast === undefined ? value <= atMost : value >= atLeast)
  if (isReached(median)) return 'reached'
  const floor = figures[noise]
  const isNoise =
    floor !== undefined &&
    isReached(atLeast === undefined ? low : high) &&
    atLeast - median <= Math.max(1 - floor.low, floor.high - 1)
  return isNoise ? 'within the noise' : 'missed'
}
