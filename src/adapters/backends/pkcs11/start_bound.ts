/** How long may the next HSM process take until it is ready? */

/** Spawn, load, initialise and log in. Vendors' libraries take seconds to find a network HSM. */
const FULL_MS = 10_000
const SHORTEST_MS = 1_500
/** So many starts are remembered: one on a busy machine must not make all later outages longer. */
const REMEMBERED = 4
/** Against a device that has become slower than it ever was. */
const FULL_EVERY = 4

/**
 * All of the time until one was ready; then three times the slowest of the last four, so that an initialise that
 * began during an outage does not outlast it by long, and still all of it at every fourth start in vain.
 */
export class StartBound {
  readonly #tookMs: number[] = []
  #inVain = 0

  get ms(): number {
    if (this.#tookMs.length === 0 || this.#inVain % FULL_EVERY === FULL_EVERY - 1) return FULL_MS
    return Math.min(FULL_MS, Math.max(SHORTEST_MS, 3 * Math.max(...this.#tookMs)))
  }

  /** A process was ready after this time. */
  ready(tookMs: number): void {
    this.#tookMs.push(tookMs)
    if (this.#tookMs.length > REMEMBERED) this.#tookMs.shift()
    this.#inVain = 0
  }

  /** A process ended before it was ready. */
  failed(): void {
    this.#inVain += 1
  }
}
