/** TTLV for tests: written by itself, to tell the adapter's reader from the specification. */

export type Value = readonly Node[] | number | bigint | boolean | string | Buffer

/** Tag, type as the specification numbers it, value. */
export type Node = readonly [tag: number, type: number, value: Value]

export const struct = (tag: number, ...children: readonly Node[]): Node => [tag, 1, children]
export const int = (tag: number, value: number): Node => [tag, 2, value]
export const enumerated = (tag: number, value: number): Node => [tag, 5, value]
export const str = (tag: number, value: string): Node => [tag, 7, value]
export const octets = (tag: number, value: Uint8Array): Node => [tag, 8, Buffer.from(value)]
export const date = (tag: number, seconds: number): Node => [tag, 9, BigInt(seconds)]

export function write([tag, type, value]: Node): Buffer {
  const body = bodyOf(type, value)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(tag << 8, 0)
  header[3] = type
  header.writeUInt32BE(body.length, 4)
  return Buffer.concat([header, body, Buffer.alloc(-body.length & 7)])
}

function bodyOf(type: number, value: Value): Buffer {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'string') return Buffer.from(value)
  if (typeof value === 'object') return Buffer.concat(value.map(write))
  if (typeof value === 'number') {
    const four = Buffer.alloc(4)
    if (type === 2) four.writeInt32BE(value)
    else four.writeUInt32BE(value)
    return four
  }
  const eight = Buffer.alloc(8)
  eight.writeBigInt64BE(typeof value === 'bigint' ? value : BigInt(value))
  return eight
}

/** Reads what a well-behaved peer sent; throws on anything odd. */
export function read(bytes: Buffer): Node {
  const [node, rest] = take(bytes)
  if (rest.length > 0) throw new Error('more than one item')
  return node
}

function take(bytes: Buffer): readonly [Node, Buffer] {
  const tag = bytes.readUInt32BE(0) >>> 8
  const type = bytes[3] ?? 0
  const length = bytes.readUInt32BE(4)
  const padded = (length + 7) & ~7
  if (bytes.length < 8 + padded) throw new Error('too short')
  const body = bytes.subarray(8, 8 + length)
  return [[tag, type, valueOf(type, body)], bytes.subarray(8 + padded)]
}

function valueOf(type: number, body: Buffer): Value {
  switch (type) {
    case 1: {
      const children: Node[] = []
      for (let rest = body; rest.length > 0;) {
        const [child, next] = take(rest)
        children.push(child)
        rest = next
      }
      return children
    }
    case 2:
      return body.readInt32BE()
    case 5:
    case 10:
      return body.readUInt32BE()
    case 6:
      return body[7] === 1
    case 7:
      return body.toString('utf8')
    case 3:
    case 9:
    case 11:
      return body.readBigInt64BE()
    case 4:
    case 8:
      return Buffer.from(body)
    default:
      throw new Error(`type ${type}`)
  }
}

/** The children of the structure with this tag, somewhere directly below `node`. */
export function child(node: Node, tag: number): Node | undefined {
  return childrenOf(node).find(([one]) => one === tag)
}

export function childrenOf([, , value]: Node): readonly Node[] {
  return Array.isArray(value) ? (value as readonly Node[]) : []
}

/** The value at the end of a path of tags. */
export function at(node: Node, ...path: readonly number[]): Value | undefined {
  let here: Node | undefined = node
  for (const tag of path) here = here === undefined ? undefined : child(here, tag)
  return here?.[2]
}
