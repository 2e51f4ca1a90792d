/** What stands before each field of a protobuf message: its number and how its value is written, as one varint. */

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH_DELIMITED = 2
export const GROUP_START = 3
export const FIXED32 = 5

/** Field numbers are 1 to 2^29 - 1; the wire type takes three bits. */
export const TAG_MIN = 8
export const TAG_MAX = 2 ** 32 - 1

/** Of a `bytes`, `string` or `map` field. */
export function tagOf(fieldNumber: number): number {
  return fieldNumber * 8 + LENGTH_DELIMITED
}
