/** What do the errors of Cloud KMS mean? Read from `error.status` and `error.details`, as AIP-193 has them. */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { HttpAnswer } from '../remote/http_client.js'
import { isObject, jsonObjectIfAny, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'
import { stateError } from './key_state.js'

export type Operation = 'read' | 'encrypt' | 'decrypt'

/** Which right each call needs. */
export const PERMISSIONS: Readonly<Record<Operation, string>> = {
  read: 'cloudkms.cryptoKeys.get',
  encrypt: 'cloudkms.cryptoKeyVersions.useToEncrypt',
  decrypt: 'cloudkms.cryptoKeyVersions.useToDecrypt',
}

type Meaning = readonly [code: KmsErrorCode, text: string]

/** By google.rpc.Code. */
const byStatus: Readonly<Record<string, Meaning>> = {
  UNAVAILABLE: ['ERR_BACKEND_UNAVAILABLE', 'cannot serve now'],
  INTERNAL: ['ERR_BACKEND_UNAVAILABLE', 'has an error of its own'],
  UNKNOWN: ['ERR_BACKEND_UNAVAILABLE', 'has an error of its own'],
  DATA_LOSS: ['ERR_BACKEND_UNAVAILABLE', 'has an error of its own'],
  DEADLINE_EXCEEDED: ['ERR_BACKEND_UNAVAILABLE', 'was too slow for itself'],
  ABORTED: ['ERR_BACKEND_UNAVAILABLE', 'broke the call off'],
  CANCELLED: ['ERR_BACKEND_UNAVAILABLE', 'broke the call off'],
  RESOURCE_EXHAUSTED: ['ERR_BACKEND_THROTTLED', 'limits our rate: a quota of the project is used up'],
  UNAUTHENTICATED: ['ERR_CREDENTIALS_EXPIRED', 'does not take our access token (any more)'],
  NOT_FOUND: ['ERR_KEY_NOT_FOUND', 'has no such key or version; look at keyName, and whether it was deleted'],
}

/** Where no answer of the API came back, but one of a gateway. */
const byHttpStatus: Readonly<Record<number, Meaning>> = {
  429: ['ERR_BACKEND_THROTTLED', 'limits our rate'],
}

/** Why permission was denied, by ErrorInfo.reason. */
const byReason: Readonly<Record<string, string>> = {
  SERVICE_DISABLED:
    'is not enabled in the project; run gcloud services enable cloudkms.googleapis.com, then wait some minutes',
  BILLING_DISABLED: 'refuses: billing is off in the project; link a billing account to it',
  CONSUMER_INVALID:
    'does not know the project that is to pay; look at keyName and at quota_project_id of the credentials',
  CONSUMER_SUSPENDED: 'refuses: the project is suspended; ask whoever owns it',
  USER_PROJECT_DENIED:
    'refuses: we may not use the quota project of the credentials; grant serviceusage.services.use on it',
  ACCESS_TOKEN_SCOPE_INSUFFICIENT:
    'refuses: the scopes of the machine leave out Cloud KMS; stop it and set its scope to cloud-platform',
  SECURITY_POLICY_VIOLATED:
    'refuses by a perimeter of VPC Service Controls; let this node into the perimeter of the project',
  LOCATION_POLICY_VIOLATED: 'refuses by a policy on locations of the organization',
}

/**
 * Whether Google refuses our token: in the words of its API, or of its front end. The 401 of a proxy is no word about
 * it. Wipes the body of a 401.
 */
export function isTokenRefusal(answer: HttpAnswer): boolean {
  if (answer.status !== 401) return false
  const said = textAt(objectAt(jsonObjectIfAny(answer), 'error'), 'status')
  return said === 'UNAUTHENTICATED' || /^Bearer\b/i.test(answer.headers['www-authenticate'] ?? '')
}

/**
 * @param service In messages: `Cloud KMS at https://cloudkms.googleapis.com`.
 * @returns Why the answer is none. Wipes its body. Nothing of the service's own text is quoted.
 */
export function kmsError(answer: HttpAnswer, operation: Operation, key: string, service: string): KmsError {
  const error = objectAt(jsonObjectIfAny(answer), 'error')
  const status = textAt(error, 'status')
  const [code, text] = meaningOf(answer.status, status, error, operation, key)
  const header = answer.headers['retry-after']
  const pauseMs = retryAfterMs(header) ?? delayOf(error)
  return new KmsError(code, `${service} ${text}`, pauseMs === undefined ? {} : { retryAfterMs: pauseMs })
}

function meaningOf(
  httpStatus: number,
  status: string | undefined,
  error: JsonObject,
  operation: Operation,
  key: string,
): Meaning {
  if (status === 'PERMISSION_DENIED') return ['ERR_ACCESS_DENIED', deniedText(error, operation, key)]
  if (status === 'FAILED_PRECONDITION') return preconditionMeaning(error, key)
  if (status === 'INVALID_ARGUMENT') return argumentMeaning(error, operation, key)
  const told = status !== undefined && Object.hasOwn(byStatus, status) ? byStatus[status] : undefined
  const known = told ?? byHttpStatus[httpStatus]
  if (known !== undefined) return known
  if (httpStatus >= 500) return ['ERR_BACKEND_UNAVAILABLE', `cannot serve (status ${httpStatus})`]
  return [
    'ERR_BACKEND_RESPONSE',
    `answers with status ${httpStatus} and no error of its API; is a proxy in between?`,
  ]
}

function deniedText(error: JsonObject, operation: Operation, key: string): string {
  const reason = textAt(detail(error, 'ErrorInfo'), 'reason') ?? ''
  const known = Object.hasOwn(byReason, reason) ? byReason[reason] : undefined
  return (
    known ??
    `denies ${PERMISSIONS[operation]} on ${key}, or has no such key; grant it to the identity of the plugin (docs/gcp.md)`
  )
}

/** Mostly the state of a version: in the violation by its type, and at the end of the message. */
function preconditionMeaning(error: JsonObject, key: string): Meaning {
  const said = /current state is: ([A-Z_]+)/.exec(textAt(error, 'message') ?? '')?.[1]
  const violations = detail(error, 'PreconditionFailure')['violations']
  const first: unknown = Array.isArray(violations) ? violations[0] : undefined
  const type = isObject(first) ? textAt(first, 'type') : undefined
  const subject = (isObject(first) ? textAt(first, 'subject') : undefined) ?? ''
  const version = /\/cryptoKeyVersions\/[0-9]{1,10}$/.exec(subject)?.[0] ?? ''
  const state = said ?? type?.replace(/^KEY_/, '')
  if (state === undefined) {
    return ['ERR_KEY_UNUSABLE', `says that ${key} is not fit for this; run kmsplugin check`]
  }
  return stateError(`${key}${version}`, state)
}

function argumentMeaning(error: JsonObject, operation: Operation, key: string): Meaning {
  if (/checksum|crc32c/i.test(textAt(error, 'message') ?? '')) {
    return ['ERR_BACKEND_RESPONSE', 'got other bytes than were sent: a checksum is wrong']
  }
  if (operation === 'decrypt') {
    return ['ERR_DECRYPTION_FAILED', `does not open the wrapped DEK with ${key}: it was altered`]
  }
  return ['ERR_KEY_UNUSABLE', `does not ${operation} with ${key}; is its purpose symmetric encrypt/decrypt?`]
}

/** The first of the details of this type; `{}` where there is none. */
function detail(error: JsonObject, type: string): JsonObject {
  const details: unknown = error['details']
  const all: unknown[] = Array.isArray(details) ? details : []
  return (
    all.filter(isObject).find((one) => textAt(one, '@type')?.endsWith(`google.rpc.${type}`) === true) ?? {}
  )
}

/** google.rpc.RetryInfo: `1.5s`. */
function delayOf(error: JsonObject): number | undefined {
  const seconds = /^([0-9]{1,6}(\.[0-9]{1,9})?)s$/.exec(
    textAt(detail(error, 'RetryInfo'), 'retryDelay') ?? '',
  )?.[1]
  return seconds === undefined ? undefined : Math.ceil(Number(seconds) * 1000)
}
