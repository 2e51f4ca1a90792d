/** What may the file hold, as JSON Schema for editors and CI? */
import type { z } from 'zod'
import { jsonSchemaOf } from './backend_schema.js'
import { keyNameForm } from './keys.js'
import { rows, sectionNames } from './settings.js'

/**
 * JSON Schema (draft 2020-12) of the whole file, from the tables that validate it. Wider in two ways: the rules
 * between settings and a few limits of byte length are not in it.
 *
 * @param backends The schema of each backend's settings by its name; at least one.
 */
export function fileSchema(backends: Readonly<Record<string, z.ZodType>>): object {
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
        additionalProperties: { anyOf: Object.values(backends).map(jsonSchemaOf) },
      },
    },
  }
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
