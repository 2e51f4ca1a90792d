/** Keeps every log line for a test to read. */
import type { LogFields, Logger, LogLevel } from '../../src/ports/logger.js'

export interface LogLine {
  readonly level: LogLevel
  readonly text: string
  readonly fields: LogFields
}

export class RecordingLogger implements Logger {
  readonly lines: LogLine[] = []
  /** Levels that a test switches off. */
  readonly off = new Set<LogLevel>()

  isEnabled(level: LogLevel): boolean {
    return !this.off.has(level)
  }

  debug(text: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'debug', text, fields })
  }

  info(text: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'info', text, fields })
  }

  warn(text: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'warn', text, fields })
  }

  error(text: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'error', text, fields })
  }

  /** The texts of one level, in order. */
  texts(level: LogLine['level']): string[] {
    return this.lines.filter((line) => line.level === level).map(({ text }) => text)
  }
}
