/**
 * What does a stream of Go's `encoding/gob` hold, when it is one struct of plain fields?
 *
 * Written from the documentation of that package. A stream is messages, each behind its length: definitions of types
 * under ids that the sender chose, then the value. So nothing is matched by an id; fields come in whatever order they
 * were defined, and those of value zero are left out. What Go's encoder never writes is refused.
 */
import { GobError, GobReader } from './gob_reader.js'

export type GobScalar = bigint | Uint8Array | string

export interface GobType {
  /** As the program that wrote it calls it. */
  readonly name: string
  /** All that are defined, in their order. */
  readonly fieldNames: readonly string[]
}

export interface GobStruct extends GobType {
  /** Those that are not zero. Bytes are views of the stream. */
  readonly fields: ReadonlyMap<string, GobScalar>
}

/** Far more than a struct of plain fields has. */
const MAX_TYPES = 16
const MAX_FIELDS = 64

/** What Go's own wireType, CommonType, structType and fieldType hold, by the numbers of their fields. */
const STRUCT_KIND = 2
const [COMMON, FIELDS] = [0, 1]
const [NAME, ID] = [0, 1]

interface StructType extends GobType {
  readonly fieldTypes: readonly bigint[]
}

/** By id; `undefined` for a type of another kind. */
type Types = Map<bigint, StructType | undefined>

/** By the ids that every stream has: int, uint, []byte, string. */
const scalars: ReadonlyMap<bigint, (from: GobReader) => GobScalar> = new Map<
  bigint,
  (from: GobReader) => GobScalar
>([
  [2n, (from) => from.int()],
  [3n, (from) => from.uint()],
  [5n, (from) => from.bytes()],
  [6n, (from) => from.text()],
])

/**
 * The one value of a whole stream.
 *
 * @throws {GobError} Anything else: cut, trailed by more, a value of another kind, fields of other types.
 */
export function readGobStruct(stream: Uint8Array): GobStruct {
  const messages = new GobReader(stream)
  const types: Types = new Map()
  let value = nextValue(messages, types)
  while (value === undefined) value = nextValue(messages, types)
  const type = types.get(value.id)
  if (type === undefined) throw new GobError('holds a value that is no struct')
  const fields = fieldsOf(type, value.message)
  messages.assertEnd('has more behind its value')
  return { name: type.name, fieldNames: type.fieldNames, fields }
}

/** The structs that a stream defines at its beginning, however damaged what follows is: for a first look. */
export function gobTypesAtStart(stream: Uint8Array): readonly GobType[] {
  const messages = new GobReader(stream)
  const types: Types = new Map()
  try {
    while (nextValue(messages, types) === undefined);
  } catch (error) {
    if (!(error instanceof GobError)) throw error
  }
  return [...types.values()].filter((type) => type !== undefined)
}

/** Reads one message; `undefined` where it was a definition, which is kept. */
function nextValue(
  messages: GobReader,
  types: Types,
): { readonly id: bigint; readonly message: GobReader } | undefined {
  const message = messages.message()
  const id = message.int()
  if (id >= 0n) return { id, message }
  if (types.has(-id)) throw new GobError('defines a type twice')
  if (types.size === MAX_TYPES) throw new GobError('defines too many types')
  types.set(-id, definition(message, -id))
  return undefined
}

/** A type that is no struct is passed over: its message says where it ends. */
function definition(message: GobReader, id: bigint): StructType | undefined {
  const kind = message.uint()
  if (kind !== BigInt(STRUCT_KIND + 1)) return undefined
  const type = structIn(message, id)
  if (message.uint() !== 0n) throw new GobError('defines a type of two kinds')
  message.assertEnd('has a definition that goes on behind its end')
  return type
}

function structIn(message: GobReader, defined: bigint): StructType {
  let common = { name: '', id: 0n }
  let fields: readonly { readonly name: string; readonly id: bigint }[] = []
  eachField(message, (number) => {
    if (number === COMMON) common = nameAndId(message)
    else if (number === FIELDS) fields = fieldList(message)
    else throw new GobError('has a definition with more than Go writes')
  })
  const fieldNames = fields.map(({ name }) => name)
  if (common.id !== defined) throw new GobError('defines a struct under two ids')
  if (new Set(fieldNames).size !== fieldNames.length) throw new GobError('defines a field twice')
  return { name: common.name, fieldNames, fieldTypes: fields.map(({ id }) => id) }
}

function fieldList(message: GobReader): readonly { readonly name: string; readonly id: bigint }[] {
  const count = message.uint()
  if (count > MAX_FIELDS) throw new GobError('defines too many fields')
  return Array.from({ length: Number(count) }, () => nameAndId(message))
}

function nameAndId(message: GobReader): { readonly name: string; readonly id: bigint } {
  let [name, id] = ['', 0n]
  eachField(message, (number) => {
    if (number === NAME) name = message.name()
    else if (number === ID) id = message.int()
    else throw new GobError('has a definition with more than Go writes')
  })
  return { name, id }
}

function fieldsOf(type: StructType, message: GobReader): ReadonlyMap<string, GobScalar> {
  const values = new Map<string, GobScalar>()
  eachField(message, (number) => {
    const [name, read] = [type.fieldNames[number], scalars.get(type.fieldTypes[number] ?? 0n)]
    if (name === undefined) throw new GobError('holds a field that it does not define')
    if (read === undefined) throw new GobError('holds a field of no plain type')
    values.set(name, read(message))
  })
  message.assertEnd('has a value that goes on behind its end')
  return values
}

/** Each field stands behind how much further its number is, and a zero behind the last. */
function eachField(message: GobReader, read: (number: number) => void): void {
  let number = -1
  for (let delta = message.uint(); delta !== 0n; delta = message.uint()) {
    if (delta > MAX_FIELDS) throw new GobError('has a field number that is too high')
    number += Number(delta)
    read(number)
  }
}
