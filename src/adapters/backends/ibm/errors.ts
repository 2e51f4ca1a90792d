/** What does an error of the KMS mean, and whose move is it? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { HttpAnswer } from '../remote/http_client.js'
import { isObject, jsonObjectIfAny, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'

/** What was asked of the service. */
export type Action = 'wrap' | 'unwrap' | 'metadata'

/** An error as the service words it, without the body that it came in. */
export interface ServiceError {
  readonly status: number
  /** `resources[0].reasons[0].code`; empty where there is none. */
  readonly reason: string
  /** The field that the reason is about; empty where there is none. */
  readonly field: string
  /** `resources[0].errorMsg`; empty where the answer is not one of the service. */
  readonly message: string
  readonly retryAfterMs: number | undefined
}

interface Row {
  readonly when: (error: ServiceError, action: Action) => boolean
  readonly code: KmsErrorCode
  readonly text: string
  /** Where the service does not say it itself. */
  readonly retryAfterMs?: number
}

const reason =
  (...reasons: string[]) =>
  (error: ServiceError) =>
    reasons.includes(error.reason)
const status =
  (...statuses: number[]) =>
  (error: ServiceError) =>
    statuses.includes(error.status)

/** After a key was enabled or restored, IBM wants this long a rest. */
const TOO_EARLY_MS = 30_000

const DELETED =
  'says that the root key is deleted; restore it at once with `ibmcloud kp key restore`: that works for 30 days, afterwards every value under the key is lost'

/** The first row that fits. Reasons come before the status that they stand in. */
const rows: readonly Row[] = [
  {
    when: (error) => /bluemix-instance/i.test(error.message),
    code: 'ERR_CONFIG_INVALID',
    text: 'does not take `instanceId`; it is the GUID that `ibmcloud resource service-instance NAME` prints',
  },
  {
    when: (error, action) =>
      error.reason === 'UNPROCESSABLE_CIPHERTEXT_ERR' ||
      (action === 'unwrap' && error.reason === 'INVALID_FIELD_ERR' && error.field !== 'aad'),
    code: 'ERR_DECRYPTION_FAILED',
    text: 'refuses the wrapped DEK: it was altered, or wrapped under another key or with another `aad`',
  },
  {
    when: reason('KEY_ACTION_INVALID_STATE_ERR'),
    code: 'ERR_KEY_DISABLED',
    text: 'says that the root key is disabled; enable it with `ibmcloud kp key enable`',
  },
  {
    when: reason('REQ_TOO_EARLY_ERR'),
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: 'wants a rest after the key was changed',
    retryAfterMs: TOO_EARLY_MS,
  },
  { when: reason('KEY_DELETED_ERR'), code: 'ERR_KEY_PENDING_DELETION', text: DELETED },
  {
    when: reason('KEY_ROOT_REQ_ERR', 'KEY_ROOT_REQ_REG_ERR'),
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the key is a standard key; only root keys wrap',
  },
  {
    when: reason('KEY_EXPIRED_ERR'),
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the root key has expired: it opens old values and seals no new ones; make a new root key and let `primary` name it',
  },
  {
    when: reason('KEY_INVALID_STATE_ERR'),
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that the root key is not active; look at it with `ibmcloud kp key show`',
  },
  {
    when: reason('INCOMPLETE_METADATA_ERR'),
    code: 'ERR_KEY_UNUSABLE',
    text: 'says that its record of the root key is damaged; that does not mend itself, so ask IBM’s support',
  },
  {
    when: reason('BEARER_SUB_EXTRACTION_ERR'),
    code: 'ERR_LOGIN_REFUSED',
    text: 'cannot read the token; is `tokenUrl` the IAM of the same cloud?',
  },
  {
    when: (error) => error.status === 401 && /does not have access/i.test(error.message),
    code: 'ERR_ACCESS_DENIED',
    text: 'takes no token of this API key; give its service id the role Reader on the key, and check `instanceId`, `url` and the network policy of the instance',
  },
  {
    when: status(401),
    code: 'ERR_LOGIN_REFUSED',
    text: 'refuses a token that IAM has just given; is `tokenUrl` the IAM of the same cloud, and `url` the endpoint of the instance?',
  },
  {
    when: status(403),
    code: 'ERR_ACCESS_DENIED',
    text: 'forbids it; look at the network policy of the instance (public or private endpoint, allowed addresses) and at the role of the service id: Reader on the key',
  },
  {
    when: (error) => error.status === 404 && error.message !== '',
    code: 'ERR_KEY_NOT_FOUND',
    text: 'has no such key here; check `keyId`, `keyRing` and `instanceId`. A key that was purged is gone for ever',
  },
  {
    when: status(404, 405),
    code: 'ERR_BACKEND_RESPONSE',
    text: 'does not answer as the KMS; is `url` its endpoint, without /api/v2, and is there a proxy in between?',
  },
  { when: status(410), code: 'ERR_KEY_PENDING_DELETION', text: DELETED },
  { when: status(429), code: 'ERR_BACKEND_THROTTLED', text: 'limits our rate' },
  { when: (error) => error.status >= 500, code: 'ERR_BACKEND_UNAVAILABLE', text: 'cannot serve now' },
  {
    // It may be the ciphertext that the service does not like: the core finds out with one that is good.
    when: (error, action) => action === 'unwrap' && [400, 422].includes(error.status),
    code: 'ERR_UNWRAP_AMBIGUOUS',
    text: 'refuses to unwrap and does not say clearly why',
  },
  { when: () => true, code: 'ERR_BACKEND_RESPONSE', text: 'answered otherwise than its API says' },
]

/** Reads, and wipes, the body of an answer that is not 200. */
export function serviceErrorIn(answer: HttpAnswer): ServiceError {
  const resource = firstOf(jsonObjectIfAny(answer)['resources'])
  const first = firstOf(resource['reasons'])
  return {
    status: answer.status,
    // IBM's own documentation shows a code with a blank before it.
    reason: (textAt(first, 'code') ?? '').trim(),
    field: textAt(objectAt(first, 'target'), 'name') ?? '',
    message: textAt(resource, 'errorMsg') ?? '',
    retryAfterMs: retryAfterMs(answer.headers['retry-after']),
  }
}

/** Whether it is the token that the service does not take. */
export function isTokenRefused(error: ServiceError): boolean {
  return error.status === 401 || error.reason === 'BEARER_SUB_EXTRACTION_ERR'
}

/**
 * @param service In messages: `the IBM KMS at https://eu-de.kms.cloud.ibm.com`.
 * @param correlationId What we sent along: IBM's support finds the call by it.
 */
export function kmsError(
  service: string,
  action: Action,
  error: ServiceError,
  correlationId: string,
): KmsError {
  const row = rows.find(({ when }) => when(error, action))
  const { code = 'ERR_BACKEND_RESPONSE', text = '' } = row ?? {}
  const known = /^[A-Z0-9_]{3,64}$/.test(error.reason) ? `, ${error.reason}` : ''
  const details = `${action}: status ${error.status}${known}, correlation id ${correlationId}`
  return new KmsError(code, `${service} ${text} (${details})`, {
    retryAfterMs: error.retryAfterMs ?? row?.retryAfterMs,
  })
}

function firstOf(list: unknown): JsonObject {
  const first: unknown = Array.isArray(list) ? list[0] : undefined
  return isObject(first) ? first : {}
}
