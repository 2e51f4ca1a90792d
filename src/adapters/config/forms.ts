/**
 * How is a single value written, and what does it mean? Durations, counts, switches and choices.
 *
 * Rules: strict, since a config that is read otherwise than it was meant fails at night. No text ever quotes the value.
 */

/** What stands in the YAML for one value. */
export type Scalar = string | number | boolean

/** One way to write a value. */
export interface Form<T> {
  /** For the reference: Markdown, no line break. */
  readonly text: string
  /** JSON Schema of what {@link read} accepts, as far as JSON Schema can say it. */
  readonly schema: object
  /**
   * @param value Whatever stood in the YAML.
   * @throws {Error} With one line that completes "<setting> …" and never quotes the value.
   */
  read(value: unknown): T
  /** What {@link read} turns back into the same value. */
  write(value: T): Scalar
}

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** A whole number with a unit, such as `250ms`, `5s` or `1h`; only 0 needs none. In milliseconds. */
export function duration(minMs: number, maxMs: number): Form<number> {
  const range = `${writeDuration(minMs)} to ${writeDuration(maxMs)}`
  const written = { type: 'string', pattern: '^([0-9]{1,12}(ms|s|m|h)|0)$' }
  return {
    text: `duration, ${range}`,
    schema: minMs === 0 ? { anyOf: [written, { const: 0 }] } : written,
    read: (value) => {
      const ms = value === 0 ? 0 : readDuration(value)
      if (ms < minMs || ms > maxMs) throw new Error(`must be from ${range}`)
      return ms
    },
    write: writeDuration,
  }
}

function readDuration(value: unknown): number {
  const parts = typeof value === 'string' ? /^(?:([0-9]{1,12})(ms|s|m|h)|0)$/.exec(value) : null
  if (parts === null) throw new Error('must be a whole number and a unit (ms, s, m, h), such as 250ms or 5s')
  return parts[1] === undefined ? 0 : Number(parts[1]) * unitsMs[parts[2] as keyof typeof unitsMs]
}

/** In the largest unit that divides it. */
export function writeDuration(ms: number): string {
  const unit = (['h', 'm', 's'] as const).find((name) => ms > 0 && ms % unitsMs[name] === 0)
  if (ms === 0) return '0'
  return unit === undefined ? `${ms}ms` : `${ms / unitsMs[unit]}${unit}`
}

/** A whole number within bounds. */
export function integer(min: number, max: number): Form<number> {
  return {
    text: `whole number, ${min} to ${max}`,
    schema: { type: 'integer', minimum: min, maximum: max },
    read: (value) => {
      if (typeof value === 'string') throw new Error('must be a number; write it without quotes')
      if (typeof value !== 'number' || !Number.isInteger(value)) throw new Error('must be a whole number')
      if (value < min || value > max) throw new Error(`must be from ${min} to ${max}`)
      return value
    },
    write: (value) => value,
  }
}

/** `true` or `false`, and none of the other words that YAML 1.1 took for them. */
export const bool: Form<boolean> = {
  text: '`true` or `false`',
  schema: { type: 'boolean' },
  read: (value) => {
    if (typeof value !== 'boolean')
      throw new Error('must be true or false; yes, no, on, off, 1 and 0 are not read')
    return value
  },
  write: (value) => value,
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Form<Word> {
  return {
    text: words.map((word) => `\`${word}\``).join(', '),
    schema: { type: 'string', enum: words },
    read: (value) => {
      const word = words.find((candidate) => candidate === value)
      if (word === undefined) throw new Error(`must be one of ${words.join(', ')}`)
      return word
    },
    write: (value) => value,
  }
}

/** The text of a value that YAML must not take for a number. */
export function textOf(value: unknown, example: string): string {
  if (typeof value === 'string') return value
  throw new Error(`must be a text; write it in quotes: "${example}"`)
}
