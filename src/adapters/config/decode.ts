/** Which formats of other plugins does a key decode, and is what `decode` says right? */
import type * as z from 'zod'
import type { DecodeConfig } from '../../ports/config.js'
import { nearest } from './hints.js'
import { EMPTY_VALUE, shown, type Mistake } from './mistake.js'
import { issueMistakes } from './zod_issues.js'

/** What the config must know of a format. */
export interface FormatSchema {
  /** Its options without `format`: a strict object. */
  readonly options: z.ZodType
  /** The backends whose keys open it. */
  readonly backends: readonly string[]
  readonly authenticated: 'all' | 'some' | 'none'
}

/** By the name of the format. */
export type FormatSchemas = Readonly<Record<string, FormatSchema>>

/** The settings that every key may have, whatever its backend. */
export const decodeSettings = ['decode', 'allowUnauthenticated'] as const

export interface Decoding {
  readonly decode?: readonly DecodeConfig[]
  readonly allowUnauthenticated?: boolean
}

export const decodeMeaning = {
  decode:
    'Formats of other plugins whose stored values this key opens, by name, or as `format:` with its options: see docs/migrate/. It never writes them. Take a format out when `kmsplugin_foreign_decrypts_total` has stopped.',
  allowUnauthenticated:
    'Also open values that nothing protects against alteration: whoever can write to etcd could change them unnoticed. Needed by the formats that say so, and only until their values are rewritten.',
}

/**
 * @param entry One entry under `keys`.
 * @param path Where it stands.
 */
export function readDecoding(
  entry: Readonly<Record<string, unknown>>,
  path: readonly string[],
  formats: FormatSchemas,
): { readonly decoding: Decoding; readonly mistakes: readonly Mistake[] } {
  const permission = permissionOf(entry, path)
  const { decode: given, backend } = entry
  if (given === undefined) {
    const stray = permission.value === undefined ? [] : [strayPermission(path)]
    return { decoding: {}, mistakes: [...permission.mistakes, ...stray] }
  }
  if (!Array.isArray(given) || given.length === 0) {
    const text = given === null ? EMPTY_VALUE : 'must be a list of formats, such as [vault-kubernetes-kms]'
    return { decoding: {}, mistakes: [...permission.mistakes, { path: [...path, 'decode'], text }] }
  }
  const decode: DecodeConfig[] = []
  const mistakes = [...permission.mistakes]
  for (const [index, item] of given.entries()) {
    const here = [...path, 'decode', String(index)]
    const read = readItem(item, here, String(backend), permission.value === true, formats)
    if ('mistakes' in read) mistakes.push(...read.mistakes)
    else decode.push(read.decode)
  }
  const isNeeded = decode.some(({ format }) => formats[format]?.authenticated !== 'all')
  if (permission.value === true && mistakes.length === 0 && !isNeeded) mistakes.push(strayPermission(path))
  const decoding = {
    decode,
    ...(permission.value === undefined ? {} : { allowUnauthenticated: permission.value }),
  }
  return { decoding, mistakes }
}

function permissionOf(
  entry: Readonly<Record<string, unknown>>,
  path: readonly string[],
): { readonly value: boolean | undefined; readonly mistakes: readonly Mistake[] } {
  const value = entry['allowUnauthenticated']
  if (value === undefined || typeof value === 'boolean') return { value, mistakes: [] }
  const text = value === null ? EMPTY_VALUE : 'must be true or false'
  return { value: undefined, mistakes: [{ path: [...path, 'allowUnauthenticated'], text }] }
}

function strayPermission(path: readonly string[]): Mistake {
  const text = 'has no effect: no format under decode needs it; remove the line'
  return { path: [...path, 'allowUnauthenticated'], text }
}

type Item = { readonly decode: DecodeConfig } | { readonly mistakes: readonly Mistake[] }

function readItem(
  item: unknown,
  path: readonly string[],
  backend: string,
  allowUnauthenticated: boolean,
  formats: FormatSchemas,
): Item {
  const entry = typeof item === 'string' ? { format: item } : item
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    return { mistakes: [{ path, text: 'must be the name of a format, or "format: …" with its options' }] }
  }
  const { format, ...options } = entry as Readonly<Record<string, unknown>>
  const schema = typeof format === 'string' && Object.hasOwn(formats, format) ? formats[format] : undefined
  if (schema === undefined || typeof format !== 'string') {
    return { mistakes: [{ path, text: unknownFormat(format, Object.keys(formats)) }] }
  }
  const mistakes: Mistake[] = []
  if (!schema.backends.includes(backend)) {
    const text = `${format} is opened by a key of ${schema.backends.join(' or ')}, not of ${shown(backend)}`
    mistakes.push({ path, text })
  }
  if (schema.authenticated === 'none' && !allowUnauthenticated) {
    const text = `${format} protects nothing against alteration; to open it all the same, set allowUnauthenticated: true beside decode`
    mistakes.push({ path, text })
  }
  const result = schema.options.safeParse(options)
  if (!result.success) mistakes.push(...issueMistakes(result.error, options, path, schema.options))
  if (mistakes.length > 0 || !result.success) return { mistakes }
  return { decode: { format, ...(result.data as object) } }
}

function unknownFormat(format: unknown, known: readonly string[]): string {
  const near = typeof format === 'string' ? nearest(format, known) : undefined
  const hint = near === undefined ? '' : `; did you mean "${near}"?`
  return `must be one of ${known.join(', ')}${hint}`
}

/** As short as it may stand in the file. */
export function written({ decode, ...rest }: Decoding & Readonly<Record<string, unknown>>): object {
  if (decode === undefined) return rest
  const items = decode.map((item) => (Object.keys(item).length === 1 ? item.format : item))
  return { ...rest, decode: items }
}
