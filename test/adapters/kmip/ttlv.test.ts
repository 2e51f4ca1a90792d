/** The codec: what it writes, what it reads, and that it reads nothing that is not exactly so. */
import fc from 'fast-check'
import { createCipheriv } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { required, optional } from '../../../src/adapters/backends/kmip/fields.js'
import { Incoming } from '../../../src/adapters/backends/kmip/incoming.js'
import { tags } from '../../../src/adapters/backends/kmip/tags.js'
import {
  bytes,
  enumeration,
  integer,
  MAX_DEPTH,
  MAX_ITEMS,
  MAX_MESSAGE_BYTES,
  structure,
  text,
  TtlvError,
  type Item,
} from '../../../src/adapters/backends/kmip/ttlv.js'
import { decode } from '../../../src/adapters/backends/kmip/ttlv_decode.js'
import { encode } from '../../../src/adapters/backends/kmip/ttlv_encode.js'
import * as other from '../../support/fakes/kmip_codec.js'
import { oasisMessages } from './oasis_messages.js'

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/[^0-9A-Fa-f]/g, ''), 'hex')
}

const decoded = (text: string) => decode(hex(text))

/** The examples of KMIP 1.4, section 9.1.2. */
const examples: readonly (readonly [string, Item])[] = [
  ['42 00 20 | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00', integer(0x420020, 8)],
  [
    '42 00 20 | 03 | 00 00 00 08 | 01 B6 9B 4B A5 74 92 00',
    { tag: 0x420020, type: 'longInteger', value: 123456789000000000n },
  ],
  [
    '42 00 20 | 04 | 00 00 00 10 | 00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00',
    { tag: 0x420020, type: 'bigInteger', value: hex('0000000003FD35EB6BC2DF4618080000') },
  ],
  ['42 00 20 | 05 | 00 00 00 04 | 00 00 00 FF 00 00 00 00', enumeration(0x420020, 255)],
  ['42 00 20 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 01', { tag: 0x420020, type: 'boolean', value: true }],
  [
    '42 00 20 | 07 | 00 00 00 0B | 48 65 6C 6C 6F 20 57 6F 72 6C 64 00 00 00 00 00',
    text(0x420020, 'Hello World'),
  ],
  ['42 00 20 | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00', bytes(0x420020, Buffer.of(1, 2, 3))],
  [
    '42 00 20 | 09 | 00 00 00 08 | 00 00 00 00 47 DA 67 F8',
    { tag: 0x420020, type: 'dateTime', value: 1205495800n },
  ],
  [
    '42 00 20 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 00 00',
    { tag: 0x420020, type: 'interval', value: 864000 },
  ],
  [
    '42 00 20 | 01 | 00 00 00 20 | 42 00 04 | 05 | 00 00 00 04 | 00 00 00 FE 00 00 00 00 | 42 00 05 | 02 | 00 00 00 04 | 00 00 00 FF 00 00 00 00',
    structure(0x420020, enumeration(0x420004, 254), integer(0x420005, 255)),
  ],
]

describe('the examples of the specification', () => {
  test.each(examples)('are written and read: %s', (text, item) => {
    expect(encode(item).toString('hex')).toBe(hex(text).toString('hex'))
    expect(decoded(text)).toEqual(item)
  })
})

describe('the messages of the OASIS test cases', () => {
  test.each(Object.entries(oasisMessages))('come out of the codec as they went in: %s', (_name, message) => {
    expect(encode(decoded(message)).toString('hex')).toBe(message)
    expect(other.write(other.read(hex(message))).toString('hex')).toBe(message)
  })

  test('say of AES-GCM what node:crypto says', () => {
    const payload = (message: string) => {
      const root = decoded(message).value as readonly Item[]
      const item = required(root, tags.BATCH_ITEM, 'structure')
      return required(
        item,
        message.startsWith('420078') ? tags.REQUEST_PAYLOAD : tags.RESPONSE_PAYLOAD,
        'structure',
      )
    }
    const asked = payload(oasisMessages.encryptRequest)
    const answered = payload(oasisMessages.encryptAnswer)
    // The key that the test case registers before.
    const key = hex('feffe9928665731c6d6a8f9467308308')
    const iv = required(asked, tags.IV_COUNTER_NONCE, 'bytes')
    const cipher = createCipheriv('aes-128-gcm', key, iv)
    cipher.setAAD(required(asked, tags.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, 'bytes'))
    const sealed = Buffer.concat([cipher.update(required(asked, tags.DATA, 'bytes')), cipher.final()])
    expect(sealed).toEqual(required(answered, tags.DATA, 'bytes'))
    expect(cipher.getAuthTag()).toEqual(required(answered, tags.AUTHENTICATED_ENCRYPTION_TAG, 'bytes'))
    const opened = payload(oasisMessages.decryptAnswer)
    expect(required(opened, tags.DATA, 'bytes')).toEqual(required(asked, tags.DATA, 'bytes'))
  })
})

describe('what is refused', () => {
  test.each([
    ['nothing', ''],
    ['half a header', '420020 02 0000'],
    ['a header without its value', '420020 02 00000004'],
    ['a value without its padding', '420020 02 00000004 00000008'],
    ['padding that is not zero', '420020 02 00000004 00000008 00000001'],
    ['padding of a text that is not zero', '420020 07 00000001 41 00000000000001'],
    ['bytes behind the end', '420020 02 00000004 00000008 00000000 00'],
    ['a second item', '420020 0200000004 0000000800000000 420020 0200000004 0000000800000000'],
    ['an integer of eight bytes', '420020 02 00000008 0000000000000008'],
    ['an enumeration of no bytes', '420020 05 00000000'],
    ['a boolean of four bytes', '420020 06 00000004 00000001 00000000'],
    ['a boolean of 2', '420020 06 00000008 0000000000000002'],
    ['a date of four bytes', '420020 09 00000004 00000001 00000000'],
    ['a big integer of no bytes', '420020 04 00000000'],
    ['a big integer of four bytes', '420020 04 00000004 00000001 00000000'],
    ['a type of zero', '420020 00 00000000'],
    ['a type that is none', '420020 0c 00000008 0000000000000000'],
    ['a tag that is none', '430020 02 00000004 00000008 00000000'],
    ['a text that is not UTF-8', '420020 07 00000002 c328 000000000000'],
    ['a structure that ends in a header', '420020 01 00000004 42002002 00000000'],
    ['a structure shorter than its child', '420020 01 00000008 420020 02 00000004 0000000800000000'],
    ['a structure longer than its child', '420020 01 00000018 420020 02 00000004 0000000800000000'],
    ['a length of four gigabytes', '420020 08 ffffffff 0000000000000000'],
    ['a structure of four gigabytes', '420020 01 fffffff8 0000000000000000'],
  ])('%s', (_name, text) => {
    expect(() => decoded(text)).toThrow(TtlvError)
  })

  const nested = (depth: number): Item =>
    depth === 1 ? structure(0x420020) : structure(0x420020, nested(depth - 1))

  test('structures too deep, and one that is just not', () => {
    expect(() => decode(encode(nested(MAX_DEPTH + 1)))).toThrow(/deeper/)
    expect(decode(encode(nested(MAX_DEPTH)))).toEqual(nested(MAX_DEPTH))
  })

  test('a message too long', () => {
    const long = encode(structure(0x42007b, bytes(0x420020, Buffer.alloc(MAX_MESSAGE_BYTES))))
    expect(() => decode(long)).toThrow(/longer than/)
  })

  test('a depth that would break the stack', () => {
    const depth = 100_000
    const headers = Buffer.alloc(depth * 8)
    for (let i = 0; i < depth; i += 1) {
      headers.writeUIntBE(0x420020, i * 8, 3)
      headers.writeUInt8(1, i * 8 + 3)
      headers.writeUInt32BE(headers.length - (i + 1) * 8, i * 8 + 4)
    }
    expect(() => decode(headers)).toThrow(/deeper/)
  })

  test('items without number', () => {
    const many = structure(0x420020, ...Array.from({ length: MAX_ITEMS }, () => structure(0x420021)))
    expect(() => decode(encode(many))).toThrow(/more than/)
  })

  test('a field twice, and one of another type', () => {
    const twice = [integer(0x420020, 1), integer(0x420020, 1)]
    expect(() => optional(twice, 0x420020, 'integer')).toThrow(TtlvError)
    expect(() => optional([text(0x420020, '1')], 0x420020, 'integer')).toThrow(TtlvError)
    expect(() => required([], 0x420020, 'integer')).toThrow(TtlvError)
    expect(optional([], 0x420020, 'integer')).toBeUndefined()
  })
})

const tag = fc.integer({ min: 0x420000, max: 0x42ffff })
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const view = fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value))

/** Any item that can be written. */
const { item } = fc.letrec<{ item: Item }>((tie) => ({
  item: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ tag, type: fc.constant('integer' as const), value: fc.integer() }),
    fc.record({ tag, type: fc.constantFrom('enumeration' as const, 'interval' as const), value: fc.nat() }),
    fc.record({
      tag,
      type: fc.constantFrom('longInteger' as const, 'dateTime' as const, 'dateTimeExtended' as const),
      value: int64,
    }),
    fc.record({ tag, type: fc.constant('boolean' as const), value: fc.boolean() }),
    fc.record({ tag, type: fc.constant('text' as const), value: fc.string({ unit: 'grapheme' }) }),
    fc.record({ tag, type: fc.constant('bytes' as const), value: view }),
    fc.record({
      tag,
      type: fc.constant('structure' as const),
      value: fc.array(tie('item'), { maxLength: 5 }),
    }),
  ),
}))

describe('any item', () => {
  test('comes out of the codec as it went in', () => {
    fc.assert(
      fc.property(item, (one) => {
        expect(decode(encode(one))).toEqual(one)
      }),
      { numRuns: 500 },
    )
  })

  test('is written as the codec of the tests writes it', () => {
    fc.assert(
      fc.property(item, (one) => {
        const message = encode(one)
        expect(other.write(other.read(message)).equals(message)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('that was cut anywhere is refused', () => {
    fc.assert(
      fc.property(item, fc.nat(), (one, seed) => {
        const message = encode(one)
        expect(() => decode(message.subarray(0, seed % message.length))).toThrow(TtlvError)
      }),
      { numRuns: 500 },
    )
  })

  test('comes in the same in pieces of any size', () => {
    fc.assert(
      fc.property(item, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (one, sizes) => {
        const message = encode(structure(tags.RESPONSE_MESSAGE, one))
        const incoming = new Incoming()
        let whole: Buffer | undefined
        for (let at = 0, i = 0; at < message.length; i += 1) {
          const size = sizes[i % sizes.length] ?? 1
          expect(whole).toBeUndefined()
          whole = incoming.add(Buffer.from(message.subarray(at, at + size)))
          at += size
        }
        expect(whole?.equals(message)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

test('bytes of the network are wiped once they were taken', () => {
  const chunk = encode(structure(tags.RESPONSE_MESSAGE, bytes(tags.DATA, Buffer.alloc(32, 7))))
  expect(new Incoming().add(chunk)?.includes(Buffer.alloc(32, 7))).toBe(true)
  expect(chunk.equals(Buffer.alloc(chunk.length))).toBe(true)
})
