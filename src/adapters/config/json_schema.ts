/** What may the file hold, as JSON Schema for editors and CI? */
import type * as z from 'zod'
import { jsonSchemaOf } from './backend_schema.js'
import { decodeMeaning, type FormatSchemas } from './decode.js'
import { keyNameForm } from './keys.js'
import { rows, sectionNames } from './settings.js'

/**
 * JSON Schema (draft 2020-12) of the whole file, from the tables that validate it. Wider in two ways: the rules
 * between settings and a few limits of byte length are not in it.
 *
 * @param backends The schema of each backend's settings by its name; at least one.
 * @param formats What may stand in `decode` of a key.
 */
export function fileSchema(backends: Readonly<Record<string, z.ZodType>>, formats: FormatSchemas): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: "kmsplugin-config.yaml in kmsplugin's own layout",
    type: 'object',
    additionalProperties: false,
    required: ['primary', 'keys'],
    properties: {
      ...Object.fromEntries(sectionNames.map((section) => [section, sectionSchema(section)])),
      primary: { type: 'string', pattern: keyNameForm.source, description: 'The key that seals new values.' },
      keys: {
        type: 'object',
        minProperties: 1,
        propertyNames: { pattern: keyNameForm.source },
        additionalProperties: {
          anyOf: Object.entries(backends).map(([name, schema]) => keySchema(name, schema, formats)),
        },
      },
    },
  }
}

function keySchema(backend: string, schema: z.ZodType, formats: FormatSchemas): object {
  const own = jsonSchemaOf(schema)
  const fitting = Object.entries(formats).filter(([, { backends }]) => backends.includes(backend))
  if (fitting.length === 0) return own
  const items = fitting.flatMap(([name, { options }]) => {
    const { properties = {}, required = [] } = jsonSchemaOf(options)
    const mapping = {
      type: 'object',
      additionalProperties: false,
      required: ['format', ...required],
      properties: { format: { const: name }, ...properties },
    }
    return required.length === 0 ? [{ const: name }, mapping] : [mapping]
  })
  const decode = { type: 'array', minItems: 1, items: { anyOf: items }, description: decodeMeaning.decode }
  const allowUnauthenticated = { type: 'boolean', description: decodeMeaning.allowUnauthenticated }
  return { ...own, properties: { ...own.properties, decode, allowUnauthenticated } }
}

function sectionSchema(section: string): object {
  const properties = rows
    .filter((row) => row.section === section)
    .map((row) => [row.key, { ...row.form.schema, default: row.fallback, description: row.meaning }])
  // `log:` with nothing below it is null to YAML, and means the defaults.
  return {
    type: ['object', 'null'],
    additionalProperties: false,
    properties: Object.fromEntries(properties) as object,
  }
}
