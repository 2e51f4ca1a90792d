/**
 * Where this codec and protobuf.js differ on purpose. What Go's own protobuf does stands beside: kube-apiserver and
 * other plugins are written in Go. `test/servers/kms_messages/` compares with it.
 */
import { describe, expect, test } from 'vitest'
import { GROUPS_MAX } from '../../../../src/adapters/grpc/wire/unknown_fields.js'
import { Writer } from '../../../../src/adapters/grpc/wire/writer.js'
import * as v2 from '../../../../src/adapters/grpc/messages_v2.js'
import { bytesOf, ourContent, referenceContent, subjects, type Content } from './reference.js'

const decryptRequest = subjects.find(({ name }) => name === 'v2.DecryptRequest')!
const EMPTY: Content = { ciphertext: '', uid: 'text ', keyId: 'text ', annotations: {} }

function ours(hex: string) {
  return ourContent(decryptRequest, bytesOf(hex))
}

function protobufJs(hex: string) {
  return referenceContent(decryptRequest, bytesOf(hex))
}

const padded = (last: string, bytes: number) => `${'80 '.repeat(bytes - 1)}${last}`

describe('refused here and by Go, and read by protobuf.js:', () => {
  test.each([
    ['a string longer than what is left', '12 05 61'],
    ['a name of an annotation that is longer than its entry', '22 03 0a 05 61'],
    ['a string that is no UTF-8', '12 01 ff'],
    ['a string that is a surrogate', '1a 03 ed a0 80'],
    ['a string with a character in more bytes than it takes', '1a 02 c0 af'],
    ['a name of an annotation that is no UTF-8', '22 03 0a 01 ff'],
    ['such a string that another one follows', '12 01 ff 12 01 61'],
    ['field number 0', '00 00'],
    ['field number 0 with a length', '02 00'],
    ['field number 0 in an entry', '22 02 00 00'],
    ['a group that ends with another number', '2b 34'],
    ['a tag of 33 bits', `8a 80 80 80 10 00`],
    ['a length of 2^32 + 1', '0a 81 80 80 80 10 61'],
    ['an unknown number of 11 bytes', `28 ${padded('01', 11)}`],
    ['an unknown number of 65 bits', `28 ${padded('02', 10)}`],
  ])('%s', (_what, hex) => {
    expect(ours(hex)).toBeUndefined()
    expect(protobufJs(hex)).toBeDefined()
  })
})

describe('read here and by Go as protobuf.js does not:', () => {
  test.each([
    ['a known field with another wire type is an unknown one', '08 05 10 05 1d 00 00 00 00 23 24', EMPTY],
    ['and does not end what came before', '12 01 61 10 05', { ...EMPTY, uid: 'text a' }],
    ['and so it is in an entry', '22 05 08 07 12 01 78', { ...EMPTY, annotations: { '': '78' } }],
    [
      'a length may take more bytes than it needs',
      `0a 81 ${padded('00', 5)} 61`,
      { ...EMPTY, ciphertext: '61' },
    ],
    ['and so may a tag', `8a ${padded('00', 6)} 01 61`, { ...EMPTY, ciphertext: '61' }],
  ])('%s', (_what, hex, content) => {
    expect(ours(hex)).toEqual(content)
    expect(protobufJs(hex)).not.toEqual(content)
  })
})

describe('refused by all:', () => {
  test.each([
    ['a length of 2^31', '0a 80 80 80 80 08 61'],
    ['a length of 2^32 - 1', '0a ff ff ff ff 0f 61'],
    ['a length of -1', `0a ${'ff '.repeat(9)} 01 61`],
    ['an unknown length of 2^32 - 1', '2a ff ff ff ff 0f 61'],
    ['an entry longer than its message', '22 05 0a 01 61'],
    ['a value longer than its entry', '22 02 12 01 12 00'],
    ['the end of a group that did not begin', '2c'],
    ['the end of a group in an entry', '22 01 2c'],
    ['a group without an end', '2b 30 01'],
    ['a group that ends beyond its entry', '22 01 2b 2c'],
    ['wire type 6', '2e 00'],
    ['wire type 7', '2f 00'],
    ['a tag that is cut off', '80'],
    ['fixed numbers that are cut off', '29 00 00 00 00 00 00 00'],
  ])('%s', (_what, hex) => {
    expect(ours(hex)).toBeUndefined()
    expect(protobufJs(hex)).toBeUndefined()
  })
})

describe('read by all:', () => {
  test.each([
    ['of fields that come again the last', '12 01 61 12 01 62', { ...EMPTY, uid: 'text b' }],
    [
      'of names that come again the last',
      '22 06 0a 01 61 12 01 78 22 06 0a 01 61 12 01 79',
      { ...EMPTY, annotations: { a: '79' } },
    ],
    ['an entry without anything', '22 00', { ...EMPTY, annotations: { '': '' } }],
    ['an entry without a name', '22 03 12 01 78', { ...EMPTY, annotations: { '': '78' } }],
    ['an entry whose parts come again', '22 06 0a 01 61 0a 01 62', { ...EMPTY, annotations: { b: '' } }],
    [
      'what is unknown of every type',
      '28 01 31 00 00 00 00 00 00 00 00 3a 01 00 43 48 01 44 4d 00 00 00 00',
      EMPTY,
    ],
    ['the character that stands for what is no UTF-8', '12 03 ef bf bd', { ...EMPTY, uid: 'text \uFFFD' }],
    ['a byte order mark', '12 04 ef bb bf 61', { ...EMPTY, uid: 'text \uFEFFa' }],
  ])('%s', (_what, hex, content) => {
    expect(ours(hex)).toEqual(content)
    expect(protobufJs(hex)).toEqual(content)
  })
})

test(`${GROUPS_MAX} groups in each other are passed over, and one more is refused, however many follow`, () => {
  const groups = (depth: number) => `${'2b'.repeat(depth)}${'2c'.repeat(depth)}`
  expect(ours(groups(GROUPS_MAX))).toEqual(EMPTY)
  expect(ours(groups(GROUPS_MAX + 1))).toBeUndefined()
  expect(ours('2b'.repeat(128 * 1024))).toBeUndefined()
})

test('names that objects of JavaScript have already are names like any other', () => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty']
  const annotations = Object.fromEntries(names.map((name) => [name, Buffer.from('x')] as const))
  const read = v2.encryptResponse.decode(
    v2.encryptResponse.encode({ ciphertext: Buffer.alloc(0), keyId: '', annotations }),
  )
  expect(Object.keys(read.annotations)).toEqual(names)
  expect(Object.getPrototypeOf(read.annotations)).toBeNull()
})

test('messages without annotations share a map that nobody can write to', () => {
  const { annotations } = v2.decryptRequest.decode(Buffer.alloc(0))
  expect(Object.isFrozen(annotations)).toBe(true)
  v2.decryptRequest.decode(bytesOf('22 03 0a 01 61'))
  expect(Object.keys(v2.decryptRequest.decode(Buffer.alloc(0)).annotations)).toEqual([])
})

test('a text that is no text is written as one, in as many bytes as were measured', () => {
  const written = v2.statusResponse.encode({ version: '\ud800', healthz: 'a\udc00', keyId: '' })
  expect(written.toString('hex')).toBe('0a03efbfbd1204' + '61efbfbd')
})

test('a message that is shorter than it was measured is given to nobody', () => {
  const writer = new Writer(5)
  writer.bytes(0x0a, Buffer.from('a'))
  expect(() => writer.finish()).toThrow('not as long as it was measured')
})
