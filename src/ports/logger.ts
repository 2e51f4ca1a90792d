/**
 * What may be logged beside the text: scalars only. A Buffer, a request or an Error does not type-check, so that
 * no key, PIN or plaintext reaches a log by accident.
 */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Structured log. Each call is one line; it never throws and never waits. */
export interface Logger {
  /** Whether lines of this level are written: where not, what only they need is not worth making. */
  isEnabled(level: LogLevel): boolean
  debug(text: string, fields?: LogFields): void
  info(text: string, fields?: LogFields): void
  warn(text: string, fields?: LogFields): void
  error(text: string, fields?: LogFields): void
}

/** Drops everything. */
export const silentLogger: Logger = { isEnabled: () => false, debug() {}, info() {}, warn() {}, error() {} }
