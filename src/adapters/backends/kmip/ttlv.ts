/** What is an item of TTLV, the encoding of KMIP (specification 1.4, section 9.1), and what are its bounds? */

/** A whole message, its header included. Answers about one key have some hundred bytes. */
export const MAX_MESSAGE_BYTES = 1024 * 1024

/** Structures in structures. No message of KMIP needs ten. */
export const MAX_DEPTH = 32

/** Items in one message, so that a megabyte of empty structures is not worth much memory. */
export const MAX_ITEMS = 8192

/** Tag 3 ‖ type 1 ‖ length 4. */
export const HEADER_BYTES = 8

/** The byte behind the tag. */
export const wireTypes = {
  structure: 0x01,
  integer: 0x02,
  longInteger: 0x03,
  bigInteger: 0x04,
  enumeration: 0x05,
  boolean: 0x06,
  text: 0x07,
  bytes: 0x08,
  dateTime: 0x09,
  interval: 0x0a,
  /** Microseconds; since KMIP 2.0. */
  dateTimeExtended: 0x0b,
} as const

export type ItemType = keyof typeof wireTypes

/** What each type holds. Bytes are views on the message that they came in; dates count seconds since 1970. */
export interface Values {
  readonly structure: readonly Item[]
  readonly integer: number
  readonly longInteger: bigint
  readonly bigInteger: Uint8Array
  readonly enumeration: number
  readonly boolean: boolean
  readonly text: string
  readonly bytes: Uint8Array
  readonly dateTime: bigint
  readonly interval: number
  readonly dateTimeExtended: bigint
}

/** One item: the type says what the value is. */
export type Item = {
  readonly [T in ItemType]: { readonly tag: number; readonly type: T; readonly value: Values[T] }
}[ItemType]

/** Bytes that are no message. The text says what is wrong with them and quotes none. */
export class TtlvError extends Error {
  override readonly name = 'TtlvError'
}

/** Values are padded with zeros to a multiple of this. */
const BLOCK_BYTES = 8

export function padded(length: number): number {
  return Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES
}

export function structure(tag: number, ...value: readonly (Item | undefined)[]): Item {
  return { tag, type: 'structure', value: value.filter((item) => item !== undefined) }
}

export function integer(tag: number, value: number): Item {
  return { tag, type: 'integer', value }
}

export function enumeration(tag: number, value: number): Item {
  return { tag, type: 'enumeration', value }
}

export function text(tag: number, value: string): Item {
  return { tag, type: 'text', value }
}

export function bytes(tag: number, value: Uint8Array): Item {
  return { tag, type: 'bytes', value }
}
