/** Whether docs/envelope.md tells the truth: its table, its limits and its worked example. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { suitesByName } from '../../src/domain/cipher_suites.js'
import { Dek } from '../../src/domain/dek.js'
import { envelopeBytes, PLAINTEXT_MAX_BYTES } from '../../src/domain/envelope_format.js'
import { isKeyId, keyId } from '../../src/ports/key_id.js'
import { WRAPPED_DEK_MAX_BYTES } from '../../src/ports/key_wrapper.js'
import type { GoldenVector } from '../doubles/envelope_recipes.js'

const page = readFileSync(new URL('../../docs/envelope.md', import.meta.url), 'utf8')
const vectors = readFileSync(new URL('../vectors/envelope_v1.json', import.meta.url), 'utf8')
const { opens } = JSON.parse(vectors) as { opens: GoldenVector[] }
const example = opens.find(({ name }) => page.includes(`\`${name}\``))!

/** A code block of the example as hex by name; a line without a name continues the one before. */
function block(index: number): Map<string, string> {
  const lines = page.split('## Example')[1]!.split('```')[2 * index + 1]!.trim().split('\n')
  const fields = new Map<string, string>()
  let name = ''
  for (const line of lines) {
    const [, text = '', hex = ''] = /^\s*(?:\d+ )?\s*(.*?)\s*([0-9a-f]+)$/.exec(line)!
    if (text !== '') name = text
    fields.set(name, (fields.get(name) ?? '') + hex)
  }
  return fields
}

describe('the worked example', () => {
  test('is a golden vector, field by field', () => {
    const fields = block(1)
    expect([...fields.values()].join('')).toBe(example.envelope)
    expect(Buffer.from(fields.get('key id')!, 'hex').toString()).toBe(example.keyId)
    for (const name of ['wrapped DEK', 'salt', 'commitment', 'IV'] as const) {
      const value = {
        'wrapped DEK': example.wrapped,
        salt: example.salt,
        IV: example.iv,
        commitment: example.commitment,
      }
      expect(fields.get(name)).toBe(value[name])
    }
  })

  test('begins each line at the offset that it names', () => {
    const lines = page.split('## Example')[1]!.split('```')[3]!.trim().split('\n')
    let offset = 0
    for (const line of lines) {
      const [, at = '', hex = ''] = /^\s*(\d+)\s.*?([0-9a-f]+)$/.exec(line)!
      expect(Number(at)).toBe(offset)
      offset += hex.length / 2
    }
    expect(page).toContain(`The envelope of ${offset} bytes`)
  })

  test('has the fields of the table in the order of the table', () => {
    const table = page.split('## Bytes')[1]!.split('## ')[0]!
    const names = [...table.matchAll(/^\| (\S.*?) +\|/gm)].map(([, name]) => name!)
    expect(names.filter((name) => name !== 'field' && !name.startsWith('-'))).toEqual([...block(1).keys()])
  })

  test('derives what it says', () => {
    const given = block(0)
    expect([given.get('DEK'), given.get('plaintext')]).toEqual([example.dek, example.plaintext])
    expect(Buffer.from(given.get('info')!, 'hex').toString('latin1')).toBe(`kmsplugin/v1\x01${example.keyId}`)
    const wrapped = { keyId: keyId(example.keyId), bytes: Buffer.from(example.wrapped, 'hex') }
    const dek = new Dek(Buffer.from(example.dek, 'hex'), wrapped, 0)
    const { key } = dek.deriveValueKeys(suitesByName.A256GCM, Buffer.from(example.salt, 'hex'))
    expect(Buffer.from(key).toString('hex')).toBe(given.get('key'))
  })
})

describe('the limits', () => {
  test('are those of the code', () => {
    expect(page).toContain(`0 to ${PLAINTEXT_MAX_BYTES.toLocaleString('en')} bytes`)
    expect(page).toContain(`1 to ${WRAPPED_DEK_MAX_BYTES} bytes`)
    const longest = suitesByName['A256CBC-HS512'].ciphertextBytes(PLAINTEXT_MAX_BYTES)
    expect(page).toContain(longest.toLocaleString('en'))
  })

  test('the form of a key id is that of the code', () => {
    const form = new RegExp(/A key id matches `(.+)`/.exec(page)![1]!)
    for (const text of [
      example.keyId,
      ...opens.map((vector) => vector.keyId),
      '',
      'x',
      `${example.keyId}x`,
    ]) {
      expect(form.test(text)).toBe(isKeyId(text))
    }
  })

  test('the length of an envelope is what the formulas say', () => {
    const wrapped = { keyId: keyId(example.keyId), bytes: Buffer.alloc(61) }
    const kw = example.keyId.length + 61
    for (const n of [0, 1, 15, 16, 17, 32, 1024]) {
      expect(envelopeBytes(suitesByName.A256GCM, wrapped, n)).toBe(105 + kw + n)
      expect(envelopeBytes(suitesByName['A256CBC-HS512'], wrapped, n)).toBe(
        125 + kw + 16 * (Math.floor(n / 16) + 1),
      )
    }
  })
})
