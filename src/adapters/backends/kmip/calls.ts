/** The few operations that we ask for, as calls of the client. There is no Get among them: a KEK stays where it is. */
import { attributeReferences, attributesIn, attributesOf } from './attributes.js'
import type { KmipCall } from './client.js'
import { all, optional, required, type Fields } from './fields.js'
import { kekIn, type Kek } from './kek.js'
import {
  ALGORITHM_AES,
  NAME_TYPE_TEXT,
  OBJECT_TYPE_SYMMETRIC_KEY,
  operations,
  queryFunctions,
  tags,
} from './tags.js'
import { bytes, enumeration, integer, structure, text, TtlvError } from './ttlv.js'
import { isAtLeast, type KmipVersion } from './version.js'

/** More keys of one name than this are not told apart. */
export const MAX_LOCATED = 32

/** It stands in messages, on the terminal of `check` too: one short line. */
const UID = /^\P{Cc}{1,255}$/u

/** Whether a text can be the Unique Identifier of a key. */
export function isUid(text: string): boolean {
  return UID.test(text)
}

/** What Encrypt and Decrypt are given beside the key. */
export interface Transform {
  readonly uid: string
  readonly mode: number
  readonly data: Uint8Array
  /** Of GCM: 12 bytes. */
  readonly iv?: Uint8Array | undefined
  /** Associated data; since 1.4. */
  readonly aad?: Uint8Array | undefined
  /** Of Decrypt; since 1.4. */
  readonly tag?: Uint8Array | undefined
}

/** Copies that the caller owns. */
export interface Transformed {
  readonly data: Buffer
  readonly tag: Buffer | undefined
}

export const TAG_BYTES = 16

/** Keys with this name. Servers read names and filters in their own ways, so each must be looked at. */
export function locate(name: string, state: number | undefined): KmipCall<readonly string[]> {
  const filters: Fields = [
    structure(tags.NAME, text(tags.NAME_VALUE, name), enumeration(tags.NAME_TYPE, NAME_TYPE_TEXT)),
    enumeration(tags.OBJECT_TYPE, OBJECT_TYPE_SYMMETRIC_KEY),
    ...(state === undefined ? [] : [enumeration(tags.STATE, state)]),
  ]
  return {
    operation: operations.LOCATE,
    payload: (version) => [integer(tags.MAXIMUM_ITEMS, MAX_LOCATED), ...attributesOf(version, filters)],
    read: (payload) => {
      const uids = all(payload, tags.UNIQUE_IDENTIFIER, 'text')
      if (uids.every(isUid)) return uids
      throw new TtlvError('has a Unique Identifier that nobody could write into keyId')
    },
  }
}

export function getAttributes(uid: string): KmipCall<Kek> {
  return {
    operation: operations.GET_ATTRIBUTES,
    payload: (version) => [text(tags.UNIQUE_IDENTIFIER, uid), ...attributeReferences(version)],
    read: (payload, version) => {
      assertSameKey(payload, uid)
      return kekIn(uid, attributesIn(version, payload))
    },
  }
}

/** What the server says of itself. */
export interface ServerInfo {
  readonly version: KmipVersion
  readonly vendor: string
  /** Numbers as in tags.ts. */
  readonly operations: readonly number[]
}

export const query: KmipCall<ServerInfo> = {
  operation: operations.QUERY,
  payload: () => [
    enumeration(tags.QUERY_FUNCTION, queryFunctions.OPERATIONS),
    enumeration(tags.QUERY_FUNCTION, queryFunctions.SERVER_INFORMATION),
  ],
  read: (payload, version) => ({
    version,
    vendor: optional(payload, tags.VENDOR_IDENTIFICATION, 'text') ?? '',
    operations: all(payload, tags.OPERATION, 'enumeration'),
  }),
}

export function encrypt(what: (version: KmipVersion) => Transform): KmipCall<Transformed> {
  return transform(operations.ENCRYPT, what)
}

export function decrypt(what: (version: KmipVersion) => Transform): KmipCall<Transformed> {
  return transform(operations.DECRYPT, what)
}

function transform(
  operation: typeof operations.ENCRYPT | typeof operations.DECRYPT,
  what: (version: KmipVersion) => Transform,
): KmipCall<Transformed> {
  return {
    operation,
    payload: (version) => transformPayload(what(version)),
    read: (payload, version) => {
      const { uid, iv } = what(version)
      assertSameKey(payload, uid)
      assertOurIv(payload, iv)
      const tag = optional(payload, tags.AUTHENTICATED_ENCRYPTION_TAG, 'bytes')
      const isKnown = isAtLeast(version, [1, 4])
      if (tag !== undefined && !isKnown) throw new TtlvError('has a tag, which its version does not know')
      return {
        data: copyOf(required(payload, tags.DATA, 'bytes')),
        tag: tag === undefined ? undefined : copyOf(tag),
      }
    },
  }
}

/** In the order of the specification: some servers read it in no other. */
function transformPayload({ uid, mode, data, iv, aad, tag }: Transform): Fields {
  const field = (number: number, value: Uint8Array | undefined) =>
    value === undefined ? [] : [bytes(number, value)]
  return [
    text(tags.UNIQUE_IDENTIFIER, uid),
    structure(
      tags.CRYPTOGRAPHIC_PARAMETERS,
      enumeration(tags.BLOCK_CIPHER_MODE, mode),
      enumeration(tags.CRYPTOGRAPHIC_ALGORITHM, ALGORITHM_AES),
      iv === undefined ? undefined : integer(tags.TAG_LENGTH, TAG_BYTES),
    ),
    bytes(tags.DATA, data),
    ...field(tags.IV_COUNTER_NONCE, iv),
    ...field(tags.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, aad),
    ...field(tags.AUTHENTICATED_ENCRYPTION_TAG, tag),
  ]
}

/** Not to the letter: who takes a UUID in capitals may answer in small letters. */
function assertSameKey(payload: Fields, uid: string): void {
  const answered = optional(payload, tags.UNIQUE_IDENTIFIER, 'text')
  if (answered?.toLowerCase() !== uid.toLowerCase())
    throw new TtlvError('is about another key than was asked')
}

function assertOurIv(payload: Fields, iv: Uint8Array | undefined): void {
  const used = optional(payload, tags.IV_COUNTER_NONCE, 'bytes')
  if (used === undefined) return
  if (iv === undefined || Buffer.compare(used, iv) !== 0) throw new TtlvError('has another IV than ours')
}

function copyOf(view: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(view.length)
  copy.set(view)
  return copy
}
