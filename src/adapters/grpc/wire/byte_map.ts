/** `map<string, bytes>`: on the wire a message for each entry, with its name in field 1 and its value in field 2. */
import { NO_BYTES, type Reader } from './reader.js'
import { tagOf } from './tags.js'
import { skipField } from './unknown_fields.js'
import { fieldBytes, type Writer } from './writer.js'

/** What is read has no prototype, so that no name means anything to it. */
export type ByteMap = Readonly<Record<string, Uint8Array>>

/** Shared by all messages whose map is empty. */
export const EMPTY_MAP: ByteMap = Object.freeze(newMap())

const NAME = tagOf(1)
const VALUE = tagOf(2)

/** Reads one entry. Of a name that comes again the last value counts, and what an entry does not say is empty. */
export function readEntry(reader: Reader, before: ByteMap): ByteMap {
  const outerEnd = reader.enter()
  let name = ''
  let value: Uint8Array = NO_BYTES
  while (!reader.isAtEnd) {
    const tag = reader.tag()
    if (tag === NAME) name = reader.string()
    else if (tag === VALUE) value = reader.bytes()
    else skipField(reader, tag)
  }
  reader.leave(outerEnd)
  const map: Record<string, Uint8Array> = before === EMPTY_MAP ? newMap() : before
  map[name] = value
  return map
}

export function mapBytes(map: ByteMap): number {
  let bytes = 0
  for (const [name, value] of Object.entries(map)) bytes += fieldBytes(entryBytes(name, value))
  return bytes
}

/** Both parts of an entry are written, even when they are empty, as Google's writers do. */
export function writeMap(writer: Writer, tag: number, map: ByteMap): void {
  for (const [name, value] of Object.entries(map)) {
    writer.varint(tag)
    writer.varint(entryBytes(name, value))
    writer.string(NAME, name)
    writer.bytes(VALUE, value)
  }
}

function entryBytes(name: string, value: Uint8Array): number {
  return fieldBytes(Buffer.byteLength(name)) + fieldBytes(value.length)
}

function newMap(): Record<string, Uint8Array> {
  return Object.create(null) as Record<string, Uint8Array>
}
