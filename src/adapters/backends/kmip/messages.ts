/** How is one operation asked, and what was answered? One operation in a message, always. */
import { optional, required, type Fields } from './fields.js'
import { resultStatus, tags, type Operation } from './tags.js'
import { bytes, enumeration, integer, structure, TtlvError, type Item } from './ttlv.js'
import { decode } from './ttlv_decode.js'
import { encode } from './ttlv_encode.js'
import { sameVersion, versionText, type KmipVersion } from './version.js'

export interface Question {
  readonly version: KmipVersion
  readonly operation: Operation
  /** Comes back with the answer, so that no answer is taken for another's. */
  readonly id: Uint8Array
  readonly payload: Fields
}

/** The server has done what it was asked, or says why not. */
export type Answer =
  | { readonly isSuccess: true; readonly payload: Fields }
  | { readonly isSuccess: false; readonly reason: number; readonly message: string }

/** @returns The message, in a buffer that the caller owns and wipes. */
export function encodeQuestion({ version, operation, id, payload }: Question): Buffer {
  return encode(
    structure(
      tags.REQUEST_MESSAGE,
      structure(tags.REQUEST_HEADER, versionItem(version), integer(tags.BATCH_COUNT, 1)),
      structure(
        tags.BATCH_ITEM,
        enumeration(tags.OPERATION, operation),
        bytes(tags.UNIQUE_BATCH_ITEM_ID, id),
        structure(tags.REQUEST_PAYLOAD, ...payload),
      ),
    ),
  )
}

export function versionItem({ major, minor }: KmipVersion): Item {
  const { PROTOCOL_VERSION, PROTOCOL_VERSION_MAJOR, PROTOCOL_VERSION_MINOR } = tags
  return structure(
    PROTOCOL_VERSION,
    integer(PROTOCOL_VERSION_MAJOR, major),
    integer(PROTOCOL_VERSION_MINOR, minor),
  )
}

export function versionIn(fields: Fields): KmipVersion {
  return {
    major: required(fields, tags.PROTOCOL_VERSION_MAJOR, 'integer'),
    minor: required(fields, tags.PROTOCOL_VERSION_MINOR, 'integer'),
  }
}

/**
 * The answer to `question`. Bytes in it are views on `message`.
 *
 * @throws {TtlvError} When it is no answer to it.
 */
export function decodeAnswer(message: Uint8Array, question: Question): Answer {
  const root = decode(message)
  if (root.tag !== tags.RESPONSE_MESSAGE || root.type !== 'structure')
    throw new TtlvError('is no answer of KMIP')
  const header = required(root.value, tags.RESPONSE_HEADER, 'structure')
  const version = versionIn(required(header, tags.PROTOCOL_VERSION, 'structure'))
  const count = required(header, tags.BATCH_COUNT, 'integer')
  if (count !== 1) throw new TtlvError(`answers ${count} operations, where one was asked`)
  const item = required(root.value, tags.BATCH_ITEM, 'structure')
  const id = optional(item, tags.UNIQUE_BATCH_ITEM_ID, 'bytes')
  if (id !== undefined && Buffer.compare(id, question.id) !== 0)
    throw new TtlvError('is the answer to another question')
  const operation = optional(item, tags.OPERATION, 'enumeration')
  if (operation !== undefined && operation !== question.operation)
    throw new TtlvError('is the answer to another operation')
  const status = required(item, tags.RESULT_STATUS, 'enumeration')
  if (status !== resultStatus.SUCCESS) return refusalIn(item, status)
  if (operation === undefined) throw new TtlvError('does not say which operation it answers')
  if (!sameVersion(version, question.version))
    throw new TtlvError(`is in KMIP ${versionText(version)}, which was not asked`)
  return { isSuccess: true, payload: optional(item, tags.RESPONSE_PAYLOAD, 'structure') ?? [] }
}

/** Refusals may come in any version: a server that does not know ours can only answer in its own. */
function refusalIn(item: Fields, status: number): Answer {
  if (status === resultStatus.PENDING) return { isSuccess: false, reason: PENDING, message: '' }
  if (status !== resultStatus.FAILED && status !== resultStatus.UNDONE) {
    throw new TtlvError('has a result status that is none')
  }
  return {
    isSuccess: false,
    reason: optional(item, tags.RESULT_REASON, 'enumeration') ?? NO_REASON,
    message: optional(item, tags.RESULT_MESSAGE, 'text') ?? '',
  }
}

/** Not of KMIP: what a refusal without a reason, and an answer that is to be fetched later, have in the place of one. */
export const NO_REASON = 0
export const PENDING = -1
