/** Time as the core sees it, so that tests can move it. */
export interface Clock {
  /**
   * Milliseconds since an arbitrary start. Never goes back, does not follow the wall clock, and counts the time
   * that the machine was suspended: a DEK grows old in its sleep.
   */
  nowMs(): number

  /**
   * Resolves after `delayMs`, or at once when `signal` aborts; it never rejects.
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}
