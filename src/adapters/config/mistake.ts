/** What a check of the config file reports, before a line number is known. */

export interface Mistake {
  /** Keys from the root of the file down to the offender, as they stand there; empty for the file as a whole. */
  readonly path: readonly string[]
  /** What is wrong and what to do, one line. Never a value of the file: it may be a secret in the wrong place. */
  readonly text: string
}

/** A text for a key with nothing behind its colon. */
export const EMPTY_VALUE = 'is empty; give it a value or remove the line'

/** Names of the file as they may be shown: printable ASCII of bounded length. */
export function shown(name: string): string {
  return name.slice(0, 60).replace(/[^ -~]/g, '?')
}
