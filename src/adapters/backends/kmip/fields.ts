/** Is the field there, once, and of the right type? */
import { TtlvError, type Item, type ItemType, type Values } from './ttlv.js'

/** What a structure consists of. */
export type Fields = readonly Item[]

/** All items with this tag, in order; each must have the type. */
export function all<T extends ItemType>(fields: Fields, tag: number, type: T): readonly Values[T][] {
  return fields
    .filter((item) => item.tag === tag)
    .map((item) => {
      if (item.type !== type)
        throw new TtlvError(`has a ${item.type} as ${hex(tag)}, where a ${type} belongs`)
      return item.value as Values[T]
    })
}

/** The item with this tag; `undefined` where there is none. Two are refused. */
export function optional<T extends ItemType>(fields: Fields, tag: number, type: T): Values[T] | undefined {
  const found = all(fields, tag, type)
  if (found.length > 1) throw new TtlvError(`has ${hex(tag)} ${found.length} times`)
  return found[0]
}

export function required<T extends ItemType>(fields: Fields, tag: number, type: T): Values[T] {
  const found = optional(fields, tag, type)
  if (found === undefined) throw new TtlvError(`has no ${hex(tag)}`)
  return found
}

function hex(tag: number): string {
  return `0x${tag.toString(16)}`
}
