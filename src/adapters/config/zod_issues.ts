/** What do the issues of a backend's zod schema say to an operator? */
import type * as z from 'zod'
import { unknownKey } from './hints.js'
import { jsonSchemaOf, propertyNames } from './backend_schema.js'
import { EMPTY_VALUE, type Mistake } from './mistake.js'

/**
 * One mistake for each issue.
 *
 * @param entry What was parsed.
 * @param path Where `entry` stands in the file.
 * @param also Settings of the entry that the schema does not know, for hints.
 */
export function issueMistakes(
  error: z.ZodError,
  entry: unknown,
  path: readonly string[],
  schema: z.ZodType,
  also: readonly string[] = [],
): readonly Mistake[] {
  return error.issues.flatMap((issue) => {
    const inner = issue.path.map(String)
    const here = [...path, ...inner]
    if (issue.code === 'unrecognized_keys') {
      const known = [...propertyNames(jsonSchemaOf(schema), inner), ...(inner.length === 0 ? also : [])]
      return issue.keys.map((key) => ({ path: [...here, key], text: unknownKey(key, known) }))
    }
    return [{ path: here, text: issueText(issue, valueAt(entry, inner)) }]
  })
}

function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  const isAboutPresence = issue.code !== 'custom'
  if (value === undefined && isAboutPresence) return 'is missing'
  if (value === null && isAboutPresence) return EMPTY_VALUE
  const message = issue.message.replace(/^Invalid input: /, '').replace(/\s+/g, ' ')
  // A schema's own message might quote what it complains about.
  if (typeof value === 'string' && value.length > 3 && message.includes(value)) return 'is not valid'
  const isUnquoted = issue.code === 'invalid_type' && issue.expected === 'string' && typeof value !== 'object'
  return isUnquoted ? `${message}; write it in quotes` : message
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  let here = value
  for (const name of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, name)) return undefined
    here = (here as Readonly<Record<string, unknown>>)[name]
  }
  return here
}
