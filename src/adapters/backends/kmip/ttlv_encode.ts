/** How is an item of TTLV written? */
import { HEADER_BYTES, padded, wireTypes, type Item } from './ttlv.js'

/**
 * The bytes of an item, in one buffer of their own: whoever sends a DEK in it can wipe it, and no copy is left.
 */
export function encode(item: Item): Buffer {
  const message = Buffer.allocUnsafeSlow(HEADER_BYTES + padded(lengthOf(item))).fill(0)
  write(message, 0, item)
  return message
}

/** Of the value, without padding. */
function lengthOf(item: Item): number {
  switch (item.type) {
    case 'structure':
      return item.value.reduce((sum, child) => sum + HEADER_BYTES + padded(lengthOf(child)), 0)
    case 'integer':
    case 'enumeration':
    case 'interval':
      return 4
    case 'longInteger':
    case 'dateTime':
    case 'dateTimeExtended':
    case 'boolean':
      return 8
    case 'text':
      return Buffer.byteLength(item.value)
    case 'bytes':
    case 'bigInteger':
      return item.value.length
  }
}

/** @returns Where the next item begins. */
function write(message: Buffer, at: number, item: Item): number {
  const length = lengthOf(item)
  message.writeUIntBE(item.tag, at, 3)
  message.writeUInt8(wireTypes[item.type], at + 3)
  message.writeUInt32BE(length, at + 4)
  const valueAt = at + HEADER_BYTES
  writeValue(message, valueAt, item)
  return valueAt + padded(length)
}

function writeValue(message: Buffer, at: number, item: Item): void {
  switch (item.type) {
    case 'structure': {
      let next = at
      for (const child of item.value) next = write(message, next, child)
      return
    }
    case 'integer':
      message.writeInt32BE(item.value, at)
      return
    case 'enumeration':
    case 'interval':
      message.writeUInt32BE(item.value, at)
      return
    case 'longInteger':
    case 'dateTime':
    case 'dateTimeExtended':
      message.writeBigInt64BE(item.value, at)
      return
    case 'boolean':
      message.writeBigUInt64BE(item.value ? 1n : 0n, at)
      return
    case 'text':
      message.write(item.value, at, 'utf8')
      return
    case 'bytes':
    case 'bigInteger':
      message.set(item.value, at)
  }
}
