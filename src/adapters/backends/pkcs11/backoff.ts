/** How long after the start of an HSM process that failed may the next one be started? */
import type { KmsErrorCode } from '../../../ports/errors.js'

const FIRST_DELAY_MS = 250
/** Whoever comes back just after a start has failed waits for less than this, and for one start. */
const MAX_DELAY_MS = 600
/** What only an operator mends need not be tried every second. */
const MAX_OPERATOR_DELAY_MS = 5000
const operatorCodes: readonly KmsErrorCode[] = ['ERR_CONFIG_INVALID', 'ERR_LOGIN_REFUSED']

/**
 * Nothing after the first failure, then 250 ms doubling to 600 ms, or to 5 s for what only an operator mends, each with
 * up to half of it taken off at random. Counted from the start that failed: one that took long has waited already.
 */
export class Backoff {
  #failures = 0
  #notBeforeMs = -Infinity

  /** @param startedMs When the process that failed was started. */
  failed(startedMs: number, code: KmsErrorCode): void {
    this.#failures += 1
    const maxMs = operatorCodes.includes(code) ? MAX_OPERATOR_DELAY_MS : MAX_DELAY_MS
    const delayMs = this.#failures === 1 ? 0 : Math.min(maxMs, FIRST_DELAY_MS * 2 ** (this.#failures - 2))
    this.#notBeforeMs = startedMs + delayMs * (1 - Math.random() / 2)
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
