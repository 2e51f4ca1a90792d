/** How do the bytes of protobuf's wire format read (https://protobuf.dev/programming-guides/encoding/)? */

export const VARINT = 0
export const LENGTH_DELIMITED = 2
const FIXED64 = 1
const FIXED32 = 5

/** Longest varint: 64 bits in groups of 7. */
const VARINT_MAX_BYTES = 10

/** The content of a `bytes`, `string` or message field. */
export interface Bytes {
  readonly bytes: Uint8Array
  /** Of the first content byte, counted from the start of the whole value. */
  readonly at: number
}

/** The bytes are no protobuf from here on. */
export class BrokenError extends Error {
  /** Counted from the start of the whole value. */
  readonly at: number

  constructor(at: number, why: string) {
    super(why)
    this.at = at
  }
}

/** Reads forward; checks each length against what is left. */
export class Cursor {
  readonly #bytes: Uint8Array
  readonly #startsAt: number
  #position = 0

  constructor(bytes: Uint8Array, startsAt: number) {
    this.#bytes = bytes
    this.#startsAt = startsAt
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  get offset(): number {
    return this.#startsAt + this.#position
  }

  varint(what: string): number {
    const at = this.offset
    let value = 0
    for (let index = 0; index < VARINT_MAX_BYTES; index++) {
      const byte = this.#bytes[this.#position]
      if (byte === undefined) throw new BrokenError(this.offset, `${what} is cut off`)
      this.#position++
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) {
        if (index === VARINT_MAX_BYTES - 1 && byte > 1) break
        return value
      }
    }
    throw new BrokenError(at, `${what} is longer than 64 bits`)
  }

  take(length: number, what: string): Bytes {
    const at = this.offset
    const left = this.#bytes.length - this.#position
    if (length > left) throw new BrokenError(at, `${what} is ${length} bytes long, ${left} are left`)
    const bytes = this.#bytes.subarray(this.#position, this.#position + length)
    this.#position += length
    return { bytes, at }
  }
}

export function readTag(cursor: Cursor): { number: number; wireType: number } {
  const at = cursor.offset
  const tag = cursor.varint('a field tag')
  const number = Math.floor(tag / 8)
  // protobuf.dev: field numbers are 1 to 2^29 - 1.
  if (number === 0 || number >= 2 ** 29) throw new BrokenError(at, `field number ${number} is not allowed`)
  return { number, wireType: tag % 8 }
}

/** `undefined` for the fixed-size types, which none of our messages use. */
export function readValue(
  cursor: Cursor,
  number: number,
  wireType: number,
  tagAt: number,
): Bytes | number | undefined {
  const what = `field ${number}`
  switch (wireType) {
    case VARINT:
      return cursor.varint(what)
    case LENGTH_DELIMITED:
      return cursor.take(cursor.varint(`the length of ${what}`), what)
    case FIXED64:
      cursor.take(8, what)
      return undefined
    case FIXED32:
      cursor.take(4, what)
      return undefined
    default:
      throw new BrokenError(tagAt, `${what} has wire type ${wireType}, which proto3 does not have`)
  }
}
