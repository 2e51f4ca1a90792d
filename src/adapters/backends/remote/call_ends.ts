/** When does a call to a service end: at its time limit, when its caller leaves, when we close? */

/**
 * Gives each call one signal for all three. `AbortSignal.any` would do, but each signal that it makes of one which lives
 * as long as we do is kept by that one on Node.js 20: some bytes for every call ever made.
 */
export class CallEnds {
  readonly #underWay = new Set<AbortController>()
  #isClosed = false

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Calls that have not ended. */
  get size(): number {
    return this.#underWay.size
  }

  /**
   * Runs `work` with a signal that aborts after `timeoutMs`, with `outer`, or at {@link close}; at once after it. Leaves
   * nothing behind: no timer and no listener.
   */
  async during<T>(
    timeoutMs: number,
    outer: AbortSignal | undefined,
    work: (ended: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const end = new AbortController()
    const abort = (): void => end.abort()
    if (this.#isClosed || outer?.aborted === true) abort()
    const timer = setTimeout(abort, timeoutMs)
    outer?.addEventListener('abort', abort, { once: true })
    this.#underWay.add(end)
    try {
      return await work(end.signal)
    } finally {
      clearTimeout(timer)
      outer?.removeEventListener('abort', abort)
      this.#underWay.delete(end)
    }
  }

  /** Ends all calls, and those that come after it. */
  close(): void {
    this.#isClosed = true
    for (const end of this.#underWay) end.abort()
  }
}
