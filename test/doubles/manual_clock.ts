/** Time that stands still until a test moves it. */
import type { Clock } from '../../src/ports/clock.js'

interface Sleeper {
  readonly atMs: number
  wake(): void
}

export class ManualClock implements Clock {
  #nowMs = 1_000
  readonly #sleepers = new Set<Sleeper>()

  nowMs(): number {
    return this.#nowMs
  }

  /** How many sleep now: a timer that nobody needs any more is a leak. */
  get sleepers(): number {
    return this.#sleepers.size
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (delayMs <= 0 || signal?.aborted === true) return
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper: Sleeper = { atMs: this.#nowMs + delayMs, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', wake)
    })
  }

  /** Lets `ms` pass: sleepers wake in order, each at its own time, and what they do settles before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    await settled()
    for (;;) {
      const next = this.#earliest()
      if (next === undefined || next.atMs > untilMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.wake()
      await settled()
    }
    this.#nowMs = untilMs
    await settled()
  }

  /** The machine sleeps for `ms`: time has passed when it wakes, and no timer has run. */
  suspend(ms: number): void {
    this.#nowMs += ms
  }

  #earliest(): Sleeper | undefined {
    let earliest: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (earliest === undefined || sleeper.atMs < earliest.atMs) earliest = sleeper
    }
    return earliest
  }
}

/** Resolves when everything that waits for nothing but promises has run. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
