/** What every altered, cut, lengthened or invented ciphertext gets, and what it costs the backend. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { kekPart, keyId } from '../../src/ports/key_id.js'
import { buildProvedCore, type Core } from '../doubles/core.js'
import { outcomeOf } from '../doubles/outcome.js'
import { dissect } from '../doubles/reference_envelope.js'

const PLAINTEXT = randomBytes(32)

/** What a ciphertext that was not sealed by us must get, told by the second implementation alone. */
function expectedOf(core: Core, good: Uint8Array, bytes: Uint8Array) {
  const fields = dissect(bytes)
  if (fields === undefined) return { outcome: 'ERR_MALFORMED_ENVELOPE', unwraps: 0 }
  const id = keyId(Buffer.from(fields.keyId).toString('latin1'))
  if (kekPart(id) !== kekPart(core.primary.keyId)) return { outcome: 'ERR_KEY_UNKNOWN', unwraps: 0 }
  const of = dissect(good)!
  const isHeld = Buffer.from(of.wrapped).equals(fields.wrapped) && Buffer.from(of.keyId).equals(fields.keyId)
  return { outcome: 'ERR_DECRYPTION_FAILED', unwraps: isHeld ? 0 : 1 }
}

/** Asks for one ciphertext and counts what that cost. */
async function ask(core: Core, bytes: Uint8Array) {
  const { primary } = core
  const before = { ...primary.calls }
  const outcome = await outcomeOf(core.decrypt(bytes))
  return {
    outcome,
    unwraps: primary.calls.unwrap - before.unwrap,
    others: primary.totalCalls - primary.calls.unwrap - before.wrap - before.currentKeyId,
  }
}

describe.each(['A256GCM', 'A256CBC-HS512'] as const)('%s', (cipher) => {
  describe.each([
    ['a backend that says that data is bad', false, 0],
    ['a backend that does not tell bad data from a bad device', true, 1],
  ] as const)('with %s', (_, ambiguous, canaries) => {
    let core: Core
    let good: Uint8Array

    beforeAll(async () => {
      core = await buildProvedCore({ cipher })
      core.primary.ambiguous = ambiguous
      good = (await core.encrypt(PLAINTEXT)).ciphertext
    })

    /** A wrapped DEK that does not open costs one unwrap, and one canary where the backend does not tell. */
    async function expectRefused(bytes: Uint8Array, what: string): Promise<void> {
      const { outcome, unwraps } = expectedOf(core, good, bytes)
      const cost = unwraps === 0 ? 0 : unwraps + canaries
      expect(await ask(core, bytes), what).toEqual({ outcome, unwraps: cost, others: 0 })
    }

    test('every single bit flip is refused, at the price of its field', async () => {
      for (let bit = 0; bit < good.length * 8; bit += 1) {
        const bytes = Uint8Array.from(good)
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        await expectRefused(bytes, `bit ${bit}`)
      }
    })

    test('every truncation is refused without a call', async () => {
      for (let length = 0; length < good.length; length += 1) {
        const bytes = good.subarray(0, length)
        expect(await ask(core, bytes), `${length} bytes`).toEqual({
          outcome: 'ERR_MALFORMED_ENVELOPE',
          unwraps: 0,
          others: 0,
        })
      }
    })

    test('every extension is refused without a call', async () => {
      for (let extra = 1; extra <= 64; extra += 1) {
        for (const tail of [Buffer.alloc(extra), randomBytes(extra), good.subarray(0, extra)]) {
          const bytes = Buffer.concat([good, tail])
          expect(await ask(core, bytes)).toEqual({ outcome: 'ERR_MALFORMED_ENVELOPE', unwraps: 0, others: 0 })
        }
      }
    })

    test('swapping a field with that of another value is refused', async () => {
      const other = (await core.encrypt(randomBytes(32))).ciphertext
      const a = dissect(good)!
      const b = dissect(other)!
      for (const field of ['salt', 'commitment', 'iv', 'ciphertext', 'tag'] as const) {
        const bytes = Uint8Array.from(good)
        bytes.set(b[field], a[field].byteOffset - a.magic.byteOffset)
        expect(await ask(core, bytes), field).toMatchObject({ outcome: 'ERR_DECRYPTION_FAILED', unwraps: 0 })
      }
    })

    test('no tampering changes health, and the value that was tampered with still opens', async () => {
      expect(core.health.report()).toMatchObject({ ready: true, keys: [{ outcome: 'OK' }] })
      expect(core.service.status()).toEqual({ keyId: core.primary.keyId })
      expect(await core.decrypt(good)).toEqual(PLAINTEXT)
      expect(core.clock.sleepers).toBe(0)
    })
  })
})

describe('20,000 invented ciphertexts', () => {
  let core: Core
  let good: Uint8Array

  beforeAll(async () => {
    core = await buildProvedCore()
    good = (await core.encrypt(PLAINTEXT)).ciphertext
  })

  const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
  const splice = (at: number, remove: number, insert: Uint8Array) =>
    Buffer.concat([good.subarray(0, at), insert, good.subarray(at + remove)])

  const families: [string, () => fc.Arbitrary<Uint8Array>][] = [
    ['random bytes', () => bytes(600)],
    ['our magic, then random bytes', () => bytes(600).map((tail) => splice(6, good.length, tail))],
    [
      'a true header up to a random place, then random bytes',
      () => fc.tuple(fc.nat({ max: 400 }), bytes(400)).map(([at, tail]) => splice(at, good.length, tail)),
    ],
    [
      'a true envelope with a random stretch replaced by another',
      () =>
        fc
          .tuple(fc.nat({ max: 300 }), fc.nat({ max: 40 }), bytes(40))
          .map(([at, remove, insert]) => splice(at, remove, insert)),
    ],
    [
      'a true envelope with a few bytes overwritten',
      () =>
        fc
          .array(fc.tuple(fc.nat({ max: 299 }), fc.integer({ min: 0, max: 255 })), {
            minLength: 1,
            maxLength: 4,
          })
          .map((changes) => {
            const copy = Uint8Array.from(good)
            for (const [at, value] of changes) copy[at % copy.length] = value
            return copy
          }),
    ],
  ]

  test.each(families)('%s: 4,000 get the right code at the right price', async (_, make) => {
    await fc.assert(
      fc.asyncProperty(make(), async (invented) => {
        fc.pre(!Buffer.from(invented).equals(good))
        const { outcome, unwraps } = expectedOf(core, good, invented)
        expect(await ask(core, invented)).toEqual({ outcome, unwraps, others: 0 })
      }),
      { numRuns: 4000 },
    )
    expect(core.health.report().ready).toBe(true)
  })
})
