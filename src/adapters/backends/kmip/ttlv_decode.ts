/** What does a message say? Nothing that it does not say exactly: every length, every padding byte, every end. */
import {
  HEADER_BYTES,
  MAX_DEPTH,
  MAX_ITEMS,
  MAX_MESSAGE_BYTES,
  padded,
  TtlvError,
  wireTypes,
  type Item,
  type ItemType,
} from './ttlv.js'

const types = new Map(Object.entries(wireTypes).map(([name, wire]) => [wire as number, name as ItemType]))

/** The value's length where its type has one only. */
const fixedLengths: Readonly<Partial<Record<ItemType, number>>> = {
  integer: 4,
  enumeration: 4,
  interval: 4,
  longInteger: 8,
  boolean: 8,
  dateTime: 8,
  dateTimeExtended: 8,
}

/** First bytes of a tag: of the standard, of extensions. */
const TAG_SPACES: readonly number[] = [0x42, 0x54]

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The one item that `message` is.
 *
 * @returns Bytes in it are views on `message`.
 * @throws {TtlvError} When a second reader could see something else in these bytes, or they break a bound of ttlv.ts.
 */
export function decode(message: Uint8Array): Item {
  if (message.length > MAX_MESSAGE_BYTES) throw new TtlvError(`is longer than ${MAX_MESSAGE_BYTES} bytes`)
  const reader = new Reader(message)
  const { item, end } = reader.read(0, message.length, 1)
  if (end !== message.length) throw new TtlvError('goes on behind its end')
  return item
}

/**
 * How long the message is that has this header, the header included.
 *
 * @param header {@link HEADER_BYTES} bytes.
 * @throws {TtlvError} When no message of this tag begins so.
 */
export function messageLength(header: Buffer, tag: number): number {
  if (header.readUIntBE(0, 3) !== tag || header.readUInt8(3) !== wireTypes.structure) {
    throw new TtlvError('does not begin as an answer of KMIP')
  }
  const length = HEADER_BYTES + header.readUInt32BE(4)
  if (length > MAX_MESSAGE_BYTES)
    throw new TtlvError(`says that it is longer than ${MAX_MESSAGE_BYTES} bytes`)
  return length
}

class Reader {
  readonly #bytes: Buffer
  #items = 0

  constructor(message: Uint8Array) {
    this.#bytes = Buffer.from(message.buffer, message.byteOffset, message.length)
  }

  /** @param limit Where the structure ends that the item is in. */
  read(at: number, limit: number, depth: number): { readonly item: Item; readonly end: number } {
    if (depth > MAX_DEPTH) throw new TtlvError(`is deeper than ${MAX_DEPTH} structures`)
    this.#items += 1
    if (this.#items > MAX_ITEMS) throw new TtlvError(`has more than ${MAX_ITEMS} items`)
    if (limit - at < HEADER_BYTES) throw new TtlvError('ends in the header of an item')
    const tag = this.#bytes.readUIntBE(at, 3)
    if (!TAG_SPACES.includes(tag >>> 16)) throw new TtlvError('has a tag that is none')
    const type = types.get(this.#bytes.readUInt8(at + 3))
    if (type === undefined) throw new TtlvError('has an item of a type that is none')
    const length = this.#bytes.readUInt32BE(at + 4)
    const fixed = fixedLengths[type]
    if (fixed !== undefined && length !== fixed) throw new TtlvError(`has a ${type} of ${length} bytes`)
    const start = at + HEADER_BYTES
    const end = start + padded(length)
    if (end > limit) throw new TtlvError('has an item that is longer than what it is in')
    for (let i = start + length; i < end; i += 1) {
      if (this.#bytes[i] !== 0) throw new TtlvError('has padding that is not zero')
    }
    return { item: this.#item(tag, type, start, length, depth), end }
  }

  #item(tag: number, type: ItemType, start: number, length: number, depth: number): Item {
    const raw = this.#bytes.subarray(start, start + length)
    switch (type) {
      case 'structure':
        return { tag, type, value: this.#children(start, start + length, depth + 1) }
      case 'integer':
        return { tag, type, value: raw.readInt32BE() }
      case 'enumeration':
      case 'interval':
        return { tag, type, value: raw.readUInt32BE() }
      case 'longInteger':
      case 'dateTime':
      case 'dateTimeExtended':
        return { tag, type, value: raw.readBigInt64BE() }
      case 'boolean':
        return { tag, type, value: booleanIn(raw) }
      case 'text':
        return { tag, type, value: textIn(raw) }
      case 'bigInteger':
        if (length === 0 || length % 8 !== 0) throw new TtlvError(`has a ${type} of ${length} bytes`)
        return { tag, type, value: raw }
      case 'bytes':
        return { tag, type, value: raw }
    }
  }

  #children(start: number, end: number, depth: number): readonly Item[] {
    const children: Item[] = []
    for (let at = start; at < end;) {
      const child = this.read(at, end, depth)
      children.push(child.item)
      at = child.end
    }
    return children
  }
}

function booleanIn(raw: Buffer): boolean {
  const value = raw.readBigUInt64BE()
  if (value > 1n) throw new TtlvError('has a boolean that is neither true nor false')
  return value === 1n
}

function textIn(raw: Buffer): string {
  try {
    return utf8.decode(raw)
  } catch {
    throw new TtlvError('has a text that is not UTF-8')
  }
}
