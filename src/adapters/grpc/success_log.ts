/** How are successes logged when there are thousands in a second? */
import type { LogFields, Logger } from '../../ports/logger.js'

/** How many lines one method writes in a second; kube-apiserver's Encrypts are fewer by far. */
export const SUCCESSES_PER_SECOND = 10

const SECOND_MS = 1000

export interface SuccessLogOptions {
  /** The level of the lines. */
  readonly level: 'debug' | 'info'
  /** Writes every line: `log.allValues`. */
  readonly all: boolean
}

/**
 * The successes of one method: at most {@link SUCCESSES_PER_SECOND} lines in each second, and the next line says in
 * `unlogged` how many were left out before it. While the level is off, nothing is built and nothing counted.
 */
export class SuccessLog {
  readonly #logger: Logger
  readonly #options: SuccessLogOptions
  #secondEndsAtMs = -Infinity
  #logged = 0
  #unlogged = 0

  constructor(logger: Logger, options: SuccessLogOptions) {
    this.#logger = logger
    this.#options = options
  }

  /** @param nowMs On `Clock.nowMs`. @param fields Asked only where a line is written. */
  note(nowMs: number, fields: () => LogFields): void {
    const { level, all } = this.#options
    if (!this.#logger.isEnabled(level)) return
    if (!all && !this.#mayLog(nowMs)) {
      this.#unlogged += 1
      return
    }
    const unlogged = this.#unlogged
    this.#unlogged = 0
    this.#logger[level]('request answered', unlogged === 0 ? fields() : { ...fields(), unlogged })
  }

  #mayLog(nowMs: number): boolean {
    if (nowMs >= this.#secondEndsAtMs) {
      this.#secondEndsAtMs = nowMs + SECOND_MS
      this.#logged = 0
    }
    this.#logged += 1
    return this.#logged <= SUCCESSES_PER_SECOND
  }
}
