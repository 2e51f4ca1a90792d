/** What does a refusal of the server mean, and whose move is it? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { NO_REASON, PENDING } from './messages.js'
import { operations, type Operation } from './tags.js'

/** The server answered, and its answer is no. */
export interface Refusal {
  /** As KMIP numbers them; see messages.ts for those that are not of KMIP. */
  readonly reason: number
  /** As the server says it. May say anything. */
  readonly message: string
  readonly operation: Operation
}

/** The refusal on its way to somebody who can ask the server what it means. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super('the server refused')
    this.refusal = refusal
  }
}

interface Row {
  readonly name: string
  readonly code: KmsErrorCode
  /** What it means when Decrypt is refused so, where that is something else. */
  readonly onDecrypt?: KmsErrorCode
  readonly text: string
  /** The key's state may be the reason: it is read, and decides. */
  readonly asksState?: true
}

const NOT_FOUND =
  'has no such key, or does not show it to us; look at the key id and at whom the key belongs to'
const DENIED =
  'refuses; grant Locate, Get Attributes, Encrypt and Decrypt on the key to the client certificate'
const LOGIN =
  'does not accept our client certificate; look at its validity, its use (clientAuth) and the client it names'
const CRYPTO = 'could not do it with this key'
const PROTOCOL = 'did not understand us'
const UNSUPPORTED = 'does not support what we ask; see docs/kmip.md for what it takes'
const PARAMETERS = 'does not take these cryptographic parameters'
const DESTROYED = 'says that the key was destroyed; restore it from its backup'
const BROKEN = 'failed'

/** By result reason (KMIP 1.4, section 9.1.3.2.29; 2.1, section 11.45). */
const rows: Readonly<Record<number, Row>> = {
  [PENDING]: {
    name: 'Operation Pending',
    code: 'ERR_CONFIG_INVALID',
    text: 'answers later only; switch its asynchronous mode off for this client',
  },
  [NO_REASON]: {
    name: 'no reason',
    code: 'ERR_BACKEND_RESPONSE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: BROKEN,
  },
  0x01: { name: 'Item Not Found', code: 'ERR_KEY_NOT_FOUND', text: NOT_FOUND },
  0x03: { name: 'Authentication Not Successful', code: 'ERR_LOGIN_REFUSED', text: LOGIN },
  0x04: { name: 'Invalid Message', code: 'ERR_BACKEND_RESPONSE', text: PROTOCOL },
  0x05: { name: 'Operation Not Supported', code: 'ERR_CONFIG_INVALID', text: UNSUPPORTED },
  0x06: {
    name: 'Missing Data',
    code: 'ERR_KEY_UNUSABLE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: PARAMETERS,
  },
  0x07: {
    name: 'Invalid Field',
    code: 'ERR_KEY_UNUSABLE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: PARAMETERS,
    asksState: true,
  },
  0x08: {
    name: 'Feature Not Supported',
    code: 'ERR_CONFIG_INVALID',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: UNSUPPORTED,
  },
  0x09: {
    name: 'Operation Canceled By Requester',
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'cancelled the operation',
  },
  0x0a: {
    name: 'Cryptographic Failure',
    code: 'ERR_KEY_UNUSABLE',
    onDecrypt: 'ERR_DECRYPTION_FAILED',
    text: CRYPTO,
  },
  0x0b: {
    name: 'Illegal Operation',
    code: 'ERR_KEY_UNUSABLE',
    text: 'does not do this with the key',
    asksState: true,
  },
  0x0c: { name: 'Permission Denied', code: 'ERR_ACCESS_DENIED', text: DENIED, asksState: true },
  0x0d: { name: 'Object Archived', code: 'ERR_KEY_DISABLED', text: 'has archived the key; recover it' },
  0x13: {
    name: 'Key Value Not Present',
    code: 'ERR_KEY_UNUSABLE',
    text: 'knows the key but does not hold it',
  },
  0x14: {
    name: 'Attestation Required',
    code: 'ERR_CONFIG_INVALID',
    text: 'wants an attestation, which we do not give',
  },
  0x15: {
    name: 'Attestation Failed',
    code: 'ERR_CONFIG_INVALID',
    text: 'wants an attestation, which we do not give',
  },
  0x1a: {
    name: 'Usage Limit Exceeded',
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the usage limit of the key is used up',
  },
  0x24: {
    name: 'Bad Cryptographic Parameters',
    code: 'ERR_KEY_UNUSABLE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: PARAMETERS,
  },
  0x28: {
    name: 'Illegal Object Type',
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the object is no symmetric key',
  },
  0x29: {
    name: 'Incompatible Cryptographic Usage Mask',
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the usage mask of the key does not allow it',
    asksState: true,
  },
  0x2a: { name: 'Internal Server Error', code: 'ERR_BACKEND_UNAVAILABLE', text: BROKEN },
  0x30: {
    name: 'Invalid Object Type',
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the object is no symmetric key',
  },
  0x34: { name: 'Missing Initialization Vector', code: 'ERR_KEY_UNUSABLE', text: PARAMETERS },
  0x36: { name: 'Object Destroyed', code: 'ERR_KEY_NOT_FOUND', text: DESTROYED },
  0x37: { name: 'Object Not Found', code: 'ERR_KEY_NOT_FOUND', text: NOT_FOUND },
  0x39: { name: 'Not Authorised', code: 'ERR_ACCESS_DENIED', text: DENIED, asksState: true },
  0x3a: { name: 'Server Limit Exceeded', code: 'ERR_BACKEND_THROTTLED', text: 'limits our rate' },
  0x3b: {
    name: 'Unknown Enumeration',
    code: 'ERR_CONFIG_INVALID',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: UNSUPPORTED,
  },
  0x3e: {
    name: 'Unsupported Cryptographic Parameters',
    code: 'ERR_KEY_UNUSABLE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: PARAMETERS,
  },
  0x3f: { name: 'Unsupported Protocol Version', code: 'ERR_BACKEND_RESPONSE', text: PROTOCOL },
  0x43: {
    name: 'Wrong Key Lifecycle State',
    code: 'ERR_KEY_DISABLED',
    text: 'says that the state of the key does not allow it',
    asksState: true,
  },
  0x44: {
    name: 'Protection Storage Unavailable',
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'cannot reach the storage of the key',
  },
  0x48: {
    name: 'Private Protection Storage Unavailable',
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'cannot reach the storage of the key',
  },
  0x49: {
    name: 'Public Protection Storage Unavailable',
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'cannot reach the storage of the key',
  },
  0x100: {
    name: 'General Failure',
    code: 'ERR_BACKEND_UNAVAILABLE',
    onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
    text: BROKEN,
  },
}

const unknown = (reason: number): Row => ({
  name: `result reason 0x${(reason >>> 0).toString(16)}`,
  code: 'ERR_BACKEND_RESPONSE',
  onDecrypt: 'ERR_UNWRAP_AMBIGUOUS',
  text: 'refuses, and we do not know why',
})

const operationNames: Readonly<Record<Operation, string>> = {
  [operations.LOCATE]: 'Locate',
  [operations.GET_ATTRIBUTES]: 'Get Attributes',
  [operations.QUERY]: 'Query',
  [operations.DISCOVER_VERSIONS]: 'Discover Versions',
  [operations.ENCRYPT]: 'Encrypt',
  [operations.DECRYPT]: 'Decrypt',
}

/** Whether the state of the key must be read before anybody knows what this means. */
export function asksState({ reason }: Refusal): boolean {
  return rows[reason]?.asksState === true
}

/**
 * @param service In messages: `the KMIP server at kms.example.com:5696`.
 * @param key In messages: ` about the key kek-1`; empty where it is about none.
 */
export function refusalError(refusal: Refusal, service: string, key: string): KmsError {
  const row = rows[refusal.reason] ?? unknown(refusal.reason)
  const isDecrypt = refusal.operation === operations.DECRYPT
  const code = isDecrypt ? (row.onDecrypt ?? row.code) : row.code
  const what = `${operationNames[refusal.operation]}${key}: ${row.name}${quoted(refusal)}`
  return new KmsError(code, `${service} ${row.text} (${what})`)
}

const SHOWN_CHARACTERS = 120

/** What the server says, in one line of ASCII. Not of operations that carry a DEK: it might quote it. */
function quoted({ operation, message }: Refusal): string {
  if (operation === operations.ENCRYPT || operation === operations.DECRYPT) return ''
  const line = message
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, SHOWN_CHARACTERS)
  return line === '' ? '' : `, "${line}"`
}
