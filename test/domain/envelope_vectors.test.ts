/** Whether format version 1 still is what was frozen: committed vectors, and a second implementation. */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { suitesByName } from '../../src/domain/cipher_suites.js'
import { Dek } from '../../src/domain/dek.js'
import { describeEnvelope, openEnvelope, sealEnvelope } from '../../src/domain/envelope.js'
import { encodeHeader, parseEnvelope } from '../../src/domain/envelope_format.js'
import { keyId } from '../../src/ports/key_id.js'
import {
  makeGoldenVectors,
  makeRefusedVectors,
  type GoldenVector,
  type RefusedVector,
} from '../doubles/envelope_recipes.js'
import { outcomeNow } from '../doubles/outcome.js'
import { dissect, referenceOpen } from '../doubles/reference_envelope.js'

const text = readFileSync(new URL('../vectors/envelope_v1.json', import.meta.url), 'utf8')
const { opens, refused } = JSON.parse(text) as { opens: GoldenVector[]; refused: RefusedVector[] }

const bytesOf = (hex: string) => Buffer.from(hex, 'hex')

/** Parses, and opens with the DEK that the vector names. */
function open(vector: { dek: string; envelope: string }): Buffer {
  const envelope = parseEnvelope(bytesOf(vector.envelope))
  return openEnvelope(new Dek(bytesOf(vector.dek), envelope.wrapped, 0), envelope)
}

describe('the frozen vectors', () => {
  test('are the ones that were frozen', () => {
    const frozen = 'b19fe5fe9a9267b19e5008037a51d9096929433e1bc835445d4d2ed1292516e0'
    expect(createHash('sha256').update(text).digest('hex')).toBe(frozen)
  })

  test('are what the second implementation makes of their recipes', () => {
    expect(makeGoldenVectors()).toEqual(opens)
    expect(makeRefusedVectors()).toEqual(refused)
  })

  test.each(refused.map((vector) => [vector.name, vector] as const))('refused for ever: %s', (_, vector) => {
    expect(outcomeNow(() => open(vector))).toBe(vector.code)
    expect(referenceOpen(bytesOf(vector.envelope), bytesOf(vector.dek))).toBeUndefined()
    const isMalformed = vector.code === 'ERR_MALFORMED_ENVELOPE'
    expect(dissect(bytesOf(vector.envelope)) === undefined).toBe(isMalformed)
    expect(describeEnvelope(bytesOf(vector.envelope)) === undefined).toBe(isMalformed)
  })

  test.each(opens.map((vector) => [vector.name, vector] as const))('opens for ever: %s', (_, vector) => {
    expect(open(vector).toString('hex')).toBe(vector.plaintext)
    expect(referenceOpen(bytesOf(vector.envelope), bytesOf(vector.dek))?.toString('hex')).toBe(
      vector.plaintext,
    )
  })
})

describe('every golden vector', () => {
  test.each(opens.map((vector) => [vector.name, vector] as const))(
    'is made anew byte by byte: %s',
    (_, vector) => {
      const suite = suitesByName[vector.suite]
      const [salt, iv, plaintext] = [bytesOf(vector.salt), bytesOf(vector.iv), bytesOf(vector.plaintext)]
      const wrapped = { keyId: keyId(vector.keyId), bytes: bytesOf(vector.wrapped) }
      const keys = new Dek(bytesOf(vector.dek), wrapped, 0).deriveValueKeys(suite, salt)
      expect(Buffer.from(keys.commitment).toString('hex')).toBe(vector.commitment)

      const ciphertextBytes = suite.ciphertextBytes(plaintext.length)
      const header = encodeHeader(suite, wrapped, { salt, commitment: keys.commitment, iv, ciphertextBytes })
      const { ciphertext, tag } = suite.seal(keys.key, iv, header, plaintext)
      expect(Buffer.concat([header, ciphertext, tag]).toString('hex')).toBe(vector.envelope)
    },
  )

  test.each(opens.map((vector) => [vector.name, vector] as const))(
    'is described without a key: %s',
    (_, vector) => {
      expect(describeEnvelope(bytesOf(vector.envelope))).toEqual({
        formatVersion: 1,
        cipher: vector.suite,
        keyId: vector.keyId,
        wrappedDekBytes: vector.wrapped.length / 2,
        ciphertextBytes: dissect(bytesOf(vector.envelope))?.ciphertext.length,
        totalBytes: vector.envelope.length / 2,
      })
    },
  )
})

describe.each(Object.values(suitesByName))('what $name seals', (suite) => {
  test.each([0, 1, 15, 16, 17, 32, 1024, 2 ** 20])(
    'opens in the second implementation: %i bytes',
    (length) => {
      const [raw, plaintext] = [randomBytes(32), randomBytes(length)]
      const wrapped = { keyId: keyId(opens[0]!.keyId), bytes: randomBytes(61) }
      const sealed = sealEnvelope(new Dek(raw, wrapped, 0), suite, plaintext)
      expect(referenceOpen(sealed, raw)?.equals(plaintext)).toBe(true)
    },
  )
})
