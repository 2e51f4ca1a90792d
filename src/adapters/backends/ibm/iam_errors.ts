/** Why did IAM give no token? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { HttpAnswer } from '../remote/http_client.js'
import { jsonObjectIfAny, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'

interface Row {
  /** @param isOwn The answer has a body as a service has it, not the page of a proxy whose IAM is away. */
  readonly status: (status: number, isOwn: boolean) => boolean
  readonly code: KmsErrorCode
  readonly text: string
}

const REFUSED =
  'does not accept the API key; was it deleted, locked or mistyped, or is it one of another account? Make a new one with `ibmcloud iam service-api-key-create` and put it where `apiKey` points; it is used without a restart'

/** The first row that fits. */
const rows: readonly Row[] = [
  {
    status: (s, isOwn) => isOwn && [400, 401, 403].includes(s),
    code: 'ERR_LOGIN_REFUSED',
    text: REFUSED,
  },
  {
    status: (s) => s === 429,
    code: 'ERR_BACKEND_THROTTLED',
    text: 'limits our rate of asking for tokens; too many nodes share one API key, or something asks in a loop',
  },
  { status: (s) => s >= 500, code: 'ERR_BACKEND_UNAVAILABLE', text: 'cannot give tokens now' },
  {
    status: (s) => [404, 405, 415].includes(s),
    code: 'ERR_CONFIG_INVALID',
    text: 'gives no tokens at this address; check `tokenUrl`',
  },
  { status: () => true, code: 'ERR_BACKEND_RESPONSE', text: 'answered otherwise than its API says' },
]

/**
 * @param service In messages: `IBM Cloud IAM at https://iam.cloud.ibm.com`.
 * @param answer Anything but 200.
 */
export function iamError(service: string, answer: HttpAnswer): KmsError {
  const body = jsonObjectIfAny(answer)
  const isOwn = Object.keys(body).length > 0
  const row = rows.find(({ status }) => status(answer.status, isOwn))
  const { code = 'ERR_BACKEND_RESPONSE', text = '' } = row ?? {}
  return new KmsError(code, `${service} ${text} (${detailsOf(answer.status, body)})`, {
    retryAfterMs: retryAfterMs(answer.headers['retry-after']),
  })
}

/** What IBM's support asks for. Nothing else of the body: it may say what was sent. */
function detailsOf(status: number, body: JsonObject): string {
  const details = [`status ${status}`]
  const code = textAt(body, 'errorCode')?.trim()
  const requestId = textAt(objectAt(body, 'context'), 'requestId')
  if (code !== undefined && /^[A-Z0-9_]{4,32}$/.test(code)) details.push(code)
  if (requestId !== undefined && /^[A-Za-z0-9._-]{1,100}$/.test(requestId))
    details.push(`request ${requestId}`)
  return details.join(', ')
}
