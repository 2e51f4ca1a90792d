/** What does an error of the service mean, and whose move is it? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { HttpAnswer } from '../remote/http_client.js'
import { jsonObjectIfAny, textAt, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'

/** What was asked of the service. */
export type Action = 'encrypt' | 'decrypt' | 'get' | 'list'

/** As four bits of `error_code` number them. */
const CATEGORIES = [
  'unspecified',
  'internal',
  'argument',
  'authentication',
  'authorization',
  'not found',
  'database',
  'unavailable',
  'bad argument',
  'too many requests',
  'conflict',
] as const

export type Category = (typeof CATEGORIES)[number]

/** An error as the service words it, without the body that it came in. */
export interface ServiceError {
  readonly status: number
  /** `unspecified` where the answer has no `error_code`, or one that is not known. */
  readonly category: Category
  /** `error_code` as an unsigned number; `undefined` where the answer is none of the service's. */
  readonly code: number | undefined
  readonly requestId: string | undefined
  readonly retryAfterMs: number | undefined
}

interface Row {
  readonly when: (error: ServiceError, action: Action) => boolean
  readonly code: KmsErrorCode
  readonly text: string
}

const category =
  (...wanted: Category[]) =>
  (error: ServiceError) =>
    wanted.includes(error.category)
const status =
  (...statuses: number[]) =>
  (error: ServiceError) =>
    statuses.includes(error.status)

const isRefusedArgument = category('argument', 'bad argument')

const NEEDS =
  'let the IAM policy of the certificate’s identity allow okms:apikms:serviceKey/encrypt, /decrypt and /get on the key'

/** The first row that fits: how the service stands, who we are, then what was wrong with the question. */
const rows: readonly Row[] = [
  {
    when: (error) => error.status === 429 || category('too many requests')(error),
    code: 'ERR_BACKEND_THROTTLED',
    text: 'limits our rate',
  },
  { when: (error) => error.status >= 500, code: 'ERR_BACKEND_UNAVAILABLE', text: 'cannot serve now' },
  {
    when: category('authorization'),
    code: 'ERR_ACCESS_DENIED',
    text: `knows the client certificate and forbids it; ${NEEDS}`,
  },
  {
    when: (error) => error.status === 401 || category('authentication')(error),
    code: 'ERR_LOGIN_REFUSED',
    text: 'does not take the client certificate; is it an access certificate of this OKMS domain, not expired, and not revoked?',
  },
  { when: status(403), code: 'ERR_ACCESS_DENIED', text: `forbids it; ${NEEDS}` },
  {
    when: category('not found'),
    code: 'ERR_KEY_NOT_FOUND',
    text: 'has no such key here; check `okmsId`, `keyId` and the region in `url`. A key that was deleted is gone for ever',
  },
  {
    when: category('internal', 'database', 'unavailable'),
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'cannot serve now',
  },
  {
    when: (error) => error.status === 404 && error.code !== undefined,
    code: 'ERR_KEY_NOT_FOUND',
    text: 'finds nothing here; check `okmsId`, `keyId` and the region in `url`',
  },
  {
    when: status(404, 405),
    code: 'ERR_BACKEND_RESPONSE',
    text: 'does not answer as the KMS; is `url` its REST endpoint, without /api, and is there a proxy in between?',
  },
  {
    when: (error, action) => isRefusedArgument(error) && action === 'decrypt',
    code: 'ERR_DECRYPTION_FAILED',
    text: 'refuses the wrapped DEK: it was altered, or encrypted under another key or with another `context`',
  },
  {
    when: (error) => error.status === 409 || category('conflict')(error),
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the key cannot do this as it is now; look at its state and operations with `okms keys get`',
  },
  {
    // It may be the ciphertext that the service does not like: the core finds out with one that is good.
    when: (error, action) => action === 'decrypt' && [400, 410, 422].includes(error.status),
    code: 'ERR_UNWRAP_AMBIGUOUS',
    text: 'refuses to decrypt and does not say clearly why',
  },
  {
    when: (error, action) => isRefusedArgument(error) && action === 'get',
    code: 'ERR_CONFIG_INVALID',
    text: 'does not take `okmsId` or `keyId`',
  },
  { when: () => true, code: 'ERR_BACKEND_RESPONSE', text: 'answered otherwise than its API says' },
]

/** Reads, and wipes, the body of an answer that is not 200. */
export function serviceErrorIn(answer: HttpAnswer): ServiceError {
  const body = jsonObjectIfAny(answer)
  const code = codeIn(body)
  const requestId = textAt(body, 'request_id') ?? ''
  return {
    status: answer.status,
    category: CATEGORIES[code === undefined ? 0 : (code >>> 12) & 0xf] ?? 'unspecified',
    code,
    requestId: /^[A-Za-z0-9-]{1,64}$/.test(requestId) ? requestId : undefined,
    retryAfterMs: retryAfterMs(answer.headers['retry-after']),
  }
}

/** Whether the state of the key may be the reason, which the service has no code of its own for. */
export function mayBeState({ status: found, category: kind }: ServiceError): boolean {
  return (
    [400, 409, 410, 422].includes(found) && !['authentication', 'authorization', 'not found'].includes(kind)
  )
}

/** @param service In messages: `OVHcloud KMS at https://eu-west-rbx.okms.ovh.net`. */
export function kmsError(service: string, action: Action, error: ServiceError): KmsError {
  const { code = 'ERR_BACKEND_RESPONSE', text = '' } = rows.find(({ when }) => when(error, action)) ?? {}
  const known = error.code === undefined ? '' : `, error ${error.code} (${error.category})`
  const request = error.requestId === undefined ? '' : `, request id ${error.requestId}`
  return new KmsError(code, `${service} ${text} (${action}: status ${error.status}${known}${request})`, {
    retryAfterMs: error.retryAfterMs,
  })
}

/** The API declares a signed number of 32 bits, and its bits mean something: a negative one is the same code. */
function codeIn(body: JsonObject): number | undefined {
  const code = body['error_code']
  return typeof code === 'number' && Number.isInteger(code) ? code >>> 0 : undefined
}
