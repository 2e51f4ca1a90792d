/** Sealing and opening: round trips, one form for each value, one key for each value. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { a256gcm } from '../../src/domain/a256gcm.js'
import { suitesByName } from '../../src/domain/cipher_suites.js'
import { Dek } from '../../src/domain/dek.js'
import { openEnvelope, sealEnvelope } from '../../src/domain/envelope.js'
import {
  encodeHeader,
  envelopeBytes,
  parseEnvelope,
  PLAINTEXT_MAX_BYTES,
} from '../../src/domain/envelope_format.js'
import { keyId, type KeyId } from '../../src/ports/key_id.js'
import { collide } from '../doubles/gcm_collision.js'
import { outcomeNow } from '../doubles/outcome.js'
import { referenceSeal } from '../doubles/reference_envelope.js'

const KEY_ID = keyId(`local:${'a'.repeat(26)}.${'b'.repeat(26)}`)

const dekOf = (raw: Uint8Array, bytes: Uint8Array = randomBytes(61), id: KeyId = KEY_ID) =>
  new Dek(raw, { keyId: id, bytes }, 0)

const base32 = (length: number) =>
  fc
    .array(fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567'.split('')), {
      minLength: length,
      maxLength: length,
    })
    .map((letters) => letters.join(''))
const keyIds = fc
  .tuple(fc.stringMatching(/^[a-z][a-z0-9]{0,31}$/), base32(26), base32(26))
  .map(([backend, kek, version]) => keyId(`${backend}:${kek}.${version}`))
const wrappedBytes = fc.uint8Array({ minLength: 1, maxLength: 640 })

describe.each(Object.values(suitesByName))('$name', (suite) => {
  test('a value above 1 MiB is neither sealed nor opened', () => {
    const raw = randomBytes(32)
    const dek = dekOf(raw)
    const tooLong = Buffer.alloc(PLAINTEXT_MAX_BYTES + 17)
    expect(outcomeNow(() => sealEnvelope(dek, suite, tooLong.subarray(16)))).toBe('ERR_REQUEST_TOO_LARGE')

    // An authentic one, made by someone who ignores the bound.
    const salt = randomBytes(32)
    const iv = randomBytes(suite.ivBytes)
    const recipe = { suite: suite.id as 1 | 2, keyId: KEY_ID, wrapped: dek.wrapped.bytes, dek: raw, salt, iv }
    const { bytes } = referenceSeal({ ...recipe, plaintext: tooLong })
    expect(outcomeNow(() => parseEnvelope(bytes))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('another DEK opens nothing, and neither does the same DEK under another key id', () => {
    const raw = randomBytes(32)
    const dek = dekOf(raw)
    const envelope = parseEnvelope(sealEnvelope(dek, suite, randomBytes(32)))
    const otherId = keyId(`local:${'a'.repeat(26)}.${'c'.repeat(26)}`)
    expect(outcomeNow(() => openEnvelope(dekOf(randomBytes(32)), envelope))).toBe('ERR_DECRYPTION_FAILED')
    const same = dekOf(raw, dek.wrapped.bytes, otherId)
    expect(outcomeNow(() => openEnvelope(same, envelope))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('every value from 0 B to 1 MiB comes back, and its envelope has the length foretold', () => {
    const lengths = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: PLAINTEXT_MAX_BYTES }))
    fc.assert(
      fc.property(lengths, keyIds, wrappedBytes, (length, id, bytes) => {
        const dek = dekOf(randomBytes(32), bytes, id)
        const plaintext = randomBytes(length)
        const sealed = sealEnvelope(dek, suite, plaintext)
        expect(sealed.length).toBe(envelopeBytes(suite, dek.wrapped, length))
        expect(openEnvelope(dek, parseEnvelope(sealed)).equals(plaintext)).toBe(true)
      }),
      {
        numRuns: 300,
        examples: [
          [0, KEY_ID, randomBytes(1)],
          [PLAINTEXT_MAX_BYTES, KEY_ID, randomBytes(640)],
        ],
      },
    )
  })

  test('what parses encodes to itself', () => {
    fc.assert(
      fc.property(keyIds, wrappedBytes, fc.nat({ max: 200 }), (id, bytes, length) => {
        const sealed = sealEnvelope(dekOf(randomBytes(32), bytes, id), suite, randomBytes(length))
        const envelope = parseEnvelope(sealed)
        const header = encodeHeader(envelope.suite, envelope.wrapped, {
          ...envelope,
          ciphertextBytes: envelope.ciphertext.length,
        })
        expect(header.equals(envelope.aad)).toBe(true)
        expect(Buffer.concat([header, envelope.ciphertext, envelope.tag]).equals(sealed)).toBe(true)
      }),
    )
  })

  test('sealing the same value again shares no salt, IV, commitment or ciphertext', () => {
    const dek = dekOf(randomBytes(32))
    const seen = new Set<string>()
    for (let i = 0; i < 1000; i += 1) {
      const { salt, iv, commitment, ciphertext } = parseEnvelope(sealEnvelope(dek, suite, Buffer.alloc(32)))
      for (const field of [salt, iv, commitment, ciphertext]) seen.add(Buffer.from(field).toString('hex'))
    }
    expect(seen.size).toBe(4000)
  })
})

test('one DEK gives the two suites keys that share no byte sequence', () => {
  const dek = dekOf(randomBytes(32))
  const salt = randomBytes(32)
  const gcm = dek.deriveValueKeys(suitesByName.A256GCM, salt)
  const cbc = dek.deriveValueKeys(suitesByName['A256CBC-HS512'], salt)
  const parts = [gcm.key, gcm.commitment, cbc.key.subarray(0, 32), cbc.key.subarray(32), cbc.commitment]
  expect(new Set(parts.map((part) => Buffer.from(part).toString('hex'))).size).toBe(5)
})

test('an envelope made so that its GCM tag is right under two DEKs opens under one of them only', () => {
  const bytes = randomBytes(61)
  const [salt, iv] = [randomBytes(32), randomBytes(12)]
  const [mine, theirs] = [dekOf(randomBytes(32), bytes), dekOf(randomBytes(32), bytes)]
  const [a, b] = [mine.deriveValueKeys(a256gcm, salt), theirs.deriveValueKeys(a256gcm, salt)]
  const header = encodeHeader(a256gcm, mine.wrapped, {
    salt,
    iv,
    commitment: a.commitment,
    ciphertextBytes: 32,
  })
  const { ciphertext, tag } = collide([a.key, b.key], iv, header)

  // Both keys accept it: GCM alone would let one value say two things.
  expect(a256gcm.open(a.key, iv, header, ciphertext, tag)).toHaveLength(32)
  expect(a256gcm.open(b.key, iv, header, ciphertext, tag)).toHaveLength(32)

  const envelope = parseEnvelope(Buffer.concat([header, ciphertext, tag]))
  expect(openEnvelope(mine, envelope)).toHaveLength(32)
  expect(outcomeNow(() => openEnvelope(theirs, envelope))).toBe('ERR_DECRYPTION_FAILED')
})
