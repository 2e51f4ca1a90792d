/** Why did we get no access token? From the errors of OAuth (RFC 6749 section 5.2), STS and IAM, never from their text. */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { HttpAnswer } from '../remote/http_client.js'
import { jsonObjectIfAny, objectAt, textAt } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'

/** By `error` of OAuth, or `error.status` of an API of Google. */
const meanings: Readonly<Record<string, readonly [KmsErrorCode, string]>> = {
  invalid_grant: [
    'ERR_LOGIN_REFUSED',
    'refuses the credentials: is the service account or its key disabled or deleted, the token of the workload expired, or the clock of this node wrong?',
  ],
  invalid_client: [
    'ERR_LOGIN_REFUSED',
    'does not know the client of the credentials; was its account deleted?',
  ],
  unauthorized_client: [
    'ERR_LOGIN_REFUSED',
    'lets this identity not in; look at the attribute condition of the identity provider',
  ],
  invalid_target: [
    'ERR_LOGIN_REFUSED',
    'does not know the identity pool or provider in audience, or it is disabled',
  ],
  invalid_request: [
    'ERR_LOGIN_REFUSED',
    'cannot read the credentials; look at subject_token_type and the token itself',
  ],
  invalid_scope: ['ERR_LOGIN_REFUSED', 'does not give a token for Cloud KMS to these credentials'],
  access_denied: ['ERR_ACCESS_DENIED', 'denies these credentials a token'],
  PERMISSION_DENIED: [
    'ERR_ACCESS_DENIED',
    'denies the impersonation; grant roles/iam.serviceAccountTokenCreator (for a workload identity: roles/iam.workloadIdentityUser) on the service account',
  ],
  NOT_FOUND: ['ERR_LOGIN_REFUSED', 'does not know the service account to impersonate'],
  UNAUTHENTICATED: ['ERR_LOGIN_REFUSED', 'does not take the token of the source credentials'],
}

/** @param service In messages: `the token service at https://oauth2.googleapis.com`. */
export function tokenError(answer: HttpAnswer, service: string): KmsError {
  const body = jsonObjectIfAny(answer)
  const name = textAt(body, 'error') ?? textAt(objectAt(body, 'error'), 'status') ?? ''
  const fail = (code: KmsErrorCode, text: string) =>
    new KmsError(code, `${service} ${text}`, { retryAfterMs: retryAfterMs(answer.headers['retry-after']) })
  const { status } = answer
  if (status === 429 || name === 'RESOURCE_EXHAUSTED') return fail('ERR_BACKEND_THROTTLED', 'limits our rate')
  if (status >= 500) return fail('ERR_BACKEND_UNAVAILABLE', `cannot serve (status ${status})`)
  const known = Object.hasOwn(meanings, name) ? meanings[name] : undefined
  if (known !== undefined) return fail(...known)
  return fail('ERR_BACKEND_RESPONSE', `answers with status ${status} and no error that is known`)
}
