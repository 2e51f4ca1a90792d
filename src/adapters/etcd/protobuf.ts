/**
 * What does one protobuf message hold, as far as its bytes go?
 *
 * A reader for untrusted bytes: it does not recurse, bounds the number of fields, and keeps what it read before the
 * bytes broke.
 */
import { BrokenError, Cursor, LENGTH_DELIMITED, readTag, readValue, VARINT, type Bytes } from './wire.js'

/** The fields of a message that we know, by name. */
export type MessageSpec = Readonly<
  Record<string, { readonly number: number; readonly type: 'bytes' | 'varint'; readonly repeated?: true }>
>

/** Where the bytes stop being protobuf of this message. */
export interface Break {
  /** Counted from the start of the whole value. */
  readonly at: number
  readonly why: string
}

export interface Message<Name extends string> {
  /** As in proto3, the last occurrence counts. Absent: `undefined`. */
  bytes(name: Name): Bytes | undefined
  every(name: Name): readonly Bytes[]
  /** Exact up to 2^53. */
  varint(name: Name): number | undefined
  /** Distinct numbers of fields that the spec does not name, as few as {@link UNKNOWN_MAX}. */
  readonly unknown: readonly number[]
  /** Names of fields that occur more often than they should. */
  readonly repeated: readonly string[]
  readonly broken: Break | undefined
}

/** More than the 32 KiB of annotations that kube-apiserver allows can take (kmsv2/envelope.go). */
export const FIELDS_MAX = 20_000

/** How many unknown field numbers are remembered. */
export const UNKNOWN_MAX = 8

const WIRE_TYPE = { bytes: LENGTH_DELIMITED, varint: VARINT } as const

/** @param startsAt Offset of `bytes` in the whole value, for {@link Break.at}. Never throws. */
export function readMessage<Spec extends MessageSpec>(
  bytes: Uint8Array,
  startsAt: number,
  spec: Spec,
): Message<keyof Spec & string> {
  const cursor = new Cursor(bytes, startsAt)
  const names = new Map(Object.entries(spec).map(([name, field]) => [field.number, { name, ...field }]))
  const found = new Map<string, (Bytes | number)[]>()
  const repeated = new Set<string>()
  const unknown = new Set<number>()
  let broken: Break | undefined

  try {
    for (let count = 0; !cursor.atEnd; count++) {
      const at = cursor.offset
      if (count === FIELDS_MAX) throw new BrokenError(at, `more than ${FIELDS_MAX} fields`)
      const { number, wireType } = readTag(cursor)
      const value = readValue(cursor, number, wireType, at)
      const field = names.get(number)
      if (field === undefined) {
        if (unknown.size < UNKNOWN_MAX) unknown.add(number)
        continue
      }
      if (value === undefined || wireType !== WIRE_TYPE[field.type]) {
        throw new BrokenError(at, `${field.name} (field ${number}) has wire type ${wireType}`)
      }
      const values = found.get(field.name) ?? []
      values.push(value)
      found.set(field.name, values)
      if (values.length > 1 && field.repeated !== true) repeated.add(field.name)
    }
  } catch (thrown) {
    if (!(thrown instanceof BrokenError)) throw thrown
    broken = { at: thrown.at, why: thrown.message }
  }

  const every = (name: string): Bytes[] =>
    (found.get(name) ?? []).filter((value): value is Bytes => typeof value !== 'number')
  return {
    bytes: (name) => every(name).at(-1),
    every,
    varint(name) {
      const value = found.get(name)?.at(-1)
      return typeof value === 'number' ? value : undefined
    },
    unknown: [...unknown],
    repeated: [...repeated],
    broken,
  }
}
