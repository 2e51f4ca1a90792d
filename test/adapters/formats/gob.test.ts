/** Streams of Go's encoding/gob: what is read, and that nothing else is. */
import { describe, expect, test } from 'vitest'
import { GobError } from '../../../src/adapters/formats/gob_reader.js'
import { gobTypesAtStart, readGobStruct } from '../../../src/adapters/formats/gob.js'
import { CIPHER, STREAM, WRAPPED_DEK } from './published_ibm.js'

/** As the documentation of encoding/gob has them. */
const uint = (value: number): Buffer => {
  if (value < 0x80) return Buffer.of(value)
  const bytes = Buffer.from(value.toString(16).padStart(value > 0xff ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.of(0x100 - bytes.length), bytes])
}
const int = (value: number): Buffer => uint(value < 0 ? (~value << 1) | 1 : value << 1)
const text = (value: string): Buffer => Buffer.concat([uint(Buffer.byteLength(value)), Buffer.from(value)])
const message = (...parts: Buffer[]): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([uint(content.length), content])
}
const END = Buffer.of(0)
const NEXT = Buffer.of(1)

const INT = 2
const UINT = 3
const FLOAT = 4
const STRING = 6

function structType(id: number, name: string, fields: readonly (readonly [string, number])[]): Buffer {
  const each = fields.flatMap(([field, type]) => [NEXT, text(field), NEXT, int(type), END])
  const common = [NEXT, NEXT, text(name), NEXT, int(id), END]
  return message(int(-id), Buffer.of(3), ...common, NEXT, uint(fields.length), ...each, END, END)
}

/** An array of strings, as a definition that is no struct. */
const arrayType = (id: number): Buffer =>
  message(int(-id), Buffer.of(1), NEXT, NEXT, text('list'), NEXT, int(id), END, NEXT, int(STRING), END, END)

const type = structType(70, 'T', [
  ['A', INT],
  ['B', UINT],
  ['C', STRING],
])
const whole = (...value: Buffer[]): Buffer => Buffer.concat([type, message(int(70), ...value, END)])

describe('is refused:', () => {
  const cases: readonly (readonly [string, string, Buffer])[] = [
    ['nothing', 'is cut off', Buffer.alloc(0)],
    ['a definition alone', 'is cut off', type],
    ['more behind the value', 'more behind its value', Buffer.concat([whole(NEXT, int(1)), Buffer.of(0)])],
    [
      'more behind the value in its message',
      'goes on behind its end',
      Buffer.concat([type, message(int(70), END, END)]),
    ],
    ['two values', 'more behind its value', Buffer.concat([whole(NEXT, int(1)), message(int(70), END)])],
    ['a value of no defined type', 'no struct', Buffer.concat([type, message(int(71), END)])],
    ['a value that is a number', 'no struct', message(int(INT), END, int(5))],
    [
      'a value of a type that is no struct',
      'no struct',
      Buffer.concat([arrayType(70), message(int(70), END, END)]),
    ],
    ['a type defined twice', 'a type twice', Buffer.concat([type, whole(NEXT, int(1))])],
    [
      'a struct under two ids',
      'two ids',
      Buffer.concat([structType(70, 'T', []).fill(0x8d, 2, 3), message(int(70))]),
    ],
    [
      'a field defined twice',
      'a field twice',
      structType(
        70,
        'T',
        Array.from({ length: 2 }, () => ['A', INT] as const),
      ),
    ],
    [
      'too many types',
      'too many types',
      Buffer.concat(Array.from({ length: 17 }, (_, i) => arrayType(70 + i))),
    ],
    [
      'too many fields',
      'too many fields',
      structType(
        70,
        'T',
        Array.from({ length: 65 }, (_, i) => [`F${i}`, INT] as const),
      ),
    ],
    ['a name that is too long', 'name that is too long', structType(70, 'T'.repeat(129), [])],
    ['a field that is not defined', 'does not define', whole(Buffer.of(4), int(1))],
    ['a field number that is too high', 'too high', whole(Buffer.of(65), int(1))],
    [
      'a field of a type that is not plain',
      'no plain type',
      Buffer.concat([structType(70, 'T', [['A', FLOAT]]), message(int(70), NEXT, uint(1), END)]),
    ],
    ['a number that is longer than Go writes it', 'longer than Go', whole(NEXT, Buffer.from('ff02', 'hex'))],
    ['two bytes for a number of one', 'longer than Go', whole(NEXT, Buffer.from('fe00ff', 'hex'))],
    ['a number of nine bytes', '64 bits', whole(NEXT, Buffer.from('f7010000000000000000', 'hex'))],
    ['a text that is no UTF-8', 'UTF-8', whole(Buffer.of(3), uint(1), Buffer.of(0xff))],
    ['a text that goes on behind the end', 'cut off', whole(Buffer.of(3), uint(100))],
    ['a message that goes on behind the end', 'cut off', Buffer.concat([uint(100), type])],
    ['a length beyond all memory', 'cut off', Buffer.from('f8ffffffffffffffff', 'hex')],
  ]

  test.each(cases)('%s', (_, why, stream) => {
    expect(() => readGobStruct(stream)).toThrow(GobError)
    expect(() => readGobStruct(stream)).toThrow(why)
  })

  test('the published stream, cut anywhere', () => {
    for (let end = 0; end < STREAM.length; end += 1) {
      expect(() => readGobStruct(STREAM.subarray(0, end)), String(end)).toThrow(GobError)
    }
  })

  test('the published stream with any one bit turned over, unless it reads otherwise; nothing else is thrown', () => {
    const good = readGobStruct(STREAM)
    for (let bit = 0; bit < 8 * STREAM.length; bit += 1) {
      const bad = Buffer.from(STREAM)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      try {
        expect(readGobStruct(bad), String(bit)).not.toEqual(good)
      } catch (error) {
        if (!(error instanceof GobError)) throw error
      }
    }
  })
})

describe('is read:', () => {
  test('the published value, to every field', () => {
    expect(STREAM).toHaveLength(471)
    const { name, fieldNames, fields } = readGobStruct(STREAM)
    expect([name, fieldNames]).toEqual(['Secret', ['KpVersion', 'WrappedDEK', 'Cipher']])
    expect(Object.fromEntries(fields)).toEqual({
      KpVersion: 1n,
      WrappedDEK: Buffer.from(WRAPPED_DEK),
      Cipher: CIPHER,
    })
  })

  test('a struct under any id, without the fields that are zero', () => {
    expect(Object.fromEntries(readGobStruct(whole(Buffer.of(3), text('é'))).fields)).toEqual({ C: 'é' })
    expect(readGobStruct(whole()).fields.size).toBe(0)
  })

  test.each([0x7f, 0x80, 0xff, 0x100, 0xffff])('the number %i, in the one way to write it', (value) => {
    expect(Object.fromEntries(readGobStruct(whole(Buffer.of(2), uint(value))).fields)).toEqual({
      B: BigInt(value),
    })
  })

  test.each([-1, -64, -65, 63, 64, 0x3fff])('the signed number %i', (value) => {
    expect(Object.fromEntries(readGobStruct(whole(NEXT, int(value))).fields)).toEqual({ A: BigInt(value) })
  })

  test('a struct among types of other kinds, which are passed over', () => {
    const stream = Buffer.concat([arrayType(66), type, arrayType(99), message(int(70), NEXT, int(7), END)])
    expect(Object.fromEntries(readGobStruct(stream).fields)).toEqual({ A: 7n })
  })

  test('at a first look, the types at the beginning, however the stream goes on', () => {
    const types = [{ name: 'T', fieldNames: ['A', 'B', 'C'] }]
    for (const end of [0, 1, 5]) {
      expect(gobTypesAtStart(Buffer.concat([type, Buffer.alloc(end, 0xff)]))).toMatchObject(types)
    }
    expect(gobTypesAtStart(Buffer.from('no gob at all'))).toEqual([])
  })
})
