/** Are the keys right, each by the schema of its backend, and which of them is primary? */
import type * as z from 'zod'
import type { KeyConfig } from '../../ports/config.js'
import { decodeSettings, readDecoding, type FormatSchemas } from './decode.js'
import { nearest } from './hints.js'
import { EMPTY_VALUE, shown, type Mistake } from './mistake.js'
import { secretMistakes } from './secrets.js'
import { issueMistakes } from './zod_issues.js'

/** The schema of each registered backend's settings by the backend's name, loaded when a key asks for it. */
export type BackendSchemas = Readonly<Record<string, () => Promise<z.ZodType>>>

/** Of the name of a key: it stands in logs, metrics and paths of problems. */
export const keyNameForm = /^[a-z][a-z0-9-]{0,31}$/

export interface Keys {
  readonly primary: string
  /** Only the entries that are right. */
  readonly keys: Readonly<Record<string, KeyConfig>>
  readonly mistakes: readonly Mistake[]
}

/** @param root The whole file; looks at `primary` and `keys`. */
export async function readKeys(
  root: Readonly<Record<string, unknown>>,
  schemas: BackendSchemas,
  formats: FormatSchemas,
): Promise<Keys> {
  const entries = Object.entries(mappingOf(root['keys']) ?? {})
  const names = entries.map(([name]) => name)
  const keys: Record<string, KeyConfig> = {}
  const mistakes = primaryMistakes(root['primary'], names)
  if (entries.length === 0) mistakes.push({ path: ['keys'], text: keysText(root['keys']) })
  for (const [name, value] of entries) {
    const entry = await readEntry(name, value, schemas, formats)
    if ('mistakes' in entry) mistakes.push(...entry.mistakes)
    else keys[name] = entry.settings
  }
  const { primary } = root
  return { primary: typeof primary === 'string' ? primary : '', keys, mistakes }
}

function keysText(value: unknown): string {
  if (value === undefined) return 'is missing; name at least one key and its backend'
  return 'must hold at least one key: a name, and below it "backend: …" and the settings of that backend'
}

function primaryMistakes(value: unknown, names: readonly string[]): Mistake[] {
  const path = ['primary']
  if (value === undefined) return [{ path, text: 'is missing; name the key that seals new values' }]
  if (value === null) return [{ path, text: EMPTY_VALUE }]
  if (typeof value === 'string' && (names.length === 0 || names.includes(value))) return []
  const near = typeof value === 'string' ? nearest(value, names) : undefined
  const hint = near === undefined ? '' : `; did you mean "${shown(near)}"?`
  return [{ path, text: `must be the name of a key; there are ${names.map(shown).join(', ')}${hint}` }]
}

type Entry = { readonly settings: KeyConfig } | { readonly mistakes: readonly Mistake[] }

async function readEntry(
  name: string,
  value: unknown,
  schemas: BackendSchemas,
  formats: FormatSchemas,
): Promise<Entry> {
  const path = ['keys', name]
  const nameMistakes: Mistake[] = keyNameForm.test(name)
    ? []
    : [{ path, text: 'a key name has 1 to 32 of a-z, 0-9 and "-", and begins with a letter' }]
  const entry = mappingOf(value)
  if (entry === undefined) {
    return {
      mistakes: [...nameMistakes, { path, text: 'must hold "backend: …" and the settings of that backend' }],
    }
  }
  const { backend } = entry
  const schema = typeof backend === 'string' && Object.hasOwn(schemas, backend) ? schemas[backend] : undefined
  if (schema === undefined) {
    const text = backendText(backend, Object.keys(schemas))
    return {
      mistakes: [...nameMistakes, { path: [...path, 'backend'], text }, ...secretMistakes(entry, path)],
    }
  }
  const { decode, allowUnauthenticated, ...own } = entry
  const checked = await check(own, path, schema)
  const { decoding, mistakes } = readDecoding({ decode, allowUnauthenticated, backend }, path, formats)
  if ('settings' in checked && nameMistakes.length + mistakes.length === 0) {
    return { settings: { ...checked.settings, ...decoding } }
  }
  return {
    mistakes: [...nameMistakes, ...('mistakes' in checked ? checked.mistakes : []), ...mistakes],
  }
}

function backendText(value: unknown, known: readonly string[]): string {
  if (value === undefined) return `is missing; one of ${known.join(', ')}`
  const near = typeof value === 'string' ? nearest(value, known) : undefined
  return `must be one of ${known.join(', ')}${near === undefined ? '' : `; did you mean "${near}"?`}`
}

async function check(entry: object, path: readonly string[], load: () => Promise<z.ZodType>): Promise<Entry> {
  let schema: z.ZodType
  try {
    schema = await load()
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 1).join('') : 'unknown error'
    return { mistakes: [{ path: [...path, 'backend'], text: `this backend cannot be loaded: ${why}` }] }
  }
  const secrets = secretMistakes(entry, path)
  const result = await schema.safeParseAsync(entry)
  if (result.success && secrets.length === 0) return { settings: result.data as KeyConfig }
  const told = new Set(secrets.map((mistake) => mistake.path.join('.')))
  const issues = result.success ? [] : issueMistakes(result.error, entry, path, schema, decodeSettings)
  return { mistakes: [...secrets, ...issues.filter((mistake) => !told.has(mistake.path.join('.')))] }
}

function mappingOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isMapping ? (value as Readonly<Record<string, unknown>>) : undefined
}
