/**
 * Messages of proto3 as their .proto files describe them: absent fields have their default, the last occurrence
 * counts, and what is unknown, or has another wire type than it should, is passed over.
 */
import { EMPTY_MAP, mapBytes, readEntry, writeMap, type ByteMap } from './byte_map.js'
import { NO_BYTES, Reader } from './reader.js'
import { tagOf } from './tags.js'
import { skipField } from './unknown_fields.js'
import { fieldBytes, Writer } from './writer.js'

interface Values {
  readonly bytes: Uint8Array
  /** `bytes` that are filled with zeros once they are encoded. */
  readonly secret: Uint8Array
  readonly string: string
  /** `map<string, bytes>` */
  readonly map: ByteMap
}

type Type = keyof Values
type Value = Values[Type]

/** Names of fields as in JSON; numbers below 16. */
export type Fields = Readonly<Record<string, { readonly number: number; readonly type: Type }>>

export type MessageOf<F extends Fields> = { readonly [Name in keyof F]: Values[F[Name]['type']] }

const DEFAULTS: Values = { bytes: NO_BYTES, secret: NO_BYTES, string: '', map: EMPTY_MAP }

interface NamedField {
  readonly name: string
  readonly type: Type
  readonly tag: number
}

export class Message<F extends Fields> {
  readonly fields: F
  readonly #list: readonly NamedField[]
  readonly #byTag: ReadonlyMap<number, NamedField>
  /** Copied for each message, so that all of them have one shape. */
  readonly #defaults: Readonly<Record<string, Value>>

  constructor(fields: F) {
    this.fields = fields
    this.#list = Object.entries(fields).map(([name, { number, type }]) => ({
      name,
      type,
      tag: tagOf(number),
    }))
    this.#byTag = new Map(this.#list.map((field) => [field.tag, field]))
    this.#defaults = Object.fromEntries(this.#list.map(({ name, type }) => [name, DEFAULTS[type]]))
  }

  /**
   * The `bytes` of its fields are views into `message`.
   *
   * @throws {MalformedError}
   */
  decode(message: Buffer): MessageOf<F> {
    const reader = new Reader(message)
    const values: Record<string, Value> = { ...this.#defaults }
    while (!reader.isAtEnd) {
      const tag = reader.tag()
      const field = this.#byTag.get(tag)
      if (field === undefined) skipField(reader, tag)
      else values[field.name] = readValue(reader, field, values[field.name])
    }
    return values as MessageOf<F>
  }

  /** Writes the fields that are not empty, in their order here, and wipes those that are `secret`. */
  encode(message: MessageOf<F>): Buffer {
    const values: Readonly<Record<string, Value>> = message
    let messageBytes = 0
    for (const { name } of this.#list) messageBytes += valueBytes(values[name])
    const writer = new Writer(messageBytes)
    for (const field of this.#list) writeValue(writer, field, values[field.name])
    return writer.finish()
  }
}

function readValue(reader: Reader, { type }: NamedField, before: Value | undefined): Value {
  switch (type) {
    case 'bytes':
    case 'secret':
      return reader.bytes()
    case 'string':
      return reader.string()
    case 'map':
      return readEntry(reader, before as ByteMap)
  }
}

function valueBytes(value: Value | undefined): number {
  if (value === undefined) return 0
  if (typeof value === 'string') return value === '' ? 0 : fieldBytes(Buffer.byteLength(value))
  if (value instanceof Uint8Array) return value.length === 0 ? 0 : fieldBytes(value.length)
  return mapBytes(value)
}

function writeValue(writer: Writer, { type, tag }: NamedField, value: Value | undefined): void {
  if (value === undefined) return
  if (typeof value === 'string') {
    if (value !== '') writer.string(tag, value)
  } else if (value instanceof Uint8Array) {
    if (value.length > 0) writer.bytes(tag, value)
    if (type === 'secret') value.fill(0)
  } else {
    writeMap(writer, tag, value)
  }
}
