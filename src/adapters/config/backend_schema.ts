/** What does a backend's zod schema say about itself, in the words of JSON Schema? */
import * as z from 'zod'

/** The parts of JSON Schema that zod writes and we read. */
export interface JsonSchema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
}

/** JSON Schema (draft 2020-12) of what the file may hold, fit to stand inside a larger one. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const whole = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  delete whole.$schema
  return whole as JsonSchema
}

/** The names that a mapping at `path` may have; all alternatives of a union count. */
export function propertyNames(schema: JsonSchema, path: readonly string[]): readonly string[] {
  const alternatives = [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]
  const [name, ...rest] = path
  const names = alternatives.flatMap(({ properties = {}, items }) => {
    if (name === undefined) return Object.keys(properties)
    const inner = Object.hasOwn(properties, name) ? properties[name] : items
    return inner === undefined ? [] : propertyNames(inner, rest)
  })
  return [...new Set(names)]
}
