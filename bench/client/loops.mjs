/** How are calls spread over time? Closed: the next when one is answered. Open: at fixed times, answered or not. */
import { setTimeout as pause } from 'node:timers/promises'

/** Where the next call is nearer than this, the open loop spins rather than sleeps: a timer is up to 1 ms late. */
const SPIN_MS = 2

/** How long the open loop waits for its last answers. */
const DRAIN_MS = 15_000

/**
 * @param call Begins call `index` and tells when it is answered.
 * @param until Ends by number or by time, whichever comes first.
 * @returns Each call's latency in ms, and how long all took.
 */
export async function closedLoop({ call, flush, inFlight, calls = Infinity, durationMs = Infinity }) {
  const latenciesMs = []
  const startMs = performance.now()
  const endMs = startMs + durationMs
  let begun = 0
  let pending = 0
  await new Promise((resolve) => {
    const next = () => {
      const sentMs = performance.now()
      if (begun >= calls || sentMs >= endMs) {
        if (pending === 0) resolve()
        return
      }
      pending += 1
      call(begun++, () => {
        latenciesMs.push(performance.now() - sentMs)
        pending -= 1
        next()
      })
    }
    for (let slot = 0; slot < inFlight; slot++) next()
    flush()
  })
  return { latenciesMs, seconds: (performance.now() - startMs) / 1000 }
}

/**
 * Call i is due at i / rate, whatever became of the others, and its latency counts from then: a server that stalls is
 * charged for every call that it kept waiting (no coordinated omission).
 */
export async function openLoop({ call, flush, ratePerSecond, calls }) {
  const latenciesMs = []
  const startMs = performance.now()
  const giveUpMs = startMs + (calls / ratePerSecond) * 1000 + DRAIN_MS
  let begun = 0
  while (begun < calls) {
    const dueMs = startMs + (begun * 1000) / ratePerSecond
    const waitMs = dueMs - performance.now()
    if (waitMs > SPIN_MS) await pause(waitMs - SPIN_MS)
    else if (waitMs > 0) await new Promise((resolve) => setImmediate(resolve))
    else {
      call(begun++, () => latenciesMs.push(performance.now() - dueMs))
      flush()
    }
  }
  while (latenciesMs.length < calls && performance.now() < giveUpMs) await pause(5)
  return { latenciesMs, seconds: (performance.now() - startMs) / 1000 }
}
