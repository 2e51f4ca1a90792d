/** What does an answer of a vault mean that is no success? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { isObject, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import type { VaultReply } from './client.js'

/** What was asked, for the message. */
export interface Question {
  /** As the permission is called. */
  readonly operation: 'get' | 'list' | 'wrapKey' | 'unwrapKey' | 'decrypt'
  /** `Azure Key Vault at https://my-vault.vault.azure.net`. */
  readonly service: string
  /** `the key kek in …`. */
  readonly kek: string
  /** What `az keyvault key … --id` takes. */
  readonly id: string
}

interface Row {
  readonly status: number
  /** On the code of the error and that of the error inside it, one behind the other. */
  readonly is?: RegExp
  /** On the message, for what has no code of its own everywhere. */
  readonly says?: RegExp
  readonly code: KmsErrorCode
  readonly text: (question: Question) => string
}

/** The first row that fits decides. 401 is not here: session.ts answers it with a new token. */
const rows: readonly Row[] = [
  { status: 403, is: /\bKeyDisabled\b/, code: 'ERR_KEY_DISABLED', text: disabled },
  { status: 403, says: /\bdisabled key/i, code: 'ERR_KEY_DISABLED', text: disabled },
  { status: 403, is: /\bKeyExpired\b/, code: 'ERR_KEY_DISABLED', text: expired },
  { status: 403, says: /\bexpired key/i, code: 'ERR_KEY_DISABLED', text: expired },
  // It passes by itself: Azure also says so for a moment of a version that was made just now.
  { status: 403, is: /\bKeyNotYetValid\b/, code: 'ERR_BACKEND_UNAVAILABLE', text: notYetValid },
  { status: 403, says: /\bnot yet valid|before its/i, code: 'ERR_BACKEND_UNAVAILABLE', text: notYetValid },
  {
    status: 403,
    is: /ForbiddenBy(Firewall|Connection|NetworkSecurityPerimeter)/,
    code: 'ERR_ACCESS_DENIED',
    text: ({ service }) =>
      `${service} lets nobody in from this address: allow it in the firewall of the vault, or use its private endpoint`,
  },
  {
    status: 403,
    is: /ForbiddenByPolicy/,
    code: 'ERR_ACCESS_DENIED',
    text: ({ service, operation }) =>
      `${service} knows us, and its access policies do not allow us ${operation}; allow ${all('get, wrapKey and unwrapKey', operation)} (docs/azure.md)`,
  },
  { status: 403, is: /\bKeyOperationForbidden\b/, code: 'ERR_KEY_UNUSABLE', text: wrongUse },
  { status: 403, says: /not permitted on this key/i, code: 'ERR_KEY_UNUSABLE', text: wrongUse },
  // Without any code it is not Azure that refuses, but a proxy or firewall on the way.
  {
    status: 403,
    is: /./,
    code: 'ERR_ACCESS_DENIED',
    text: ({ service, operation, id }) =>
      `${service} knows us, and no role allows us ${operation} on ${id}; assign one (docs/azure.md), and give it some minutes to work`,
  },
  {
    status: 404,
    is: /NotFound/,
    code: 'ERR_KEY_NOT_FOUND',
    text: ({ service, kek }) =>
      `${service} has not got ${kek}: are vaultUrl, keyName and keyVersion right, or was it deleted (az keyvault key list-deleted)?`,
  },
  {
    status: 409,
    is: /Deleted/,
    code: 'ERR_KEY_PENDING_DELETION',
    text: deleted,
  },
  {
    status: 409,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service, kek }) => `${service} is busy with a change of ${kek}`,
  },
  {
    status: 400,
    is: /BadParameter|InvalidParameter|KeyType/i,
    code: 'ERR_KEY_UNUSABLE',
    text: ({ kek, operation }) => `${kek} takes no ${operation} as we ask it; has it another type or size?`,
  },
  {
    status: 408,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} gave the request up before it was complete`,
  },
  {
    status: 429,
    code: 'ERR_BACKEND_THROTTLED',
    text: ({ service }) => `${service} limits our rate: its limits are shared by all who use the vault`,
  },
]

/** The error for an answer that is neither a success nor a 401. */
export function errorOf(question: Question, reply: VaultReply): KmsError {
  const { status, retryAfterMs } = reply
  const { codes, message } = errorIn(reply.body)
  const said = codes.join(' ')
  const row = rows.find(
    (one) =>
      one.status === status &&
      (one.is === undefined || one.is.test(said)) &&
      (one.says === undefined || one.says.test(message)),
  )
  if (row !== undefined) {
    const named = said === '' ? `${status}` : `${status} ${said}`
    return new KmsError(row.code, `${row.text(question)} (${named})`, { retryAfterMs })
  }
  const code = status >= 500 ? 'ERR_BACKEND_UNAVAILABLE' : 'ERR_BACKEND_RESPONSE'
  const how = said === '' ? "in none of Azure's words; is there a proxy or firewall in between?" : said
  const text = `${question.service} answered ${status} to ${question.operation} ${how}`
  return new KmsError(code, text, { retryAfterMs })
}

/**
 * The error for an unwrap. What we send has the length that the algorithm demands, so a bad parameter can only be the
 * wrapped DEK itself; any other 400 is put to the test by the core, with a DEK that is known to open.
 */
export function unwrapErrorOf(question: Question, reply: VaultReply): KmsError {
  if (reply.status !== 400) return errorOf(question, reply)
  const { codes } = errorIn(reply.body)
  if (codes.includes('BadParameter')) {
    return new KmsError(
      'ERR_DECRYPTION_FAILED',
      `the wrapped DEK failed authentication under ${question.kek}`,
    )
  }
  const said = ['400', ...codes].join(' ')
  return new KmsError(
    'ERR_UNWRAP_AMBIGUOUS',
    `${question.service} answered ${said} to unwrapKey; that may be bad data`,
  )
}

/**
 * The error for a decryption of what another program had encrypted. All that a value can be at fault for has one code
 * and one text, whatever Azure says: with RSA1_5 any difference between two wrong paddings helps whoever tries values.
 */
export function decryptErrorOf(question: Question, reply: VaultReply): KmsError {
  return reply.status === 400 ? notDecrypted(question) : errorOf(question, reply)
}

/** Of a value that does not open, for whatever reason. */
export function notDecrypted({ kek }: Question): KmsError {
  return new KmsError(
    'ERR_DECRYPTION_FAILED',
    `${kek} does not decrypt the value: it was altered, or is of another key or version`,
  )
}

export function pendingDeletion(question: Question): KmsError {
  return new KmsError('ERR_KEY_PENDING_DELETION', deleted(question))
}

/**
 * `{ error: { code, message, innererror: { code } } }`, the inner one at any depth. Only codes may stand in a message of
 * ours: Azure's own quote who asked, and from where.
 */
function errorIn(body: JsonObject): { readonly codes: readonly string[]; readonly message: string } {
  const outer = objectAt(body, 'error')
  const codes: string[] = []
  let error: unknown = outer
  for (let depth = 0; depth < 4 && isObject(error); depth += 1) {
    const code = textAt(error, 'code') ?? ''
    if (/^[A-Za-z]{1,60}$/.test(code)) codes.push(code)
    error = error['innererror'] ?? error['innerError']
  }
  return { codes, message: textAt(outer, 'message') ?? '' }
}

/** What the identity needs at all, and what it needs for the values of another plugin. */
function all(usual: string, operation: Question['operation']): string {
  const isExtra = operation === 'decrypt' || operation === 'list'
  return isExtra ? `${usual}, and ${operation} for the values of another plugin` : usual
}

function disabled({ kek, id }: Question): string {
  return `${kek} is disabled; enable it: az keyvault key set-attributes --id ${id} --enabled true`
}

function wrongUse({ kek, operation, id }: Question): string {
  return `${kek} is not for ${operation}; permit it, and keep what it is for already, since --ops replaces the list: az keyvault key set-attributes --id ${id} --ops wrapKey unwrapKey${operation === 'decrypt' ? ' decrypt' : ''}`
}

function expired({ kek, id }: Question): string {
  return `${kek} has expired and wraps no more, though it still opens; rotate it, or move its end: az keyvault key set-attributes --id ${id} --expires DATE`
}

function notYetValid({ kek, id }: Question): string {
  return `${kek} is not valid yet; wait, or move its beginning: az keyvault key set-attributes --id ${id} --not-before DATE`
}

function deleted({ kek, id }: Question): string {
  return `${kek} was deleted and can still be recovered, until it is purged; do it now: az keyvault key recover --id ${id.replace('/keys/', '/deletedkeys/')}`
}
