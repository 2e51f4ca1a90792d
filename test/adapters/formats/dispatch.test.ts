/** Every recorded value of another plugin is known by its own format, whatever other formats are looked at beside it. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { describeForeign, formats } from '../../../src/adapters/formats/index.js'
import type { StoredValue } from '../../../src/ports/foreign.js'

interface Recording {
  readonly format: string
  readonly values: readonly {
    readonly ciphertext: string
    readonly keyId?: string
    readonly annotations?: Readonly<Record<string, string>>
  }[]
}

const stranger = { 'stranger.example.com': Buffer.of(1) }

const folder = new URL('../../vectors/foreign/', import.meta.url)
const recordings = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Recording)

describe.each(recordings.map((one): [string, Recording] => [one.format, one]))('%s', (format, { values }) => {
  test('is known and explained by its own format alone', () => {
    for (const { ciphertext, keyId, annotations = {} } of values) {
      const pairs = Object.entries(annotations).map(([name, value]) => [name, Buffer.from(value, 'base64')])
      const stored: StoredValue = {
        ciphertext: Buffer.from(ciphertext, 'base64'),
        keyId,
        annotations: Object.fromEntries(pairs) as Record<string, Uint8Array>,
      }
      const { problem, ...explanation } = describeForeign(stored) ?? {}
      expect(problem).toBeUndefined()
      expect(explanation).toMatchObject({ format })
      const signs = formats.map((one) => [one.name, one.recognize(stored)])
      const own = signs.find(([name]) => name === format)?.[1]
      expect(signs.filter(([name, sign]) => name !== format && sign === own)).toEqual([])
    }
  })

  test('is said to be of no format where all that is beside it are annotations that no format knows', () => {
    for (const { ciphertext, keyId = 'any' } of values) {
      const stored = { ciphertext: Buffer.from(ciphertext, 'base64'), keyId, annotations: stranger }
      expect(describeForeign(stored)).toBeUndefined()
    }
  })
})
