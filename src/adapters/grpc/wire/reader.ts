/**
 * How do the bytes of a protobuf message read (https://protobuf.dev/programming-guides/encoding/)?
 *
 * As strict as Google's readers: nothing is read beyond the end, and nothing that is not there is made up.
 */
import { isUtf8 } from 'node:buffer'
import { TAG_MAX, TAG_MIN } from './tags.js'

/** 64 bits in groups of 7. */
const VARINT_MAX_BYTES = 10

export const NO_BYTES = Buffer.alloc(0)

/** The bytes are no message. The text says nothing of what they hold. */
export class MalformedError extends Error {}

/** Reads forward. Its methods throw {@link MalformedError}. */
export class Reader {
  readonly #message: Buffer
  #at = 0
  #end: number

  constructor(message: Buffer) {
    this.#message = message
    this.#end = message.length
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** Of the next field. */
  tag(): number {
    const tag = this.varint()
    if (tag < TAG_MIN || tag > TAG_MAX) throw new MalformedError('a field number is not allowed')
    return tag
  }

  /** At most 2^64 - 1; above 2^53 rounded. */
  varint(): number {
    let value = 0
    let factor = 1
    for (let left = VARINT_MAX_BYTES; left > 0; left--) {
      if (this.isAtEnd) throw new MalformedError('a varint is cut off')
      const byte = this.#message[this.#at++] ?? 0
      // 9 groups are 63 bits: one is left for the last.
      if (left === 1 && byte > 1) break
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 0x80
    }
    throw new MalformedError('a varint has more than 64 bits')
  }

  /** A view into the message: what is wiped here is wiped there. */
  bytes(): Buffer {
    const length = this.#length()
    if (length === 0) return NO_BYTES
    this.#at += length
    return this.#message.subarray(this.#at - length, this.#at)
  }

  /** proto3 demands UTF-8, and so do Google's readers; anything else would come out as another text than it is. */
  string(): string {
    const length = this.#length()
    const start = this.#at
    this.#at += length
    const text = this.#message.toString('utf8', start, this.#at)
    // It stands in the text for what is no UTF-8, unless it was there before.
    if (text.includes('\uFFFD') && !isUtf8(this.#message.subarray(start, this.#at))) {
      throw new MalformedError('a string is no UTF-8')
    }
    return text
  }

  /** Goes into the message that stands here and ends where that ends. @returns What {@link leave} is to be told. */
  enter(): number {
    const outerEnd = this.#end
    const length = this.#length()
    this.#end = this.#at + length
    return outerEnd
  }

  /** To be called when {@link isAtEnd}. */
  leave(outerEnd: number): void {
    this.#end = outerEnd
  }

  pass(length: number): void {
    if (length > this.#end - this.#at) throw new MalformedError('a field ends beyond its message')
    this.#at += length
  }

  #length(): number {
    const length = this.varint()
    if (length > this.#end - this.#at) throw new MalformedError('a field ends beyond its message')
    return length
  }
}
