/** Whether our HKDF is HKDF, and leaves nothing of the secret behind. */
import crypto, { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { Dek } from '../../src/domain/dek.js'
import { suitesByName } from '../../src/domain/cipher_suites.js'
import { hkdfSha512, HKDF_MAX_BYTES } from '../../src/domain/hkdf.js'
import { keyId } from '../../src/ports/key_id.js'

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength })
const count = (from: number, to: number) =>
  Buffer.from(Array.from({ length: to - from + 1 }, (_, i) => from + i))

test.each([0, -1, HKDF_MAX_BYTES + 1])('%i bytes are refused', (length) => {
  const secret = createSecretKey(Buffer.alloc(32))
  expect(() => hkdfSha512(secret, Buffer.alloc(32), Buffer.alloc(0), length)).toThrow(RangeError)
})

test('it is hkdfSync, for any secret, salt, info and length', () => {
  const any = [
    bytes(1, 200),
    bytes(0, 200),
    bytes(0, 1024),
    fc.integer({ min: 1, max: HKDF_MAX_BYTES }),
  ] as const
  fc.assert(
    fc.property(...any, (secret, salt, info, length) => {
      const key = createSecretKey(secret)
      const expected = Buffer.from(hkdfSync('sha512', key, salt, info, length))
      expect(hkdfSha512(key, salt, info, length)).toEqual(expected)
    }),
    { numRuns: 500 },
  )
})

// The inputs of RFC 5869, appendix A.1 to A.3, with SHA-512; the outputs of two other programs (OpenSSL, Python's hmac).
test.each([
  {
    secret: Buffer.alloc(22, 0x0b),
    salt: count(0x00, 0x0c),
    info: count(0xf0, 0xf9),
    okm: '832390086cda71fb47625bb5ceb168e4c8e26a1a16ed34d9fc7fe92c1481579338da362cb8d9f925d7cb',
  },
  {
    secret: count(0x00, 0x4f),
    salt: count(0x60, 0xaf),
    info: count(0xb0, 0xff),
    okm: 'ce6c97192805b346e6161e821ed165673b84f400a2b514b2fe23d84cd189ddf1b695b48cbd1c8388441137b3ce28f16aa64ba33ba466b24df6cfcb021ecff235f6a2056ce3af1de44d572097a8505d9e7a93',
  },
  {
    secret: Buffer.alloc(22, 0x0b),
    salt: Buffer.alloc(0),
    info: Buffer.alloc(0),
    okm: 'f5fa02b18298a72a8c23898a8703472c6eb179dc204c03425c970e3b164bf90fff22d04836d0e2343bac',
  },
])('the inputs of RFC 5869 give $okm', ({ secret, salt, info, okm }) => {
  expect(hkdfSha512(createSecretKey(secret), salt, info, okm.length / 2).toString('hex')).toBe(okm)
})

describe('value keys', () => {
  const id = keyId(`local:${'a'.repeat(26)}.${'b'.repeat(26)}`)

  test.each(Object.values(suitesByName))(
    'of $name are those of hkdfSync over its id and the key id',
    (suite) => {
      fc.assert(
        fc.property(bytes(32, 32), bytes(32, 32), (raw, salt) => {
          const keys = new Dek(raw, { keyId: id, bytes: Buffer.of(1) }, 0).deriveValueKeys(suite, salt)
          const info = Buffer.concat([Buffer.from('kmsplugin/v1'), Buffer.of(suite.id), Buffer.from(id)])
          const okm = Buffer.from(hkdfSync('sha512', raw, salt, info, suite.keyBytes + 32))
          expect(Buffer.concat([keys.key, keys.commitment])).toEqual(okm)
        }),
      )
    },
  )

  test('of a DEK that is held keep no memory alive that others write to, such as the plaintext of an answer', () => {
    const dek = new Dek(Buffer.alloc(32, 7), { keyId: id, bytes: Buffer.of(1) }, 0)
    const { Hmac } = crypto as unknown as { Hmac: { prototype: { update: (data: Uint8Array) => unknown } } }
    const update = vi.spyOn(Hmac.prototype, 'update')
    dek.deriveValueKeys(suitesByName.A256GCM, Buffer.alloc(32))
    dek.deriveValueKeys(suitesByName.A256GCM, Buffer.alloc(32))
    const updates = update.mock.calls.map(([data]) => data)
    update.mockRestore()
    const held = updates.filter((data, at) => updates.lastIndexOf(data) > at && data.length > 1)
    expect(held).toHaveLength(1)
    expect(held.map(({ buffer }) => buffer.byteLength)).toEqual(held.map(({ length }) => length))
  })

  test('of one DEK differ from suite to suite, in any order of their making', () => {
    const dek = new Dek(Buffer.alloc(32, 7), { keyId: id, bytes: Buffer.of(1) }, 0)
    const salt = Buffer.alloc(32, 9)
    const { A256GCM: gcm, 'A256CBC-HS512': cbc } = suitesByName
    const made = [gcm, cbc, gcm, cbc].map((suite) => Buffer.from(dek.deriveValueKeys(suite, salt).commitment))
    expect([made[2], made[3]]).toEqual([made[0], made[1]])
    expect(made[0]).not.toEqual(made[1])
  })
})

/** The secret itself, and the pseudorandom key that HKDF makes of it. */
test.each([1, 64, 96, HKDF_MAX_BYTES])(
  'of the secret and what came of it only the answer is left (%i bytes)',
  (length) => {
    const secret = createSecretKey(Buffer.alloc(32, 7))
    const copies: Buffer[] = []
    const watched = { export: () => copies[copies.push(secret.export()) - 1] } as unknown as KeyObject
    const digests: Buffer[] = []
    const { Hmac } = crypto as unknown as { Hmac: { prototype: { digest: () => Buffer } } }
    const { digest } = Hmac.prototype
    Hmac.prototype.digest = function (this: unknown) {
      return digests[digests.push(digest.call(this)) - 1]!
    }
    let answer: Buffer
    try {
      answer = hkdfSha512(watched, Buffer.alloc(32), Buffer.alloc(8), length)
    } finally {
      Hmac.prototype.digest = digest
    }
    expect(digests).toHaveLength(1 + Math.ceil(length / 64))
    const left = [...copies, ...digests].filter((one) => one !== answer && one.some((byte) => byte !== 0))
    expect([copies.length, left]).toEqual([1, []])
  },
)
