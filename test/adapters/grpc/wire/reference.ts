/** The messages of both APIs, and the same by protobuf.js from the .proto files. */
import { join, resolve } from 'node:path'
import protobuf from 'protobufjs'
import * as v1beta1 from '../../../../src/adapters/grpc/messages_v1beta1.js'
import * as v2 from '../../../../src/adapters/grpc/messages_v2.js'
import type { Fields, Message } from '../../../../src/adapters/grpc/wire/message.js'

const PROTO = resolve(import.meta.dirname, '../../../../proto')

/** What a message holds, in one form for every codec. */
export type Content = Record<string, string | Record<string, string>>

export interface Subject {
  /** With its package: `v2.DecryptRequest`. */
  readonly name: string
  readonly ours: Message<Fields>
  readonly reference: protobuf.Type
}

const roots = new Map(
  ['v2', 'v1beta1'].map((api) => [api, protobuf.loadSync(join(PROTO, api, 'kms.proto'))] as const),
)

/** The .proto file of an API, as protobuf.js reads it. */
export function rootOf(api: string): protobuf.Root {
  return roots.get(api)!
}

export const subjects: readonly Subject[] = [
  ...Object.entries(v2).map(([name, message]) => subject('v2', name, message)),
  ...Object.entries(v1beta1).map(([name, message]) => subject('v1beta1', name, message)),
]

function subject(api: string, ours: string, message: object): Subject {
  const name = `${api}.${ours[0]!.toUpperCase()}${ours.slice(1)}`
  return { name, ours: message as Message<Fields>, reference: rootOf(api).lookupType(name) }
}

export const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')

/** By the codec under test; `undefined` when it refuses. */
export function ourContent({ ours }: Subject, bytes: Buffer): Content | undefined {
  try {
    return contentOf(ours.decode(bytes))
  } catch {
    return undefined
  }
}

/** By protobuf.js; `undefined` when it refuses. */
export function referenceContent({ reference }: Subject, bytes: Buffer): Content | undefined {
  try {
    return contentOf(reference.toObject(reference.decode(bytes), { defaults: true }))
  } catch {
    return undefined
  }
}

/** Bytes become hexadecimal digits. The entries of a map are told in the order of their names. */
export function contentOf(message: object): Content {
  return Object.fromEntries(Object.entries(message).map(([name, value]) => [name, plain(value)]))
}

function plain(value: unknown): string | Record<string, string> {
  if (typeof value === 'string') return `text ${value}`
  // An empty array is how protobuf.js says that the value of an entry has no bytes.
  if (value instanceof Uint8Array || Array.isArray(value)) return Buffer.from(value).toString('hex')
  const entries = Object.entries(value as object).map(([name, part]) => [name, plain(part)] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))) as Record<string, string>
}
