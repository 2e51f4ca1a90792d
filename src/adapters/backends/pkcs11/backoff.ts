/** How long after a failure may the next HSM process be started? */

const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 1000

/** Nothing after the first failure, then 250 ms doubling to 1 s, each with up to half of it taken off at random. */
export class Backoff {
  #failures = 0
  #notBeforeMs = -Infinity

  failed(nowMs: number): void {
    this.#failures += 1
    const delayMs =
      this.#failures === 1 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 2))
    this.#notBeforeMs = nowMs + delayMs * (1 - Math.random() / 2)
  }

  reset(): void {
    this.#failures = 0
    this.#notBeforeMs = -Infinity
  }

  /** 0 when there is nothing to wait for. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#notBeforeMs - nowMs)
  }
}
