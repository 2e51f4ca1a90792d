/** The few rules of the protobuf wire format that the tests need: varints and length-delimited fields. */

export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  return Buffer.from([...bytes, rest])
}

/** A field of wire type 2. */
export function bytesField(field: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes])
}

/** A field of wire type 0. */
export function numberField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)])
}

/** Every field in order; wire types 0 and 2 only. */
export function fieldsOf(message: Uint8Array): { field: number; value: number | Buffer }[] {
  const bytes = Buffer.from(message)
  const fields: { field: number; value: number | Buffer }[] = []
  let at = 0
  const number = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = number()
    if (tag % 8 === 0) {
      fields.push({ field: tag >> 3, value: number() })
    } else if (tag % 8 === 2) {
      const end = number() + at
      if (end > bytes.length) throw new Error('a field ends beyond its message')
      fields.push({ field: tag >> 3, value: bytes.subarray(at, end) })
      at = end
    } else {
      throw new Error(`wire type ${tag % 8} is not expected here`)
    }
  }
  return fields
}
