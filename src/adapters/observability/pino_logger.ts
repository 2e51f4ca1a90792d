/**
 * How does a log call become one line on a descriptor?
 *
 * Rule: whatever is no scalar is not serialised. The type of {@link LogFields} says so already; this is the second
 * line of defence, for what a cast or plain JavaScript smuggles in.
 */
import { createRequire } from 'node:module'
import { pino, stdTimeFunctions } from 'pino'
import type { DestinationStream } from 'pino'
import type { LogConfig } from '../../ports/config.js'
import type { LogFields, Logger, LogLevel } from '../../ports/logger.js'
import { LineWriter } from './line_writer.js'

/** A logger that also says what it lost and can be emptied before the process ends. */
export interface PinoLogger extends Logger {
  /** Writes what still waits, within half a second; blocks for so long. For the end of the process only. */
  flush(): void
  /** How many lines were lost since the start because their reader was stuck or gone. */
  dropped(): number
}

export interface PinoLoggerOptions {
  readonly level: LogConfig['level']
  /** For a terminal; else JSON, one object per line. */
  readonly pretty: boolean
  /** Where to: 2 for stderr. A reader that is stuck or gone neither stops nor blocks the process. */
  readonly fd: number
}

/** JSON lines of the form `{"level":"info","time":"<ISO 8601>",…fields,"msg":"<text>"}`. */
export function createPinoLogger({ level, pretty, fd }: PinoLoggerOptions): PinoLogger {
  const lines = new LineWriter(fd)
  const log = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pretty ? prettyLines(lines) : lines,
  )
  const shown = pretty ? escapeControls : (text: string) => text
  let failed = 0

  const writerAt = (at: LogLevel) => (text: string, fields?: LogFields) => {
    if (!log.isLevelEnabled(at)) return
    try {
      log[at](scalarsOf(fields, shown), typeof text === 'string' ? shown(text) : DROPPED)
    } catch {
      failed++ // A getter or a proxy that throws: logging never does.
    }
  }
  return {
    isEnabled: (at) => log.isLevelEnabled(at),
    debug: writerAt('debug'),
    info: writerAt('info'),
    warn: writerAt('warn'),
    error: writerAt('error'),
    flush: () => lines.flush(),
    dropped: () => lines.dropped() + failed,
  }
}

const DROPPED = '[dropped]'

/** Names that a line already has: a field of that name would make two of them. */
const RESERVED = new Set(['level', 'time', 'msg'])

function scalarsOf(fields: unknown, shown: (text: string) => string): Record<string, unknown> {
  const scalars: Record<string, unknown> = {}
  if (fields === undefined) return scalars
  // The entries of a Buffer or a string are scalars, and they are its content.
  if (!isPlainRecord(fields)) return { fields: DROPPED }
  for (const [name, value] of Object.entries(fields)) {
    scalars[RESERVED.has(name) ? `${name}_` : shown(name)] = scalarOf(value, shown)
  }
  return scalars
}

function scalarOf(value: unknown, shown: (text: string) => string): unknown {
  if (typeof value === 'string') return shown(value)
  const isScalar = typeof value === 'number' || typeof value === 'boolean' || value === undefined
  return isScalar ? value : DROPPED
}

function isPlainRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** JSON escapes control characters; a terminal would obey them, and a newline would forge a line. */
function escapeControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Loads pino-pretty only here: a service never needs it. */
function prettyLines(lines: LineWriter): DestinationStream {
  const { prettyFactory } = createRequire(import.meta.filename)('pino-pretty') as typeof import('pino-pretty')
  const prettify = prettyFactory({ colorize: true, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' })
  return { write: (line) => lines.write(prettify(line)) }
}
