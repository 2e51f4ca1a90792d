import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FIELDS_MAX, readMessage, UNKNOWN_MAX } from '../../../src/adapters/etcd/protobuf.js'
import { encryptedObject } from './stored_values.js'

const SPEC = {
  encryptedData: { number: 1, type: 'bytes' },
  keyID: { number: 2, type: 'bytes' },
  encryptedDEKSource: { number: 3, type: 'bytes' },
  annotations: { number: 4, type: 'bytes', repeated: true },
  encryptedDEKSourceType: { number: 5, type: 'varint' },
} as const

const START = 100

function read(...bytes: readonly number[]) {
  return readMessage(Uint8Array.from(bytes), START, SPEC)
}

describe('what is no protobuf of the message breaks at its byte', () => {
  const cases: readonly [string, number[], number][] = [
    ['a tag that is cut off', [0x80], 101],
    ['a field without its length', [0x0a], 101],
    ['a length that is cut off', [0x0a, 0x80], 102],
    ['a length beyond the end', [0x0a, 0x02, 0xff], 102],
    ['a length of 2^63', [0x0a, ...Array<number>(9).fill(0x80), 0x01], 111],
    ['a varint of 11 bytes', [0x28, ...Array<number>(10).fill(0x80), 0x01], 101],
    ['a varint of 65 bits', [0x28, ...Array<number>(9).fill(0xff), 0x02], 101],
    ['field number 0', [0x02, 0x00], 100],
    ['a field number of 2^29', [0x82, 0x80, 0x80, 0x80, 0x10, 0x00], 100],
    ['the start of a group', [0x0b], 100],
    ['the end of a group', [0x0c], 100],
    ['wire type 7', [0x0f], 100],
    ['bytes where a number belongs', [0x2a, 0x01, 0x00], 100],
    ['a number where bytes belong', [0x08, 0x01], 100],
    ['a fixed number where bytes belong', [0x0d, 1, 2, 3, 4], 100],
    ['a fixed number that is cut off', [0x35, 1, 2, 3], 101],
    ['a good field, then a broken one', [0x0a, 0x01, 0x00, 0x12, 0x05], 105],
  ]
  test.each(cases)('%s', (_, bytes, at) => {
    expect(read(...bytes).broken?.at).toBe(at)
  })

  test('what stands before the break is kept', () => {
    expect(read(0x12, 0x01, 0x78, 0x1a, 0x05).bytes('keyID')?.bytes).toEqual(Uint8Array.of(0x78))
  })

  test(`more than ${FIELDS_MAX} fields`, () => {
    const message = read(
      ...Array<number[]>(FIELDS_MAX + 1)
        .fill([0x0a, 0x00])
        .flat(),
    )
    expect(message.broken?.at).toBe(START + 2 * FIELDS_MAX)
  })
})

test('absent fields are undefined, and of several the last counts', () => {
  const message = read(0x28, 0x01, 0x28, 0x02)
  expect(message.broken).toBeUndefined()
  expect(message.varint('encryptedDEKSourceType')).toBe(2)
  expect(message.repeated).toEqual(['encryptedDEKSourceType'])
  expect(message.bytes('keyID')).toBeUndefined()
  expect(read().varint('encryptedDEKSourceType')).toBeUndefined()
})

test('unknown fields of every wire type are skipped and their numbers kept', () => {
  const message = read(
    0x30,
    0x01,
    0x39,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0x42,
    0x01,
    0x00,
    0x4d,
    1,
    2,
    3,
    4,
    0x30,
    0x01,
  )
  expect(message.broken).toBeUndefined()
  expect(message.unknown).toEqual([6, 7, 8, 9])
})

test('no more unknown numbers are kept than are worth showing', () => {
  const message = read(...Array.from({ length: 10 }, (_, index) => [(6 + index) * 8, 0]).flatMap(tagged))
  expect(message.broken).toBeUndefined()
  expect(message.unknown).toHaveLength(UNKNOWN_MAX)
})

test('it reads what an independent encoder writes', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 })
  const fields = fc.record({
    encryptedData: bytes,
    keyID: fc.string({ minLength: 1 }),
    encryptedDEKSource: bytes,
    encryptedDEKSourceType: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  })
  fc.assert(
    fc.property(fields, (made) => {
      const encoded = encryptedObject(made)
      const message = readMessage(encoded, START, SPEC)
      expect(message.broken).toBeUndefined()
      expect(message.unknown).toEqual([])
      expect(hex(message.bytes('encryptedData')?.bytes)).toBe(hex(made.encryptedData))
      expect(hex(message.bytes('encryptedDEKSource')?.bytes)).toBe(hex(made.encryptedDEKSource))
      expect(message.varint('encryptedDEKSourceType')).toBe(made.encryptedDEKSourceType)
      const { bytes: found, at } = message.bytes('keyID')!
      expect(Buffer.from(found).toString()).toBe(made.keyID)
      expect(hex(encoded.subarray(at - START, at - START + found.length))).toBe(hex(found))
    }),
  )
})

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString('hex')
}

/** Tags above 127 take two bytes. */
function tagged([tag, value]: readonly number[]): number[] {
  return tag! < 128 ? [tag!, value!] : [(tag! & 0x7f) | 0x80, tag! >> 7, value!]
}
