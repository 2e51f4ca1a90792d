/**
 * May these credentials be tried (again)? A service that locks an account after a few wrong tries must not be given
 * them by a plugin that probes every second.
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'

/** Before refused credentials are tried again, while nobody has replaced them; doubles with each refusal. */
const FIRST_PAUSE_MS = 5000
const MAX_PAUSE_MS = 300_000

interface Refused {
  readonly print: string
  readonly error: KmsError
  readonly pauseMs: number
  readonly untilMs: number
}

export class LoginGuard {
  readonly #clock: Clock
  /** Prints are kept, not secrets. */
  readonly #salt = randomBytes(32)
  #refused: Refused | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Logs in, unless these very credentials were refused a short while ago: then fails as it did then. Others, such as
   * those of a file that was replaced, are tried at once.
   *
   * @param credentials All that is sent to be let in.
   * @param login Fails with `ERR_LOGIN_REFUSED` when the credentials are wrong.
   */
  async attempt<T>(credentials: readonly string[], login: () => Promise<T>): Promise<T> {
    const print = this.#printOf(credentials)
    const before = this.#refused?.print === print ? this.#refused : undefined
    if (before !== undefined && this.#clock.nowMs() < before.untilMs) throw before.error
    try {
      const answer = await login()
      this.#refused = undefined
      return answer
    } catch (error) {
      if (error instanceof KmsError && error.code === 'ERR_LOGIN_REFUSED') {
        const pauseMs = before === undefined ? FIRST_PAUSE_MS : Math.min(before.pauseMs * 2, MAX_PAUSE_MS)
        this.#refused = { print, error, pauseMs, untilMs: this.#clock.nowMs() + pauseMs }
      }
      throw error
    }
  }

  #printOf(credentials: readonly string[]): string {
    return createHmac('sha256', this.#salt).update(JSON.stringify(credentials)).digest('hex')
  }
}
