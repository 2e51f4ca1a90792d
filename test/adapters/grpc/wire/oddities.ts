/**
 * What in some bytes do protobuf.js and a strict reader see differently? A second reader, which shares nothing with the
 * one under test.
 */
import { isUtf8 } from 'node:buffer'
import type { Fields } from '../../../../src/adapters/grpc/wire/message.js'

export const ODDITIES = [
  'a known field with another wire type',
  'a string that is no UTF-8',
  'a string that ends beyond its message',
  'field number 0',
  'a field number above 2^29 - 1',
  'such a number in a group',
  'a tag or length of more than 5 bytes or 32 bits',
  'a varint of more than 64 bits',
  'a group that ends with another number',
] as const

export type Oddity = (typeof ODDITIES)[number]

/** Both readers refuse. */
class Broken extends Error {}

class Found extends Error {
  readonly oddity: Oddity

  constructor(oddity: Oddity) {
    super(oddity)
    this.oddity = oddity
  }
}

const ENTRY: Fields = { name: { number: 1, type: 'string' }, value: { number: 2, type: 'bytes' } }

/** The first one; `undefined` where both readers must agree. */
export function oddityOf(bytes: Buffer, fields: Fields): Oddity | undefined {
  try {
    scan(bytes, fields)
    return undefined
  } catch (error) {
    if (error instanceof Found) return error.oddity
    if (error instanceof Broken) return undefined
    throw error
  }
}

interface Position {
  readonly bytes: Buffer
  at: number
}

function scan(bytes: Buffer, fields: Fields): void {
  const position = { bytes, at: 0 }
  while (position.at < bytes.length) {
    const { number, wireType } = tag(position, false)
    const known = Object.values(fields).find((field) => field.number === number)
    if (known === undefined) {
      value(position, number, wireType)
      continue
    }
    if (wireType !== 2) throw new Found('a known field with another wire type')
    const length = short(position)
    const isWhole = position.at + length <= bytes.length
    if (!isWhole)
      throw known.type === 'string' ? new Found('a string that ends beyond its message') : new Broken()
    const content = take(position, length)
    if (known.type === 'string' && !isUtf8(content)) throw new Found('a string that is no UTF-8')
    if (known.type === 'map') scan(content, ENTRY)
  }
}

function tag(position: Position, isInGroup: boolean): { number: number; wireType: number } {
  const tag = varint(position, 5)
  const number = Number(tag >> 3n)
  if (number === 0) throw new Found('field number 0')
  if (number >= 2 ** 29)
    throw new Found(isInGroup ? 'such a number in a group' : 'a field number above 2^29 - 1')
  return { number, wireType: Number(tag & 7n) }
}

function value(position: Position, number: number, wireType: number): void {
  if (wireType === 0) varint(position, 10)
  else if (wireType === 1) take(position, 8)
  else if (wireType === 2) take(position, short(position))
  else if (wireType === 5) take(position, 4)
  else if (wireType === 3) group(position, number)
  else throw new Broken()
}

function group(position: Position, opened: number): void {
  for (;;) {
    const { number, wireType } = tag(position, true)
    if (wireType !== 4) value(position, number, wireType)
    else if (number === opened) return
    else throw new Found('a group that ends with another number')
  }
}

function short(position: Position): number {
  const length = Number(varint(position, 5))
  if (length >= 2 ** 32) throw new Found('a tag or length of more than 5 bytes or 32 bits')
  return length
}

/** @param maxBytes 5: protobuf.js takes each longer one for one of ten bytes, and drops the high bits. */
function varint(position: Position, maxBytes: 5 | 10): bigint {
  const rest = position.bytes.subarray(position.at)
  const last = rest.findIndex((byte) => byte < 0x80)
  if (last >= 10 || (last === -1 && rest.length >= 10)) throw new Found('a varint of more than 64 bits')
  if (last >= maxBytes || (last === -1 && rest.length > maxBytes)) {
    throw new Found('a tag or length of more than 5 bytes or 32 bits')
  }
  if (last === -1) throw new Broken()
  const digits = [...take(position, last + 1)].map((byte, index) => BigInt(byte & 0x7f) << BigInt(7 * index))
  const sum = digits.reduce((a, b) => a + b, 0n)
  if (sum >= 2n ** 64n) throw new Found('a varint of more than 64 bits')
  return sum
}

function take(position: Position, length: number): Buffer {
  if (position.at + length > position.bytes.length) throw new Broken()
  position.at += length
  return position.bytes.subarray(position.at - length, position.at)
}
