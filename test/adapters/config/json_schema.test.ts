import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { rows, sectionNames } from '../../../src/adapters/config/settings.js'
import { configOf, minimal, problemsOf, source } from './fixtures.js'

interface Schema {
  readonly $schema?: string
  readonly type?: string | readonly string[]
  readonly required?: readonly string[]
  readonly pattern?: string
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly default?: unknown
  readonly description?: string
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly anyOf?: readonly Schema[]
  readonly const?: unknown
}

const schema = (await source.schema()) as Schema

/** As much of JSON Schema as ours uses. */
function accepts({ anyOf, ...rest }: Schema, value: unknown): boolean {
  if (anyOf !== undefined && !anyOf.some((inner) => accepts(inner, value))) return false
  if ('const' in rest && rest.const !== value) return false
  if (rest.enum !== undefined && !rest.enum.includes(value)) return false
  if (rest.pattern !== undefined && typeof value === 'string' && !new RegExp(rest.pattern, 'u').test(value))
    return false
  if (typeof value === 'number' && (value < (rest.minimum ?? value) || value > (rest.maximum ?? value)))
    return false
  if (rest.type !== undefined && ![rest.type].flat().some((type) => isOfType(type, value))) return false
  if (typeof value !== 'object' || value === null) return true
  const names = Object.keys(value)
  if (rest.required?.some((name) => !names.includes(name)) === true) return false
  return Object.entries(value).every(([name, inner]) => {
    if (rest.propertyNames !== undefined && !accepts(rest.propertyNames, name)) return false
    const property = rest.properties?.[name] ?? rest.additionalProperties
    return typeof property === 'object' ? accepts(property, inner) : property !== false
  })
}

function isOfType(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'null') return value === null
  return typeof value === type
}

describe('the JSON Schema', () => {
  test('is of draft 2020-12 and stands on its own', () => {
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema')
    expect(JSON.stringify(schema).match(/\$schema|\$ref|\$defs/g)).toEqual(['$schema'])
  })

  test('has exactly the names that loading accepts', async () => {
    expect(Object.keys(schema.properties ?? {})).toEqual([...sectionNames, 'primary', 'keys'])
    for (const section of sectionNames) {
      const names = Object.keys(schema.properties?.[section]?.properties ?? {})
      expect(names).toEqual(rows.filter((row) => row.section === section).map(({ key }) => key))
      const printed = parse(source.print(await configOf(minimal))) as Record<string, object>
      expect(names).toEqual(Object.keys(printed[section] ?? {}))
    }
  })

  test('describes every setting and accepts its default', () => {
    for (const section of sectionNames) {
      for (const [key, property] of Object.entries(schema.properties?.[section]?.properties ?? {})) {
        expect(property.description, key).toMatch(/\w/)
        expect(accepts(property, property.default), key).toBe(true)
      }
    }
  })

  test('accepts what loading accepts', async () => {
    for (const text of [
      minimal,
      `log:\n${minimal}`,
      source.print(await configOf(minimal)),
      `server:\n  socket: unix:///run/k\n  socketMode: "0660"\n  socketGroup: "1000"\n  drainTimeout: 0\n${minimal}`,
      `envelope:\n  dekCacheTimeout: "0"\nhealth:\n  address: "[::1]:1"\n  path: /a/b\n${minimal}`,
      'primary: a\nkeys:\n  a: {backend: token, tokenLabel: t, pin: file:/p, slot: 3}\n',
    ]) {
      expect(await problemsOf(text)).toEqual([])
      expect(accepts(schema, parse(text)), text).toBe(true)
    }
  })

  test.each([
    'primary: a\n',
    `sevrer:\n${minimal}`,
    `server:\n  sokcet: /x\n${minimal}`,
    `server:\n  socket: "@x"\n${minimal}`,
    `server:\n  socketMode: 0600\n${minimal}`,
    `server:\n  socketMode: "0666"\n${minimal}`,
    `server:\n  kmsV1: yes\n${minimal}`,
    `server:\n  drainTimeout: 5\n${minimal}`,
    `envelope:\n  dekMaxAge: 0\n${minimal}`,
    `envelope:\n  dekMaxSeals: 4294967297\n${minimal}`,
    `health:\n  address: localhost\n${minimal}`,
    `log:\n  level: loud\n${minimal}`,
    minimal.replace('disk', 'dsik'),
    minimal.replaceAll(/\ba\b/g, 'A'),
    `${minimal}    extra: 1\n`,
  ])('refuses %j, as loading does', async (text) => {
    expect((await problemsOf(text)).length).toBeGreaterThan(0)
    expect(accepts(schema, parse(text))).toBe(false)
  })
})
