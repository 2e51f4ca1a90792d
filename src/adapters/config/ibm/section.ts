/** What does one section of IBM's file say, key by key? */
import { unknownKey } from '../hints.js'
import { EMPTY_VALUE, type Mistake } from '../mistake.js'
import type { Scalar } from '../forms.js'
import { ibmKeys, type IbmKey, type IbmSection } from './keys.js'

/** One value of ours. */
export interface Said {
  /** A section of ours, or `key` or `decoder` for a setting of a root key's entry; see keys.ts. */
  readonly section: string
  readonly key: string
  readonly value: Scalar
}

export interface SectionReading {
  readonly said: readonly Said[]
  readonly mistakes: readonly Mistake[]
  readonly notices: readonly Mistake[]
}

/** A value that nobody wrote: IBM's documentation has `<api key>` in its place. */
const PLACEHOLDER = /^<[^<>]*>$/

/**
 * @param content `undefined` and `null` (nothing below its name) are an empty section.
 * @param path Where the section stands.
 * @param file Absolute path of the file.
 */
export function readSection(
  section: IbmSection,
  content: unknown,
  path: readonly string[],
  file: string,
): SectionReading {
  const isSection = content === undefined || (typeof content === 'object' && !Array.isArray(content))
  if (!isSection) {
    const text = 'must hold "KEY: value" lines, indented below it'
    return { said: [], mistakes: [{ path, text }], notices: [] }
  }
  const given = (content ?? {}) as Readonly<Record<string, unknown>>
  const rows = ibmKeys.filter((key) => key.section === section)
  const known = rows.map(({ name }) => name)
  const reading = {
    said: [] as Said[],
    mistakes: Object.keys(given)
      .filter((name) => !known.includes(name))
      .map((name): Mistake => ({ path: [...path, name], text: strayKey(name, known) })),
    notices: [] as Mistake[],
  }
  for (const key of rows) {
    const here = [...path, key.name]
    const isGiven = Object.hasOwn(given, key.name)
    const value = isGiven ? given[key.name] : key.whenMissing
    if (value === undefined) {
      if (key.required !== undefined) reading.mistakes.push({ path: here, text: key.required })
      continue
    }
    try {
      const { value: ours, notice } = translated(key, value, file)
      if (ours !== undefined && key.becomes !== undefined) {
        reading.said.push({ section: key.becomes[0], key: key.becomes[1], value: ours })
      }
      if (notice !== undefined) reading.notices.push({ path: here, text: notice })
    } catch (error) {
      reading.mistakes.push({ path: here, text: (error as Error).message })
    }
  }
  return reading
}

function translated(key: IbmKey, value: unknown, file: string): ReturnType<IbmKey['read']> {
  if (value === null) throw new Error(EMPTY_VALUE)
  if (typeof value === 'object') throw new Error('must be one value; quote it if it begins with [ or {')
  if (typeof value === 'string' && PLACEHOLDER.test(value)) {
    throw new Error('still holds the placeholder of an example; write your own value or remove the line')
  }
  return key.read(value, file)
}

/** The text for a key that does not exist at its place. */
export function strayKey(name: string, known: readonly string[]): string {
  const elsewhere = ibmKeys.find((key) => key.name === name)
  if (elsewhere !== undefined) return `belongs in ${elsewhere.section}`
  return unknownKey(name, known)
}
