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

/** The bytes end as a message here, for a strict reader. */
class Broken extends Error {}

const ENTRY: Fields = { name: { number: 1, type: 'string' }, value: { number: 2, type: 'bytes' } }

/** All of them up to where a strict reader refuses. Where there are none, both readers must agree. */
export function odditiesOf(bytes: Buffer, fields: Fields): ReadonlySet<Oddity> {
  const scan = new Scan(bytes, new Set())
  try {
    scan.message(fields)
  } catch (error) {
    if (!(error instanceof Broken)) throw error
  }
  return scan.found
}

class Scan {
  readonly found: Set<Oddity>
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer, found: Set<Oddity>) {
    this.#bytes = bytes
    this.found = found
  }

  message(fields: Fields): void {
    while (this.#at < this.#bytes.length) {
      const { number, wireType } = this.#tag(false)
      const known = Object.values(fields).find((field) => field.number === number)
      if (known !== undefined && wireType === 2) this.#known(known.type)
      else {
        if (known !== undefined) this.found.add('a known field with another wire type')
        this.#unknown(number, wireType)
      }
    }
  }

  #known(type: Fields[string]['type']): void {
    const length = this.#length()
    const isWhole = this.#at + length <= this.#bytes.length
    if (type === 'string' && !isWhole) this.#refused('a string that ends beyond its message')
    const content = this.#take(length)
    if (type === 'string' && !isUtf8(content)) this.#refused('a string that is no UTF-8')
    if (type === 'map') new Scan(content, this.found).message(ENTRY)
  }

  #unknown(number: number, wireType: number): void {
    if (wireType === 0) this.#varint(10)
    else if (wireType === 1) this.#take(8)
    else if (wireType === 2) this.#take(this.#length())
    else if (wireType === 3) this.#group(number)
    else if (wireType === 5) this.#take(4)
    else throw new Broken()
  }

  #group(opened: number): void {
    for (;;) {
      const { number, wireType } = this.#tag(true)
      if (wireType !== 4) this.#unknown(number, wireType)
      else if (number === opened) return
      else this.#refused('a group that ends with another number')
    }
  }

  #tag(isInGroup: boolean): { number: number; wireType: number } {
    const tag = this.#varint(5)
    const number = Number(tag >> 3n)
    if (number === 0) this.#refused('field number 0')
    if (number >= 2 ** 29) {
      if (!isInGroup) this.#refused('a field number above 2^29 - 1')
      this.found.add('such a number in a group')
    }
    return { number, wireType: Number(tag & 7n) }
  }

  #length(): number {
    const length = Number(this.#varint(5))
    if (length >= 2 ** 32) this.found.add('a tag or length of more than 5 bytes or 32 bits')
    return length
  }

  /** @param maxBytes 5: protobuf.js takes each longer one for one of ten bytes, and drops the high bits. */
  #varint(maxBytes: 5 | 10): bigint {
    const rest = this.#bytes.subarray(this.#at)
    const last = rest.findIndex((byte) => byte < 0x80)
    const bytes = last === -1 ? rest.length + 1 : last + 1
    if (bytes > 10) this.#refused('a varint of more than 64 bits')
    if (bytes > maxBytes) this.found.add('a tag or length of more than 5 bytes or 32 bits')
    const digits = [...this.#take(bytes)].map((byte, index) => BigInt(byte & 0x7f) << BigInt(7 * index))
    const sum = digits.reduce((a, b) => a + b, 0n)
    if (sum >= 2n ** 64n) this.#refused('a varint of more than 64 bits')
    return sum
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new Broken()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  #refused(why: Oddity): never {
    this.found.add(why)
    throw new Broken()
  }
}
