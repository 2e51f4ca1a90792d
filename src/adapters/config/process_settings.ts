/**
 * Are the process's own settings right, and what are they with every default filled in?
 *
 * convict fills in and validates. Its traps are kept out here: it reads the environment and the command line unless
 * told otherwise, quotes values in errors unless they are sensitive, turns any text but "false" into true where the
 * format is not one of our own by name, and fails on an empty section or a mapping in place of a value.
 */
import convict from 'convict'
import { unknownKey } from './hints.js'
import { EMPTY_VALUE, type Mistake } from './mistake.js'
import { rows, sectionNames, type ProcessConfig, type Row } from './settings.js'

export interface ProcessSettings {
  /** With the default in place of each value that is wrong. */
  readonly config: ProcessConfig
  readonly mistakes: readonly Mistake[]
}

const NOT_ONE_VALUE = 'must be one value; quote it if it begins with [ or {'

type Values = Record<string, Record<string, unknown>>

for (const row of rows) {
  const validate = (value: unknown): void => void row.form.read(value)
  // A format with a name of its own: convict coerces by the type of the default otherwise.
  convict.addFormat({ name: formatName(row), validate })
}

/** @param root The whole file; what is not one of our sections is somebody else's. */
export function readProcessSettings(root: Readonly<Record<string, unknown>>): ProcessSettings {
  const { given, mistakes } = sortOut(root)
  const { values, invalid } = fillIn(given)
  const wrong = new Set(invalid.map(({ path }) => path.join('.')))
  const config: Values = {}
  for (const row of rows) {
    const value = wrong.has(`${row.section}.${row.key}`) ? row.fallback : values[row.section]?.[row.key]
    ;(config[row.section] ??= {})[row.field] = row.form.read(value)
  }
  // The table has a row for every field, and each form reads the type of its field: see `Table`.
  return { config: config as unknown as ProcessConfig, mistakes: [...mistakes, ...invalid] }
}

/** Known keys with single values are given to convict; all else is a mistake. */
function sortOut(root: Readonly<Record<string, unknown>>): { given: Values; mistakes: Mistake[] } {
  const given: Values = {}
  const mistakes: Mistake[] = []
  for (const section of sectionNames) {
    const content = root[section]
    // A section with nothing in it, or nothing left in it, has its defaults.
    if (content === undefined || content === null) continue
    if (typeof content !== 'object' || Array.isArray(content)) {
      mistakes.push({ path: [section], text: 'must hold "key: value" lines, indented below it' })
      continue
    }
    const known = rows.filter((row) => row.section === section).map(({ key }) => key)
    for (const [key, value] of Object.entries(content)) {
      const path = [section, key]
      if (!known.includes(key)) mistakes.push({ path, text: unknownKey(key, known) })
      else if (value === null) mistakes.push({ path, text: EMPTY_VALUE })
      else if (typeof value === 'object') mistakes.push({ path, text: NOT_ONE_VALUE })
      else (given[section] ??= {})[key] = value
    }
  }
  return { given, mistakes }
}

function fillIn(given: Values): { values: Values; invalid: Mistake[] } {
  const source = convict<Values>(convictSchema(), { env: {}, args: [] })
  source.load(given)
  return { values: source.getProperties(), invalid: validate(source) }
}

function validate(source: convict.Config<Values>): Mistake[] {
  try {
    source.validate({ allowed: 'strict' })
    return []
  } catch (error) {
    // One line for each mistake: "section.key: text".
    const lines = (error as Error).message.split('\n')
    return lines.map((line) => {
      const separator = line.indexOf(': ')
      return { path: line.slice(0, separator).split('.'), text: line.slice(separator + 2) }
    })
  }
}

function convictSchema(): convict.Schema<Values> {
  const schema: Record<string, Record<string, unknown>> = {}
  for (const row of rows) {
    const setting = { doc: row.meaning, format: formatName(row), default: row.fallback, sensitive: true }
    ;(schema[row.section] ??= {})[row.key] = setting
  }
  return schema as unknown as convict.Schema<Values>
}

function formatName(row: Row): string {
  return `kmsplugin ${row.section}.${row.key}`
}
