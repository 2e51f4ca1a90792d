/** One piece of work for all who want its result at the same time. */
import type { Clock } from '../ports/clock.js'
import type { CallOptions } from '../ports/key_wrapper.js'
import { untilAborted, withDeadline } from './deadline.js'

/**
 * Rule: a flight belongs to nobody who waits for it. It has its own time limit, so a waiter that leaves at its
 * own deadline cancels nobody, and a waiter with a short deadline cannot shorten the work of the others.
 */
export class SingleFlight<T> {
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #flights = new Map<string, Promise<T>>()

  /** @param timeoutMs How long one flight may take: `retry.totalTimeout`. */
  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /** The result of the flight of this name that is under way, else of `work`, begun now. */
  async join(
    name: string,
    waiter: Partial<CallOptions>,
    work: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    const flight = this.#flights.get(name) ?? this.#begin(name, work)
    // When every waiter has left, nobody else listens to a failure.
    flight.catch(() => undefined)
    return untilAborted(waiter.signal, async () => flight)
  }

  async #begin(name: string, work: (options: CallOptions) => Promise<T>): Promise<T> {
    const deadlineMs = this.#clock.nowMs() + this.#timeoutMs
    const flight = withDeadline(this.#clock, deadlineMs, {}, work).finally(() => this.#flights.delete(name))
    this.#flights.set(name, flight)
    return flight
  }
}
